// SPDX-License-Identifier: Apache-2.0
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { status } from "@grpc/grpc-js";
import type { NestFastifyApplication } from "@nestjs/platform-fastify";
import { type ClickHouseServer, startClickHouseServer } from "@waggle/clickhouse-embedded";
import { freePort, makeScratch } from "@waggle/clickhouse-embedded/testing";
import { RefusalCode } from "@waggle/proto";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { makeSnapshot, retransmits, TestIngest, windowStart } from "../../../test/test-agent.ts";
import { testConfig } from "../../../test/test-api.ts";
import { createApp } from "../../app.ts";
import { ClickHouseService } from "../../clickhouse/clickhouse.service.ts";
import { createLog } from "../../common/log.ts";
import { RollupsService } from "../rollups/rollups.service.ts";
import { TokensService } from "../tokens/tokens.service.ts";
import { FRAME_BYTES_MAX } from "./frame.ts";
import { IN_FLIGHT_BYTES_MAX } from "./frame-writer.service.ts";
import { IngestServer } from "./ingest.grpc.ts";

let directory: string;
let httpPort: number;
let server: ClickHouseServer;
let app: NestFastifyApplication;
let ingest: TestIngest;

const startServer = async () => {
  server = await startClickHouseServer({ dataDirectory: join(directory, "clickhouse"), httpPort, maxMemoryBytes: 1_024 ** 3 });
};
const startApi = async () => {
  const config = testConfig({
    WAGGLE_API_DATA_DIRECTORY: join(directory, "api"),
    WAGGLE_CLICKHOUSE_URL: `http://127.0.0.1:${httpPort}`,
    WAGGLE_CLICKHOUSE_USERNAME: server.username,
    WAGGLE_CLICKHOUSE_PASSWORD: server.password,
  });
  app = await createApp(config, createLog("silent"));
  await app.listen(0, "127.0.0.1");
  // What earlier tests stored is hundreds of thousands of rows: while they are rolled up, their table cannot be dropped, which takes a busy machine a minute.
  await app.get(RollupsService).stop();
  ingest = new TestIngest(app.get(IngestServer).port);
};
const killServer = async () => {
  process.kill(server.pid, "SIGKILL");
  await server.exited;
};
const readyz = async () => (await fetch(`${await app.getUrl()}/readyz`)).json() as Promise<{ status: string; checks: Record<string, string> }>;
const until = async (claim: () => Promise<boolean>) => {
  while (!(await claim())) await new Promise((resolve) => setTimeout(resolve, 50));
};
const enrol = async () => {
  const { organisation, adminToken, enrolmentToken } = await app.get(TokensService).createOrganisation("test");
  const host = await ingest.enrol(enrolmentToken, "web-1");
  return { organisation, adminToken, host };
};
const stored = async (organisationId: string) => {
  const { rows } = await app
    .get(ClickHouseService)
    .query<{ windows: number; segments: number }>(
      "SELECT (SELECT count() FROM windows FINAL WHERE tenant = {tenant:String}) AS windows, (SELECT sum(segments) FROM tcp_retransmits FINAL WHERE tenant = {tenant:String}) AS segments",
      { tenant: organisationId },
    );
  return rows[0];
};

beforeAll(async () => {
  directory = await makeScratch("waggle-writer-");
  httpPort = await freePort();
});
afterAll(async () => {
  await rm(directory, { recursive: true, force: true });
});
beforeEach(async () => {
  await startServer();
  await startApi();
});
afterEach(async () => {
  ingest.close();
  await app.close();
  await server.stop();
});

describe("when ClickHouse is killed with frames in flight", () => {
  it("acknowledges nothing until it is back, and then everything is there once", async () => {
    await until(async () => (await readyz()).status === "ready");
    const { organisation, host } = await enrol();
    const stream = await ingest.connect(host.credential);
    stream.snapshot(makeSnapshot(1, windowStart(50), { tcp_retransmits: [retransmits(1)] }));
    await stream.next("ack");

    await killServer();
    for (let sequence = 2; sequence <= 21; sequence++)
      stream.snapshot(makeSnapshot(sequence, windowStart(51 - sequence), { tcp_retransmits: [retransmits(1)] }));
    await until(async () => (await readyz()).checks["clickhouse"] !== "ok");
    // Long enough for several tries of the writer; the claim is what it does not do in that time.
    await new Promise((resolve) => setTimeout(resolve, 2_500));
    expect(stream.hasAnswer).toBe(false);

    await startServer();
    const acknowledged = new Set<bigint>();
    for (let count = 0; count < 20; count++) acknowledged.add((await stream.next("ack")).sequence);
    expect(acknowledged.size).toBe(20);
    expect(await stored(organisation.id)).toEqual({ windows: 21, segments: 21 });
    stream.cancel();
  });

  it("says so in readyz and answers REST queries with STORAGE_UNAVAILABLE", async () => {
    await until(async () => (await readyz()).status === "ready");
    const { adminToken } = await enrol();
    await killServer();
    expect(await readyz()).toMatchObject({ status: "not ready", checks: { postgres: "ok", clickhouse: "ClickHouse does not answer" } });
    const response = await fetch(`${await app.getUrl()}/api/v1/query`, {
      method: "POST",
      headers: { authorization: `Bearer ${adminToken}`, "content-type": "application/json" },
      body: JSON.stringify({ signal: "tcp_retransmits", select: [{ measure: "segments", aggregate: "sum" }], from: "now-5m", to: "now" }),
    });
    expect(response.status).toBe(503);
    expect(response.headers.get("content-type")).toContain("application/problem+json");
    expect(await response.json()).toMatchObject({ code: "STORAGE_UNAVAILABLE", retryable: true });
    expect((await fetch(`${await app.getUrl()}/healthz`)).status).toBe(200);
    await startServer();
  });
});

/** A frame of some 3.4 MB, so that a few of them fill what may be in flight. */
const largeRows = Array.from({ length: 7_000 }, (_, index) => retransmits(1, `${"p".repeat(480)}${index}`));
const large = makeSnapshot(1, windowStart(3), { tcp_retransmits: largeRows });
const inFlightBytes = async () =>
  Number(/^waggle_ingest_in_flight_bytes (\d+)/m.exec(await (await fetch(`${await app.getUrl()}/metrics`)).text())?.[1]);

describe("a flood of past windows", () => {
  it("is sent away once it holds half of what may be in flight, while a present window of another host goes on", { timeout: 90_000 }, async () => {
    await until(async () => (await readyz()).status === "ready");
    const { host: flooding } = await enrol();
    const { organisation, host: present } = await enrol();
    const [past, now] = [await ingest.connect(flooding.credential), await ingest.connect(present.credential)];
    await killServer();
    const frames = 14;
    for (let sequence = 1; sequence <= frames; sequence++)
      past.snapshot({ ...large, sequence: BigInt(sequence), windowStartMs: BigInt(windowStart(60 + sequence)) });
    const throttle = await past.next("throttle");
    expect(throttle).toMatchObject({ waitMs: 0, reason: expect.stringContaining("past snapshots") });
    expect(throttle.backlogWaitMs).toBeGreaterThan(0);
    const refused = new Set([(await past.next("refusal")).sequence]);
    now.snapshot(makeSnapshot(1, windowStart(2), { tcp_retransmits: [retransmits(5)] }));
    await startServer();
    expect((await now.next("ack")).sequence).toBe(1n);
    expect(await stored(organisation.id)).toEqual({ windows: 1, segments: 5 });

    // Every frame has its answer, and what was sent away is stored when it comes again.
    const acknowledged = new Set<bigint>();
    while (acknowledged.size + refused.size < frames) {
      const answer = await past.nextAny();
      if (answer.$case === "ack") acknowledged.add(answer.value.sequence);
      if (answer.$case === "refusal") {
        expect(answer.value).toMatchObject({ code: RefusalCode.STORAGE_UNAVAILABLE, retry: true });
        refused.add(answer.value.sequence);
      }
    }
    expect(acknowledged.size).toBeGreaterThan(0);
    for (const sequence of refused) past.snapshot({ ...large, sequence, windowStartMs: BigInt(windowStart(60 + Number(sequence))) });
    while (acknowledged.size < frames) {
      const answer = await past.nextAny();
      if (answer.$case === "ack") acknowledged.add(answer.value.sequence);
      // There may be no room for all of them at once; an agent would wait and send again.
      if (answer.$case === "refusal") {
        const { sequence } = answer.value;
        await sleep(200);
        past.snapshot({ ...large, sequence, windowStartMs: BigInt(windowStart(60 + Number(sequence))) });
      }
    }
    expect(acknowledged.size).toBe(frames);
    past.cancel();
    now.cancel();
  });
});

describe("when ClickHouse hangs", () => {
  it("holds bounded bytes, tells agents why they wait, and stores what it holds afterwards", { timeout: 90_000 }, async () => {
    await until(async () => (await readyz()).status === "ready");
    const { host } = await enrol();
    const stream = await ingest.connect(host.credential);
    process.kill(server.pid, "SIGSTOP");
    const frames = 26;
    try {
      for (let sequence = 1; sequence <= frames; sequence++)
        stream.snapshot({ ...large, sequence: BigInt(sequence), windowStartMs: BigInt(windowStart(3) - sequence) });
      // At first it may be a matter of moments: nothing is answered and nothing is read. Then it is not.
      const throttle = await stream.next("throttle");
      expect(throttle.waitMs).toBeGreaterThan(0);
      expect(throttle.reason).toMatch(/the storage does not take rows/);
      expect(await stream.next("refusal")).toMatchObject({ code: RefusalCode.STORAGE_UNAVAILABLE, retry: true });
      expect(await inFlightBytes()).toBeLessThan(IN_FLIGHT_BYTES_MAX + FRAME_BYTES_MAX);
    } finally {
      process.kill(server.pid, "SIGCONT");
    }
    let answers = 1;
    let acknowledged = 0;
    while (answers < frames) {
      const answer = await stream.nextAny();
      if (answer.$case === "throttle") continue;
      answers++;
      if (answer.$case === "ack") acknowledged++;
    }
    expect(acknowledged).toBeGreaterThan(10);
    stream.cancel();
  });
});

describe("when ClickHouse is away while the API starts", () => {
  it("the API serves, and makes its tables once ClickHouse comes", async () => {
    ingest.close();
    await app.close();
    await server.stop();
    await startApi();
    expect((await readyz()).status).toBe("not ready");
    const { organisation, host } = await enrol();
    const stream = await ingest.connect(host.credential);
    stream.snapshot(makeSnapshot(1, windowStart(3), { tcp_retransmits: [retransmits(9)] }));
    await startServer();
    await stream.next("ack");
    expect(await stored(organisation.id)).toEqual({ windows: 1, segments: 9 });
    stream.cancel();
  });
});

describe("when a table is gone", () => {
  it("brings it back and stores what was waiting", async () => {
    await until(async () => (await readyz()).status === "ready");
    const { organisation, host } = await enrol();
    await app.get(ClickHouseService).command("DROP TABLE waggle.tcp_retransmits SYNC");
    const stream = await ingest.connect(host.credential);
    stream.snapshot(makeSnapshot(1, windowStart(3), { tcp_retransmits: [retransmits(4)] }));
    await stream.next("ack");
    expect(await stored(organisation.id)).toEqual({ windows: 1, segments: 4 });
    stream.cancel();
  });
});

describe("when a table is older than the catalogue", () => {
  it("adds the measure it lacks at the next start", async () => {
    await until(async () => (await readyz()).status === "ready");
    const clickhouse = app.get(ClickHouseService);
    await clickhouse.command("ALTER TABLE waggle.agent_accounting DROP COLUMN kernel");
    await clickhouse.prepare();
    const { rows } = await clickhouse.query<{ n: number }>(
      "SELECT count() AS n FROM system.columns WHERE database = 'waggle' AND table = 'agent_accounting' AND name = 'kernel'",
    );
    expect(rows).toEqual([{ n: 1 }]);
  });
});

describe("a stop", () => {
  it("writes and acknowledges what was taken, then sends every agent away with UNAVAILABLE", async () => {
    await until(async () => (await readyz()).status === "ready");
    const { host } = await enrol();
    const stream = await ingest.connect(host.credential);
    stream.snapshot(makeSnapshot(1, windowStart(3), { tcp_retransmits: [retransmits(4)] }));
    stream.snapshot(makeSnapshot(2, windowStart(2), { tcp_retransmits: [retransmits(4)] }));
    await until(async () => (await (await fetch(`${await app.getUrl()}/metrics`)).text()).match(/^waggle_ingest_in_flight_bytes [1-9]/m) !== null);
    await app.close();
    expect([(await stream.next("ack")).sequence, (await stream.next("ack")).sequence]).toEqual([1n, 2n]);
    expect((await stream.ended).code).toBe(status.UNAVAILABLE);
    ingest.close();
    await startApi();
  });
});
