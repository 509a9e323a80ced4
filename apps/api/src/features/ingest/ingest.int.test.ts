// SPDX-License-Identifier: Apache-2.0
import { randomBytes } from "node:crypto";
import { status } from "@grpc/grpc-js";
import { RefusalCode } from "@waggle/proto";
import { getSignalOrThrow, retentionDaysDefault, SERVER_HOST, schemaHash } from "@waggle/signals";
import { eq } from "drizzle-orm";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { makeSnapshot, retransmits, TestIngest, type TestStream, windowStart } from "../../../test/test-agent.ts";
import { startTestApi, type TestApi, TestOrganisation } from "../../../test/test-api.ts";
import { Database } from "../../postgres/database.ts";
import { hosts } from "../../postgres/schema.ts";
import { FRAME_BYTES_MAX } from "./frame.ts";
import { HostStatusService } from "./host-status.service.ts";
import { IngestServer } from "./ingest.grpc.ts";

let api: TestApi;
let ingest: TestIngest;

beforeAll(async () => {
  api = await startTestApi();
  ingest = new TestIngest(api.app.get(IngestServer).port);
});
afterAll(async () => {
  ingest?.close();
  await api?.[Symbol.asyncDispose]();
});

async function enrolled(name = "web-1", organisation?: TestOrganisation) {
  const owner = organisation ?? (await TestOrganisation.create(api));
  const host = await ingest.enrol(owner.enrolmentToken, name);
  return { organisation: owner, host };
}

/** Sum of tcp_retransmits.segments as stored, by host id. */
async function storedSegments(organisation: TestOrganisation): Promise<Record<string, number>> {
  const answer = await api.clickhouse.client.query({
    query: "SELECT host, toUInt32(sum(segments)) AS segments FROM tcp_retransmits FINAL WHERE tenant = {tenant:String} GROUP BY host",
    query_params: { tenant: organisation.id },
    format: "JSONEachRow",
  });
  return Object.fromEntries((await answer.json<{ host: string; segments: number }>()).map((row) => [row.host, row.segments]));
}

async function countWindows(organisation: TestOrganisation): Promise<number> {
  const answer = await api.clickhouse.client.query({
    query: "SELECT toUInt32(count()) AS n FROM windows FINAL WHERE tenant = {tenant:String}",
    query_params: { tenant: organisation.id },
    format: "JSONEachRow",
  });
  return (await answer.json<{ n: number }>())[0]?.n ?? -1;
}

async function metric(pattern: RegExp): Promise<number> {
  const text = await (await fetch(`${api.url}/metrics`)).text();
  return Number(pattern.exec(text)?.[1] ?? 0);
}
const refusals = (code: string) => metric(new RegExp(`^waggle_ingest_refusals_total\\{code="${code}"\\} (\\d+)`, "m"));

describe("a stored snapshot", () => {
  it("is acknowledged after its rows can be read through the REST API, with the exact numbers", async () => {
    const { organisation, host } = await enrolled("web-1");
    const stream = await ingest.connect(host.credential);
    const start = windowStart(3);
    stream.snapshot(makeSnapshot(1, start, { tcp_retransmits: [retransmits(23, "curl"), retransmits(19, "nginx")] }));
    expect((await stream.next("ack")).sequence).toBe(1n);
    expect(await storedSegments(organisation)).toEqual({ [host.hostId]: 42 });
    const response = await organisation.request("/query", {
      body: {
        signal: "tcp_retransmits",
        select: [{ measure: "segments", aggregate: "sum" }],
        by: ["process", "host"],
        from: start,
        to: start + 10_000,
        points: 1,
      },
    });
    expect(response.status).toBe(200);
    const answer = (await response.json()) as { series: { labels: Record<string, string>; values: number[] }[] };
    const values = Object.fromEntries(answer.series.map((series) => [`${series.labels["host"]} ${series.labels["process"]}`, series.values]));
    expect(values).toEqual({ "web-1 curl": [23], "web-1 nginx": [19] });
    stream.cancel();
  });

  it("counts once when it is sent again, on the same stream and on another", async () => {
    const { organisation, host } = await enrolled();
    const snapshot = makeSnapshot(1, windowStart(3), { tcp_retransmits: [retransmits(7)] });
    const first = await ingest.connect(host.credential);
    first.snapshot(snapshot);
    first.snapshot(snapshot);
    await first.next("ack");
    await first.next("ack");
    const second = await ingest.connect(host.credential);
    second.snapshot(snapshot);
    await second.next("ack");
    expect(await storedSegments(organisation)).toEqual({ [host.hostId]: 7 });
    expect(await countWindows(organisation)).toBe(1);
    second.cancel();
  });

  it("keeps histograms of many hosts apart when their arrays share one insert", async () => {
    const organisation = await TestOrganisation.create(api);
    const row = (k: number[], c: number[]) => ({
      process: "p",
      unit: "",
      role: "client",
      peer: "192.0.2.1",
      peer_port: "443",
      port: "ephemeral",
      count: c.reduce((sum, value) => sum + value, 0),
      sum: 1,
      min: 1,
      max: 1,
      k,
      c,
    });
    const streams: TestStream[] = [];
    const expected: Record<string, [number[], number[]]> = {};
    for (let index = 0; index < 5; index++) {
      const { host } = await enrolled(`h-${index}`, organisation);
      const k = Array.from({ length: index + 1 }, (_, at) => at * 10 + index);
      const c = k.map((bucket) => bucket + 1);
      expected[host.hostId] = [k, c];
      const stream = await ingest.connect(host.credential);
      stream.snapshot(makeSnapshot(1, windowStart(3), { tcp_rtt: [row(k, c)] }));
      streams.push(stream);
    }
    for (const stream of streams) await stream.next("ack");
    const answer = await api.clickhouse.client.query({
      query: "SELECT host, k, arrayMap(x -> toUInt32(x), c) AS c FROM tcp_rtt FINAL WHERE tenant = {tenant:String}",
      query_params: { tenant: organisation.id },
      format: "JSONEachRow",
    });
    const rows = await answer.json<{ host: string; k: number[]; c: number[] }>();
    expect(Object.fromEntries(rows.map((stored) => [stored.host, [stored.k, stored.c]]))).toEqual(expected);
    for (const stream of streams) stream.cancel();
  });

  it("answers every snapshot of a stream that was closed for writing before it ends with OK", async () => {
    const { host } = await enrolled();
    const stream = await ingest.connect(host.credential);
    for (let sequence = 1; sequence <= 100; sequence++)
      stream.snapshot(makeSnapshot(sequence, windowStart(sequence + 2), { tcp_retransmits: [retransmits(1)] }));
    stream.halfClose();
    const acknowledged = new Set<bigint>();
    for (let count = 0; count < 100; count++) acknowledged.add((await stream.next("ack")).sequence);
    expect(acknowledged.size).toBe(100);
    expect((await stream.ended).code).toBe(status.OK);
  });
});

describe("a snapshot that is not right", () => {
  const wrong: [string, RefusalCode, number, string, (good: ReturnType<typeof makeSnapshot>) => ReturnType<typeof makeSnapshot>, RegExp][] = [
    [
      "of an unknown signal",
      RefusalCode.UNKNOWN_SIGNAL,
      status.INVALID_ARGUMENT,
      "unknown_signal",
      (good) => ({ ...good, blocks: [...good.blocks, { signal: "tcp_retransmit", schemaHash: "0", rows: 0, columns: [] }] }),
      /tcp_retransmit"/,
    ],
    [
      "with other columns",
      RefusalCode.SCHEMA_MISMATCH,
      status.FAILED_PRECONDITION,
      "schema_mismatch",
      (good) => ({ ...good, blocks: good.blocks.map((block) => ({ ...block, schemaHash: "0".repeat(16) })) }),
      /same version/,
    ],
    [
      "with a cut buffer",
      RefusalCode.MALFORMED,
      status.INVALID_ARGUMENT,
      "malformed",
      (good) => ({
        ...good,
        blocks: good.blocks.map((block) => ({ ...block, columns: block.columns.with(0, block.columns[0]?.subarray(0, -1) as Buffer) })),
      }),
      /ends inside row/,
    ],
    [
      "with the same signal twice",
      RefusalCode.MALFORMED,
      status.INVALID_ARGUMENT,
      "malformed",
      (good) => ({ ...good, blocks: [...good.blocks, ...good.blocks.slice(0, 1)] }),
      /more than one block/,
    ],
    [
      "without coverage",
      RefusalCode.MALFORMED,
      status.INVALID_ARGUMENT,
      "malformed",
      (good) => ({ ...good, blocks: good.blocks.filter((block) => block.signal !== "agent_coverage") }),
      /agent_coverage/,
    ],
    [
      "with two rows of one name",
      RefusalCode.MALFORMED,
      status.INVALID_ARGUMENT,
      "malformed",
      (good) => ({ ...good, blocks: makeSnapshot(1, windowStart(3), { tcp_retransmits: [retransmits(3), retransmits(4)] }).blocks }),
      /rows 0 and 1 have the same dimensions/,
    ],
    ["without a sequence", RefusalCode.MALFORMED, status.INVALID_ARGUMENT, "malformed", (good) => ({ ...good, sequence: 0n }), /start at 1/],
    ["of a window without length", RefusalCode.MALFORMED, status.INVALID_ARGUMENT, "malformed", (good) => ({ ...good, windowMs: 0 }), /window_ms/],
    [
      "of tomorrow",
      RefusalCode.CLOCK_SKEW,
      status.INVALID_ARGUMENT,
      "clock_skew",
      (good) => ({ ...good, windowStartMs: good.windowStartMs + 86_400_000n }),
      /after the API's clock/,
    ],
    [
      "of last month",
      RefusalCode.TOO_OLD,
      status.OUT_OF_RANGE,
      "too_old",
      (good) => ({ ...good, windowStartMs: good.windowStartMs - 30n * 86_400_000n }),
      new RegExp(`kept for ${retentionDaysDefault.raw} d`),
    ],
    [
      "with more rows than allowed",
      RefusalCode.TOO_LARGE,
      status.RESOURCE_EXHAUSTED,
      "too_large",
      (good) => ({ ...good, blocks: good.blocks.map((block) => ({ ...block, rows: 20_001 })) }),
      /allowed are 20000/,
    ],
  ];
  it.each(wrong)(
    "%s is refused with status, reason and counter, while another host's in the same batch is stored",
    async (_, code, grpcStatus, counter, spoil, reason) => {
      const organisation = await TestOrganisation.create(api);
      const { host: bad } = await enrolled("bad", organisation);
      const { host: good } = await enrolled("good", organisation);
      const badStream = await ingest.connect(bad.credential);
      const goodStream = await ingest.connect(good.credential);
      const before = await refusals(counter);
      const snapshot = makeSnapshot(1, windowStart(3), { tcp_retransmits: [retransmits(5)] });
      goodStream.snapshot(snapshot);
      badStream.snapshot(spoil(snapshot));
      const refusal = await badStream.next("refusal");
      expect(refusal).toMatchObject({ code, status: grpcStatus, retry: false });
      expect(refusal.reason).toMatch(reason);
      expect(Math.abs(Number(refusal.serverTimeMs) - Date.now())).toBeLessThan(60_000);
      expect(await refusals(counter)).toBe(before + 1);
      await goodStream.next("ack");
      expect(await storedSegments(organisation)).toEqual({ [good.hostId]: 5 });
      // The stream lives on: one bad frame costs that frame only.
      badStream.snapshot({ ...snapshot, sequence: 2n });
      expect((await badStream.next("ack")).sequence).toBe(2n);
      badStream.cancel();
      goodStream.cancel();
    },
  );

  it("stores a window of a host whose clock is a day ahead when the agent corrects it", async () => {
    const { organisation, host } = await enrolled();
    const stream = await ingest.connect(host.credential);
    const day = 86_400_000;
    const start = windowStart(3);
    stream.snapshot(makeSnapshot(1, start + day, { tcp_retransmits: [retransmits(3)] }, { clockOffsetMs: BigInt(-day) }));
    await stream.next("ack");
    // The store reports about itself for each organisation, whenever that is due.
    const answer = await api.clickhouse.client.query({
      query: `SELECT toString(toUnixTimestamp64Milli(ts)) AS ts, toString(clock_offset_ms) AS offset FROM windows
        WHERE tenant = {tenant:String} AND host != {server:String}`,
      query_params: { tenant: organisation.id, server: SERVER_HOST },
      format: "JSONEachRow",
    });
    expect(await answer.json()).toEqual([{ ts: String(start), offset: String(-day) }]);
    stream.cancel();
  });
});

describe("a message that is not right", () => {
  it("that is no protobuf ends the stream with INVALID_ARGUMENT and is counted", async () => {
    const { host } = await enrolled();
    const stream = await ingest.connect(host.credential);
    const before = await refusals("malformed");
    stream.sendRaw(Buffer.from([0x12, 0xff, 0xff, 0xff, 0xff, 0x0f, 0x01]));
    const end = await stream.ended;
    expect(end.code).toBe(status.INVALID_ARGUMENT);
    expect(end.details).toContain("StreamSnapshotsRequest");
    expect(await refusals("malformed")).toBe(before + 1);
  });

  it("that is too large ends the stream with RESOURCE_EXHAUSTED and is counted", async () => {
    const { host } = await enrolled();
    const stream = await ingest.connect(host.credential);
    const before = await refusals("too_large");
    stream.sendRaw(Buffer.alloc(FRAME_BYTES_MAX + 1));
    expect((await stream.ended).code).toBe(status.RESOURCE_EXHAUSTED);
    expect(await refusals("too_large")).toBe(before + 1);
  });

  it("that is far too large is cut off by the transport, and the server lives on", async () => {
    const { host } = await enrolled();
    const stream = await ingest.connect(host.credential);
    stream.sendRaw(Buffer.alloc(3 * FRAME_BYTES_MAX));
    expect((await stream.ended).code).toBe(status.RESOURCE_EXHAUSTED);
    (await ingest.connect(host.credential)).cancel();
  });

  it("that comes before the Hello ends the stream with FAILED_PRECONDITION", async () => {
    const { host } = await enrolled();
    const stream = ingest.open(host.credential);
    stream.snapshot(makeSnapshot(1, windowStart(3), {}));
    expect((await stream.ended).code).toBe(status.FAILED_PRECONDITION);
  });

  it("that is a Hello without a boot id ends the stream with INVALID_ARGUMENT", async () => {
    const { host } = await enrolled();
    const stream = ingest.open(host.credential);
    stream.hello({ bootId: "" });
    expect((await stream.ended).code).toBe(status.INVALID_ARGUMENT);
  });
});

describe("the Config", () => {
  it("tells the limits, the API's clock, and which signals would be refused", async () => {
    const { host } = await enrolled();
    const stream = ingest.open(host.credential);
    stream.hello({
      signals: [
        { name: "syscalls", schemaHash: schemaHash(getSignalOrThrow("syscalls")) },
        { name: "tcp_rtt", schemaHash: "1" },
        { name: "tcp_magic", schemaHash: "2" },
      ],
    });
    const config = await stream.next("config");
    expect(config.frameBytesMax).toBe(FRAME_BYTES_MAX);
    expect(config.framesInFlightMax).toBeGreaterThan(0);
    expect(Math.abs(Number(config.serverTimeMs) - Date.now())).toBeLessThan(60_000);
    expect(config.refusedSignals.map((refused) => refused.signal)).toEqual(["tcp_rtt", "tcp_magic"]);
    stream.cancel();
  });
});

describe("what a host says of itself", () => {
  it("is written to its row: facts at Hello, status and newest window afterwards", async () => {
    const { host } = await enrolled("web-1");
    const stream = await ingest.connect(host.credential);
    const start = windowStart(3);
    stream.snapshot(makeSnapshot(2, start, {}));
    stream.snapshot(makeSnapshot(1, start - 60_000, {}));
    stream.status({
      spoolFrames: 3n,
      spoolBytes: 4_096n,
      refusedFrames: 1n,
      droppedFrames: 0n,
      clockOffsetMs: -5n,
      startedAtMs: BigInt(start),
      coarsenedWindows: 0n,
      hours: [],
      settings: undefined,
    });
    await stream.next("ack");
    await stream.next("ack");
    await api.app.get(HostStatusService).save();
    const [row] = await api.app.get(Database).db.select().from(hosts).where(eq(hosts.id, host.hostId));
    expect(row).toMatchObject({
      kernel: "6.1.0-test",
      cpus: 4,
      windowMs: 10_000,
      spoolFrames: 3,
      spoolBytes: 4_096,
      refusedFrames: 1,
      droppedFrames: 0,
      clockOffsetMs: -5,
    });
    expect(row?.lastWindowEndAt?.getTime()).toBe(start + 10_000);
    expect(row?.agentStartedAt?.getTime()).toBe(start);
    stream.cancel();
  });

  it("survives numbers no honest agent sends", async () => {
    const { host } = await enrolled("web-1");
    const stream = await ingest.connect(host.credential);
    const max = 2n ** 64n - 1n;
    stream.status({
      spoolFrames: max,
      spoolBytes: max,
      refusedFrames: max,
      droppedFrames: max,
      clockOffsetMs: -(2n ** 63n),
      startedAtMs: max,
      coarsenedWindows: 0n,
      hours: [],
      settings: undefined,
    });
    stream.snapshot(makeSnapshot(1, windowStart(3), {}));
    await stream.next("ack");
    await api.app.get(HostStatusService).save();
    const [row] = await api.app.get(Database).db.select().from(hosts).where(eq(hosts.id, host.hostId));
    expect(row).toMatchObject({ spoolFrames: Number.MAX_SAFE_INTEGER, agentStartedAt: null });
    stream.cancel();
  });
});

describe("who may send", () => {
  it("nobody without a credential, with another kind of token, or with one nobody issued", async () => {
    const { organisation } = await enrolled();
    for (const token of [
      undefined,
      "nonsense",
      organisation.adminToken,
      organisation.enrolmentToken,
      "wgl_hst_00000000000000000000000000000000000000",
    ]) {
      expect((await ingest.open(token).ended).code).toBe(status.UNAUTHENTICATED);
    }
  });

  it("the newest stream of a host; the older one ends with ABORTED", async () => {
    const { host } = await enrolled();
    const older = await ingest.connect(host.credential);
    const newer = await ingest.connect(host.credential);
    expect((await older.ended).code).toBe(status.ABORTED);
    newer.snapshot(makeSnapshot(1, windowStart(3), {}));
    await newer.next("ack");
    newer.cancel();
  });

  it("a machine enrolled again is the same host with a new credential; the old one stops at once", async () => {
    const organisation = await TestOrganisation.create(api);
    const key = randomBytes(32).toString("hex");
    const first = await ingest.enrol(organisation.enrolmentToken, "db-1", key);
    const stream = await ingest.connect(first.credential);
    const second = await ingest.enrol(organisation.enrolmentToken, "db-1", key);
    expect(second.hostId).toBe(first.hostId);
    expect(second.hostName).toBe("db-1");
    expect((await stream.ended).code).toBe(status.UNAUTHENTICATED);
    expect((await ingest.open(first.credential).ended).code).toBe(status.UNAUTHENTICATED);
    (await ingest.connect(second.credential)).cancel();
  });

  it("two machines of one name get two hosts and two names", async () => {
    const organisation = await TestOrganisation.create(api);
    const [first, second] = [await ingest.enrol(organisation.enrolmentToken, "db"), await ingest.enrol(organisation.enrolmentToken, "db")];
    expect([first.hostName, second.hostName]).toEqual(["db", "db-2"]);
    expect(second.hostId).not.toBe(first.hostId);
  });

  it("the same machine in two organisations is two hosts that never see each other", async () => {
    const key = randomBytes(32).toString("hex");
    const [ours, theirs] = [await TestOrganisation.create(api), await TestOrganisation.create(api)];
    const a = await ingest.enrol(ours.enrolmentToken, "same", key);
    const b = await ingest.enrol(theirs.enrolmentToken, "same", key);
    expect(b.hostId).not.toBe(a.hostId);
    const stream = await ingest.connect(a.credential);
    stream.snapshot(makeSnapshot(1, windowStart(3), { tcp_retransmits: [retransmits(11)] }));
    await stream.next("ack");
    expect(await storedSegments(theirs)).toEqual({});
    expect(await storedSegments(ours)).toEqual({ [a.hostId]: 11 });
    stream.cancel();
  });

  it("does not enrol with a wrong token, a wrong machine key, a name that breaks logs, or bytes that are no message", async () => {
    const organisation = await TestOrganisation.create(api);
    await expect(ingest.enrol("wgl_enr_00000000000000000000000000000000000000", "a")).rejects.toMatchObject({ code: status.UNAUTHENTICATED });
    await expect(ingest.enrol(undefined, "a")).rejects.toMatchObject({ code: status.UNAUTHENTICATED });
    await expect(ingest.enrol(organisation.enrolmentToken, "a", "short")).rejects.toMatchObject({ code: status.INVALID_ARGUMENT });
    await expect(ingest.enrol(organisation.enrolmentToken, "a\nb")).rejects.toMatchObject({ code: status.INVALID_ARGUMENT });
    await expect(ingest.enrolRaw(organisation.enrolmentToken, Buffer.from([0x0a, 0x7f]))).rejects.toMatchObject({ code: status.INVALID_ARGUMENT });
  });
});
