// SPDX-License-Identifier: Apache-2.0

import { once } from "node:events";
import { readdirSync, readFileSync, readlinkSync, statSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { Readable } from "node:stream";
import { finished } from "node:stream/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { type ClickHouseClient, createClient } from "@clickhouse/client";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startClickHouseServer } from "../src/index.ts";
import { freePort, type TestClickHouse, withTestClickHouse } from "../src/testing.ts";
import { arraysOfUInt16, nativeBlock, strings, uint64s } from "./native.ts";

let clickhouse: TestClickHouse;
let client: ClickHouseClient;
let tcpPort: number;

beforeAll(async () => {
  tcpPort = await freePort();
  clickhouse = await withTestClickHouse({ tcpPort });
  client = clickhouse.client;
});
afterAll(() => clickhouse?.[Symbol.asyncDispose]());

const rowsOf = async <Row>(query: string, on = client): Promise<Row[]> => (await on.query({ query, format: "JSONEachRow" })).json<Row>();

/** Waits until `query` answers a row; the test's own time limit ends a wait in vain. */
async function until(query: string): Promise<void> {
  while ((await rowsOf(query)).length === 0) await sleep(20);
}

describe("who may connect", () => {
  const post = (body: string, headers: Record<string, string> = {}, parameters = "") =>
    fetch(`${clickhouse.server.url}/${parameters}`, { method: "POST", body, headers });
  const basic = (user: string, password: string) => ({ authorization: `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}` });

  test("refuses a wrong password", async () => {
    const response = await post("SELECT 1", basic(clickhouse.server.username, "wrong"));
    expect(response.status).toBe(403);
    expect(await response.text()).toContain("AUTHENTICATION_FAILED");
  });

  test("refuses no credentials, and the engine's own user however it is named, for KILL QUERY too", async () => {
    for (const body of ["SELECT 1", "KILL QUERY WHERE 1", "SYSTEM STOP LISTEN HTTP"]) {
      for (const response of [
        await post(body),
        await post(body, basic("default", "")),
        await post(body, { "x-clickhouse-user": "default" }),
        await post(body, {}, "?user=default"),
      ]) {
        expect(response.ok).toBe(false);
        expect(await response.text()).toContain("USER_SESSION_LIMIT_EXCEEDED");
      }
    }
    expect(await rowsOf("SELECT 1 AS one")).toEqual([{ one: 1 }]);
  });

  test("refuses the engine's own user on the native port, and accepts the product's", async () => {
    await expect(rowsOf(`SELECT 1 FROM remote('127.0.0.1:${tcpPort}', system.one, 'default', '')`)).rejects.toThrow(/session/);
    const { username, password } = clickhouse.server;
    const one = await rowsOf(`SELECT 1 AS one FROM remote('127.0.0.1:${tcpPort}', system.one, '${username}', '${password}')`);
    expect(one).toEqual([{ one: 1 }]);
  });

  test("listens on 127.0.0.1 only, on the ports it was given only", () => {
    const expected = [Number(new URL(clickhouse.server.url).port), tcpPort].map((port) => `127.0.0.1:${port}`);
    expect(listeningAddresses(clickhouse.server.pid).sort()).toEqual(expected.sort());
  });

  test("keeps the password out of command line and environment, and in files of mode 0600", () => {
    const { pid, password } = clickhouse.server;
    for (const file of ["cmdline", "environ"]) expect(readFileSync(`/proc/${pid}/${file}`, "utf8")).not.toContain(password);
    for (const file of ["password", "users.xml", "config.xml"]) {
      expect(statSync(join(clickhouse.dataDirectory, file)).mode & 0o777).toBe(0o600);
    }
    expect(readFileSync(join(clickhouse.dataDirectory, "users.xml"), "utf8")).not.toContain(password);
  });

  test("lets no query read the machine's files or call other addresses", async () => {
    await expect(rowsOf("SELECT * FROM file('/etc/hostname', 'LineAsString')")).rejects.toThrow(/Not enough privileges/);
    await expect(rowsOf("SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString')")).rejects.toThrow(/Not enough privileges/);
    await expect(client.command({ query: "CREATE TABLE f (a String) ENGINE = File(TSV, '/etc/hostname')" })).rejects.toThrow(/Not enough privileges/);
  });
});

describe("clients that misbehave", () => {
  test("stays up when connections are reset: idle, before the body, within the body, and while it answers", async () => {
    const { url, username, password, pid } = clickhouse.server;
    const port = Number(new URL(url).port);
    const authorization = `Authorization: Basic ${Buffer.from(`${username}:${password}`).toString("base64")}\r\n`;
    const post = (headers: string, body: string) => `POST / HTTP/1.1\r\nHost: x\r\n${authorization}${headers}\r\n${body}`;
    const endless = "SELECT number FROM system.numbers";
    for (const bytes of [
      "",
      "POST / HT",
      "\0\u00ff\u0001garbage\r\n\r\n",
      post("Content-Length: 1000\r\n", ""),
      post("Content-Length: 1000\r\n", "INSERT INTO t VALUES"),
      post("Transfer-Encoding: chunked\r\n", "8\r\nSELE"),
      post(`Content-Length: ${endless.length}\r\n`, endless),
    ]) {
      await resetAfter(port, bytes);
      await resetAfter(tcpPort, bytes);
      expect(await rowsOf("SELECT 1 AS one")).toEqual([{ one: 1 }]);
    }
    // The server that answers is the one that was started, not its successor.
    expect(clickhouse.server.pid).toBe(pid);
    expect(readFileSync(`/proc/${pid}/comm`, "utf8")).toBe("clickhouse-host\n");
  });

  /** Sends, waits for an answer or a moment, and resets: what a killed process leaves behind. */
  async function resetAfter(port: number, bytes: string): Promise<void> {
    const socket = connect(port, "127.0.0.1");
    socket.on("error", () => {});
    await once(socket, "connect");
    socket.write(bytes, "latin1");
    await Promise.race([once(socket, "data"), once(socket, "close"), sleep(50)]);
    socket.resetAndDestroy();
  }
});

describe("queries", () => {
  test("answers a query while a slow one runs", async () => {
    const order: string[] = [];
    const abort = new AbortController();
    const slow = client
      .query({ query: "SELECT sleepEachRow(1) FROM numbers(60) SETTINGS max_block_size = 1", query_id: "slow-one", abort_signal: abort.signal })
      .then((result) => result.text())
      .then(
        () => order.push("slow"),
        () => order.push("slow aborted"),
      );
    await until("SELECT 1 FROM system.processes WHERE query_id = 'slow-one'");
    await rowsOf("SELECT 1");
    order.push("fast");
    expect(await rowsOf("SELECT query_id FROM system.processes WHERE query_id = 'slow-one'")).toHaveLength(1);
    abort.abort();
    await slow;
    expect(order).toEqual(["fast", "slow aborted"]);
  });

  test("stops a query in the server when its caller aborts", async () => {
    const abort = new AbortController();
    const query = client.query({
      query: "SELECT sum(cityHash64(number)) FROM numbers(1e15)",
      query_id: "aborted",
      format: "JSONEachRow",
      abort_signal: abort.signal,
      // The server watches the connections of queries that cannot write.
      clickhouse_settings: { max_threads: 1, readonly: "2" },
    });
    query.catch(() => {});
    await until("SELECT 1 FROM system.processes WHERE query_id = 'aborted'");
    abort.abort();
    await expect(query).rejects.toThrow();
    await until("SELECT 1 WHERE (SELECT count() FROM system.processes WHERE query_id = 'aborted') = 0");
    expect(await rowsOf("SELECT 1 AS one")).toEqual([{ one: 1 }]);
  });

  test("refuses one query more than its limit, with an error that says so", async () => {
    await using small = await withTestClickHouse({ maxConcurrentQueries: 4 });
    const abort = new AbortController();
    const slow = (id: string) =>
      small.client
        .query({ query: "SELECT sleepEachRow(1) FROM numbers(60) SETTINGS max_block_size = 1", query_id: id, abort_signal: abort.signal })
        .then((result) => result.text());
    const outcomes = Promise.allSettled(Array.from({ length: 6 }, (_, index) => slow(`slow-${index}`).finally(() => abort.abort())));
    const messages = (await outcomes).map((outcome) => (outcome.status === "rejected" ? String(outcome.reason.message) : "answered"));
    expect(messages.some((message) => message.includes("Too many simultaneous queries"))).toBe(true);
    expect(messages).not.toContain("answered");
  });

  test("does not leak the settings of one query into the next", async () => {
    const query = "SELECT toInt32(getSetting('max_result_rows')) AS value";
    const first = await client.query({ query, format: "JSONEachRow", clickhouse_settings: { max_result_rows: "7" } });
    expect(await first.json()).toEqual([{ value: 7 }]);
    expect(await rowsOf(query)).toEqual([{ value: 0 }]);
  });

  test("runs with the memory cap it was given and writes no system log tables", async () => {
    expect(await rowsOf("SELECT value FROM system.server_settings WHERE name = 'max_server_memory_usage'")).toEqual([{ value: String(1024 ** 3) }]);
    await client.command({ query: "SYSTEM FLUSH LOGS" });
    expect(await rowsOf("SELECT name FROM system.tables WHERE database = 'system' AND engine LIKE '%MergeTree'")).toEqual([]);
  });

  test("makes databases that are Atomic", async () => {
    expect(await rowsOf(`SELECT engine FROM system.databases WHERE name IN ('waggle', '${clickhouse.database}')`)).toEqual([
      { engine: "Atomic" },
      { engine: "Atomic" },
    ]);
  });
});

describe("inserts", () => {
  const everyByte = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
  const texts = [Buffer.from("nginx"), Buffer.from("größer ✓"), everyByte, Buffer.alloc(0), Buffer.alloc(300, 0xff)];
  const buckets = [[], [0, 1, 511], [65_535], [128, 255, 256], [7]];
  const counts = [0n, 1n, 2n ** 53n + 1n, 2n ** 63n, 2n ** 64n - 1n];

  test("takes a streamed Native body byte for byte, and converts String on the way in", async () => {
    await client.command({
      query: "CREATE TABLE round_trip (c UInt64, raw String, process LowCardinality(String), k Array(UInt16)) ENGINE = MergeTree ORDER BY c",
    });
    const block = nativeBlock(texts.length, [
      { name: "c", type: "UInt64", values: uint64s(counts) },
      { name: "raw", type: "String", values: strings(texts) },
      { name: "process", type: "String", values: strings(texts) },
      { name: "k", type: "Array(UInt16)", values: arraysOfUInt16(buckets) },
    ]);
    // Cut where it hurts: inside a varint-length string and inside an array.
    const pieces = [0, 33, 100, 611, block.length - 3].map((start, index, starts) => block.subarray(start, starts[index + 1]));
    await execInsert("INSERT INTO round_trip FORMAT Native", Readable.from(pieces, { objectMode: false }));

    const rows = await rowsOf(
      "SELECT toString(c) AS c, hex(raw) AS raw, hex(process) AS process, toTypeName(process) AS type, k FROM round_trip ORDER BY round_trip.c",
    );
    expect(rows).toEqual(
      texts.map((text, row) => ({
        c: String(counts[row]),
        raw: text.toString("hex").toUpperCase(),
        process: text.toString("hex").toUpperCase(),
        type: "LowCardinality(String)",
        k: buckets[row],
      })),
    );
  });

  test("takes two Native blocks in one body", async () => {
    await client.command({ query: "CREATE TABLE two_blocks (c UInt64) ENGINE = MergeTree ORDER BY c" });
    const block = (values: bigint[]) => nativeBlock(values.length, [{ name: "c", type: "UInt64", values: uint64s(values) }]);
    await execInsert("INSERT INTO two_blocks FORMAT Native", Readable.from([block([1n, 2n]), block([3n])], { objectMode: false }));
    expect(await rowsOf("SELECT sum(c) AS sum, count() AS rows FROM two_blocks")).toEqual([{ sum: 6, rows: 3 }]);
  });

  test("refuses a truncated Native body and keeps none of it", async () => {
    await client.command({ query: "CREATE TABLE truncated (c UInt64) ENGINE = MergeTree ORDER BY c" });
    const block = nativeBlock(3, [{ name: "c", type: "UInt64", values: uint64s([1n, 2n, 3n]) }]);
    await expect(execInsert("INSERT INTO truncated FORMAT Native", Readable.from([block.subarray(0, -5)], { objectMode: false }))).rejects.toThrow();
    expect(await rowsOf("SELECT count() AS rows FROM truncated")).toEqual([{ rows: 0 }]);
  });

  test("takes rows streamed through client.insert", async () => {
    await client.command({ query: "CREATE TABLE json_rows (process LowCardinality(String), c UInt64) ENGINE = MergeTree ORDER BY c" });
    const rows = [
      { process: "größer", c: "1" },
      { process: "€", c: "2" },
    ];
    await client.insert({ table: "json_rows", values: Readable.from(rows), format: "JSONEachRow" });
    expect(await rowsOf("SELECT process, toString(c) AS c FROM json_rows ORDER BY json_rows.c")).toEqual(rows);
  });

  test("counts a row that was sent twice once, with ReplacingMergeTree and FINAL", async () => {
    await client.command({
      query:
        "CREATE TABLE sent_twice (host LowCardinality(String), ts DateTime64(3), segments UInt64) ENGINE = ReplacingMergeTree ORDER BY (host, ts)",
    });
    await client.command({ query: "SYSTEM STOP MERGES sent_twice" });
    const rows = [
      { host: "web-1", ts: "2026-11-20 10:00:00.000", segments: 23 },
      { host: "web-2", ts: "2026-11-20 10:00:00.000", segments: 29 },
    ];
    await client.insert({ table: "sent_twice", values: rows, format: "JSONEachRow" });
    await client.insert({ table: "sent_twice", values: rows.slice(0, 1), format: "JSONEachRow" });
    expect(await rowsOf("SELECT sum(segments) AS sum FROM sent_twice")).toEqual([{ sum: 75 }]);
    expect(await rowsOf("SELECT sum(segments) AS sum FROM sent_twice FINAL")).toEqual([{ sum: 52 }]);
  });

  async function execInsert(query: string, values: Readable): Promise<void> {
    const { stream } = await client.exec({ query, values });
    stream.resume();
    await finished(stream);
  }
});

describe("the data directory", () => {
  test("refuses a second server on the same directory, names the first, and leaves it alone", async () => {
    const second = startClickHouseServer({ dataDirectory: clickhouse.dataDirectory, httpPort: await freePort() });
    await expect(second).rejects.toMatchObject({
      code: "data-directory-in-use",
      message: expect.stringMatching(new RegExp(`pid ${clickhouse.server.pid}\\).*${clickhouse.dataDirectory}`)),
    });
    expect(await rowsOf("SELECT 1 AS one")).toEqual([{ one: 1 }]);
  });

  test("names the port that is taken", async () => {
    const httpPort = Number(new URL(clickhouse.server.url).port);
    await expect(withTestClickHouse({ httpPort })).rejects.toMatchObject({
      code: "port-in-use",
      message: expect.stringContaining(`Port ${httpPort} `),
    });
    await expect(withTestClickHouse({ tcpPort })).rejects.toMatchObject({
      code: "port-in-use",
      message: expect.stringContaining(`Port ${tcpPort} `),
    });
  });

  test("says which directory cannot be used, and why", async () => {
    const dataDirectory = join(clickhouse.dataDirectory, "config.xml");
    for (const directory of [dataDirectory, join(dataDirectory, "below"), "/proc/waggle-test"]) {
      await expect(startClickHouseServer({ dataDirectory: directory, httpPort: await freePort() })).rejects.toMatchObject({
        code: "data-directory-unusable",
        message: expect.stringContaining(directory),
      });
    }
  });

  test("refuses options that make no sense before it starts anything", async () => {
    const dataDirectory = join(clickhouse.dataDirectory, "never");
    for (const wrong of [
      { dataDirectory, httpPort: 0 },
      { dataDirectory, httpPort: 65_536 },
      { dataDirectory, httpPort: 1.5 },
      { dataDirectory, httpPort: 1, tcpPort: -1 },
      { dataDirectory, httpPort: 1, maxMemoryBytes: 1000 },
      { dataDirectory: `${dataDirectory}{1}`, httpPort: 1 },
      { dataDirectory: "", httpPort: 1 },
    ]) {
      await expect(startClickHouseServer(wrong)).rejects.toMatchObject({ code: "invalid-option" });
    }
    expect(readdirSync(clickhouse.dataDirectory)).not.toContain("never");
  });

  test("keeps password and rows over kill -9, with no acknowledged row lost", async () => {
    await using first = await withTestClickHouse();
    await first.client.command({ query: "CREATE TABLE kept (batch UInt32, n UInt32) ENGINE = MergeTree ORDER BY (batch, n)" });
    let acknowledged = 0;
    const insert = async (): Promise<void> => {
      for (let batch = 0; ; batch++) {
        const values = Array.from({ length: 100 }, (_, n) => ({ batch, n }));
        await first.client.insert({ table: "kept", values, format: "JSONEachRow" });
        acknowledged = batch + 1;
        if (acknowledged === 5) process.kill(first.server.pid, "SIGKILL");
      }
    };
    await expect(insert()).rejects.toThrow();
    expect(await first.server.exited).toEqual({ code: null, signal: "SIGKILL" });

    await using again = await withTestClickHouse({ dataDirectory: first.dataDirectory });
    expect(again.server.password).toBe(first.server.password);
    const rows = await rowsOf<{ batch: number; rows: number }>(
      `SELECT batch, count() AS rows FROM ${first.database}.kept WHERE batch < ${acknowledged} GROUP BY batch ORDER BY batch`,
      again.client,
    );
    expect(acknowledged).toBeGreaterThanOrEqual(5);
    expect(rows).toEqual(Array.from({ length: acknowledged }, (_, batch) => ({ batch, rows: 100 })));
  });

  test("stops in an orderly way and starts again with everything, and can be told twice", async () => {
    const first = await withTestClickHouse();
    try {
      await first.client.command({ query: "CREATE TABLE kept (n UInt32) ENGINE = MergeTree ORDER BY n" });
      await first.client.insert({ table: "kept", values: [{ n: 1 }], format: "JSONEachRow" });
      await Promise.all([first.server.stop(), first.server.stop()]);
      expect(await first.server.exited).toEqual({ code: 0, signal: null });
      await using again = await withTestClickHouse({ dataDirectory: first.dataDirectory });
      expect(await rowsOf(`SELECT n FROM ${first.database}.kept`, again.client)).toEqual([{ n: 1 }]);
    } finally {
      await first[Symbol.asyncDispose]();
    }
  });

  test("gives up a start that is aborted and leaves nothing running", async () => {
    const dataDirectory = join(clickhouse.dataDirectory, "aborted");
    const reason = new Error("changed my mind");
    await expect(startClickHouseServer({ dataDirectory, httpPort: await freePort(), signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    await using again = await withTestClickHouse({ dataDirectory });
    expect(await rowsOf("SELECT 1 AS one", again.client)).toEqual([{ one: 1 }]);
  });
});

test("two servers make a cluster: a Distributed table writes to both and reads from both", async () => {
  const ports = [await freePort(), await freePort()];
  await using second = await withTestClickHouse({ tcpPort: ports[1] });
  await using alone = await withTestClickHouse({ tcpPort: ports[0] });
  await alone.server.stop();
  // The first server's own password is known only once it has started.
  const shards = [alone, second].map(({ server: { username, password } }, index) => ({
    host: "127.0.0.1",
    tcpPort: ports[index] ?? 0,
    username,
    password,
  }));
  await using first = await withTestClickHouse({ dataDirectory: alone.dataDirectory, tcpPort: ports[0], clusters: { both: shards } });

  for (const { client: shard } of [first, second]) {
    await shard.command({ query: "CREATE TABLE waggle.local_rows (n UInt64) ENGINE = MergeTree ORDER BY n" });
  }
  await first.client.command({
    query: "CREATE TABLE waggle.all_rows AS waggle.local_rows ENGINE = Distributed('both', waggle, local_rows, n)",
  });
  await first.client.command({
    query: "INSERT INTO waggle.all_rows SELECT number FROM numbers(101)",
    clickhouse_settings: { distributed_foreground_insert: 1 },
  });
  const count = "SELECT count() AS rows FROM waggle.";
  expect(await rowsOf(`${count}local_rows`, first.client)).toEqual([{ rows: 51 }]);
  expect(await rowsOf(`${count}local_rows`, second.client)).toEqual([{ rows: 50 }]);
  expect(await rowsOf("SELECT count() AS rows, sum(n) AS sum FROM waggle.all_rows", first.client)).toEqual([{ rows: 101, sum: 5050 }]);
});

test("a URL with credentials from the test helper leads to its database", async () => {
  const fromUrl = createClient({ url: clickhouse.url });
  expect(await rowsOf("SELECT currentDatabase() AS database, currentUser() AS user", fromUrl)).toEqual([
    { database: clickhouse.database, user: clickhouse.server.username },
  ]);
  await fromUrl.close();
});

/** Addresses a process listens on, from the kernel's own tables. */
function listeningAddresses(pid: number): string[] {
  const inodes = new Set(
    readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
      try {
        return /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`))?.[1] ?? [];
      } catch {
        return []; // Closed since it was listed.
      }
    }),
  );
  const LISTEN = "0A";
  return ["tcp", "tcp6"].flatMap((family) =>
    readFileSync(`/proc/${pid}/net/${family}`, "utf8")
      .split("\n")
      .slice(1)
      .map((line) => line.trim().split(/\s+/))
      .filter((fields) => fields[3] === LISTEN && inodes.has(fields[9] ?? ""))
      .map((fields) => readableAddress(fields[1] ?? "")),
  );
}

/** `0100007F:1C84` → `127.0.0.1:7300`; IPv6 stays in hexadecimal. */
function readableAddress(text: string): string {
  const [address = "", port = ""] = text.split(":");
  const readable = address.length === 8 ? Buffer.from(address, "hex").reverse().join(".") : address;
  return `${readable}:${Number.parseInt(port, 16)}`;
}
