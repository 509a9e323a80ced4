// SPDX-License-Identifier: Apache-2.0
import { status } from "@grpc/grpc-js";
import { RefusalCode } from "@waggle/proto";
import { catalogue } from "@waggle/signals";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { makeSnapshot, retransmits, TestIngest, windowStart } from "../../../test/test-agent.ts";
import { startTestApi, type TestApi, TestOrganisation } from "../../../test/test-api.ts";
import { Database } from "../../postgres/database.ts";
import { organisationLimits } from "../../postgres/schema.ts";
import { IngestServer } from "../ingest/ingest.grpc.ts";
import type { LimitsReport } from "./limits.schemas.ts";
import { LimitsService } from "./limits.service.ts";

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

/** An organisation with limits of its own, and a neighbour with the installation's. */
async function neighbours(limits: Omit<typeof organisationLimits.$inferInsert, "organisationId">) {
  const tight = await TestOrganisation.create(api);
  await api.app
    .get(Database)
    .db.insert(organisationLimits)
    .values({ organisationId: tight.id, ...limits });
  return { tight, neighbour: await TestOrganisation.create(api) };
}

async function openStream(organisation: TestOrganisation, name: string) {
  const host = await ingest.enrol(organisation.enrolmentToken, name);
  return ingest.connect(host.credential);
}

const rowsOf = (count: number) => ({ tcp_retransmits: Array.from({ length: count }, (_, index) => retransmits(1, `p-${index}`)) });
const limitsOf = async (organisation: TestOrganisation) => (await (await organisation.request("/limits")).json()) as LimitsReport;

describe("rows per second", () => {
  it("over them a frame is sent away with the reason and when to come back; the neighbour's are stored", async () => {
    const { tight, neighbour } = await neighbours({ rowsPerSecondMax: 1 });
    const [ours, theirs] = [await openStream(tight, "a"), await openStream(neighbour, "a")];
    // Ten seconds' worth may come at once: the first frame fills the budget, however large it is.
    ours.snapshot(makeSnapshot(1, windowStart(4), rowsOf(9)));
    ours.snapshot(makeSnapshot(2, windowStart(3), rowsOf(9)));
    theirs.snapshot(makeSnapshot(1, windowStart(3), rowsOf(100)));
    const throttle = await ours.next("throttle");
    expect(throttle.waitMs).toBeGreaterThan(0);
    expect(throttle.reason).toMatch(/may send 1 rows\/s.*rows_per_second_max/);
    expect(await ours.next("refusal")).toMatchObject({
      sequence: 2n,
      code: RefusalCode.LIMIT_EXCEEDED,
      retry: true,
      status: status.RESOURCE_EXHAUSTED,
    });
    expect((await ours.next("ack")).sequence).toBe(1n);
    expect((await theirs.next("ack")).sequence).toBe(1n);
    const { max, used } = (await limitsOf(tight)).rowsPerSecond;
    expect(max).toBe(1);
    expect(used).toBeGreaterThanOrEqual(1);
    ours.cancel();
    theirs.cancel();
  });
});

describe("hosts", () => {
  it("over them a new machine is not enrolled, a known one is, and the neighbour's too", async () => {
    const { tight, neighbour } = await neighbours({ hostsMax: 2 });
    const key = "ab".repeat(32);
    await ingest.enrol(tight.enrolmentToken, "one", key);
    await ingest.enrol(tight.enrolmentToken, "two");
    await expect(ingest.enrol(tight.enrolmentToken, "three")).rejects.toMatchObject({
      code: status.RESOURCE_EXHAUSTED,
      details: expect.stringMatching(/may have 2 hosts and has 2.*hosts_max/),
    });
    await ingest.enrol(tight.enrolmentToken, "one", key);
    await ingest.enrol(neighbour.enrolmentToken, "three");
    expect((await limitsOf(tight)).hosts).toEqual({ max: 2, used: 2 });
  });
  it("many that come at once do not get in beside each other", async () => {
    const { tight } = await neighbours({ hostsMax: 5 });
    const outcomes = await Promise.allSettled(Array.from({ length: 20 }, (_, index) => ingest.enrol(tight.enrolmentToken, `burst-${index}`)));
    expect(outcomes.filter(({ status: outcome }) => outcome === "fulfilled")).toHaveLength(5);
    expect((await limitsOf(tight)).hosts).toEqual({ max: 5, used: 5 });
  });
});

describe("a limit of 0", () => {
  it("lets nothing through, says so, and names a time to ask again", async () => {
    const none = { rowsPerSecondMax: 0, queryRowsPerMinuteMax: 0 };
    const { tight, neighbour } = await neighbours(none);
    const [ours, theirs] = [await openStream(tight, "a"), await openStream(neighbour, "a")];
    ours.snapshot(makeSnapshot(1, windowStart(4), rowsOf(1)));
    theirs.snapshot(makeSnapshot(1, windowStart(4), rowsOf(1)));
    const throttle = await ours.next("throttle");
    expect(throttle.reason).toMatch(/may send 0 rows\/s/);
    expect(throttle.waitMs).toBeGreaterThan(0);
    expect(await ours.next("refusal")).toMatchObject({ code: RefusalCode.LIMIT_EXCEEDED, retry: true });
    expect((await theirs.next("ack")).sequence).toBe(1n);

    const query = { signal: "tcp_retransmits", select: [{ measure: "segments", aggregate: "sum" }], from: "now-5m", to: "now" };
    const refused = await tight.request("/query", { body: query });
    expect(refused.status).toBe(429);
    expect(refused.headers.get("retry-after")).toMatch(/^[1-9]\d*$/);
    expect((await refused.json()) as object).toMatchObject({ retryAfterMs: expect.any(Number) });
    expect((await neighbour.request("/query", { body: query })).status).toBe(200);
    for (const stream of [ours, theirs]) stream.cancel();
  });
});

describe("series", () => {
  it("over them agents are told to fold more, the host beyond its share is sent away, and others are not", async () => {
    // Each host has a row of coverage per signal, and room for 38 rows of its own on average.
    const seriesMax = 2 * (catalogue.length + 38);
    const { tight, neighbour } = await neighbours({ seriesMax });
    // Once: what is sent again is the same window, whatever the time is by then.
    const [earlier, later] = [windowStart(4), windowStart(3)];
    const [small, large, theirs] = [await openStream(tight, "small"), await openStream(tight, "large"), await openStream(neighbour, "large")];
    small.snapshot(makeSnapshot(1, earlier, rowsOf(20)));
    await small.next("ack");
    large.snapshot(makeSnapshot(1, earlier, rowsOf(90)));
    const config = await large.next("config");
    expect(config.rowsMax).toBeGreaterThan(0);
    expect(config.rowsMax).toBeLessThan(90);
    expect((await large.next("throttle")).reason).toMatch(new RegExp(`may have ${seriesMax} series and has \\d+;.*series_max`));
    expect(await large.next("refusal")).toMatchObject({ sequence: 1n, code: RefusalCode.LIMIT_EXCEEDED, retry: true });
    expect((await small.next("config")).rowsMax).toBe(config.rowsMax);

    small.snapshot(makeSnapshot(2, later, rowsOf(20)));
    expect((await small.next("ack")).sequence).toBe(2n);
    large.snapshot(makeSnapshot(2, later, rowsOf(config.rowsMax)));
    expect((await large.next("ack")).sequence).toBe(2n);
    // What was sent away is no series that exists now: it is stored after all, and nothing is lost.
    large.snapshot(makeSnapshot(1, earlier, rowsOf(90)));
    expect((await large.next("ack")).sequence).toBe(1n);
    theirs.snapshot(makeSnapshot(1, later, rowsOf(500)));
    expect((await theirs.next("ack")).sequence).toBe(1n);
    expect((await limitsOf(tight)).series).toEqual({
      max: seriesMax,
      used: 20 + config.rowsMax + 2 * catalogue.length,
      rowsMaxPerSignal: config.rowsMax,
    });
    for (const stream of [small, large, theirs]) stream.cancel();
  });
});

describe("queries", () => {
  const query = { signal: "tcp_retransmits", select: [{ measure: "segments", aggregate: "sum" }], from: "now-5m", to: "now" };

  it("that read more rows than allowed make the next ones wait, with Retry-After; the neighbour's are answered", async () => {
    const { tight, neighbour } = await neighbours({ queryRowsPerMinuteMax: 600_000 });
    expect((await tight.request("/query", { body: query })).status).toBe(200);
    (await api.app.get(LimitsService).admitQuery(tight.id))(1_300_000);
    const refused = await tight.request("/query", { body: query });
    expect(refused.status).toBe(429);
    expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(60);
    expect(await refused.json()).toMatchObject({
      code: "RATE_LIMITED",
      retryable: true,
      detail: expect.stringMatching(/600,000 rows a minute.*query_rows_per_minute_max/),
    });
    expect((await neighbour.request("/query", { body: query })).status).toBe(200);
  });

  it("that run at once beyond the limit are answered 429; when one ends, the next may run", async () => {
    const { tight, neighbour } = await neighbours({ queriesAtOnceMax: 1 });
    const done = await api.app.get(LimitsService).admitQuery(tight.id);
    expect((await tight.request("/query", { body: query })).status).toBe(429);
    expect((await limitsOf(tight)).queriesAtOnce).toEqual({ max: 1, used: 1 });
    expect((await neighbour.request("/query", { body: query })).status).toBe(200);
    done(0);
    expect((await tight.request("/query", { body: query })).status).toBe(200);
    // A query that is refused as invalid has ended too, and read nothing.
    const { used } = (await limitsOf(tight)).queryRowsPerMinute;
    for (const body of [{ signal: "nothing" }, { ...query, signal: "nothing" }, { ...query, from: "yesterday" }])
      expect((await tight.request("/query", { body })).status).toBe(422);
    expect((await limitsOf(tight)).queryRowsPerMinute.used).toBeLessThanOrEqual(used);
    expect((await tight.request("/query", { body: query })).status).toBe(200);
  });
});

describe("GET /api/v1/limits", () => {
  it("shows the installation's defaults where an organisation has none, and changes within a review", async () => {
    const organisation = await TestOrganisation.create(api);
    expect((await limitsOf(organisation)).rowsPerSecond.max).toBe(api.config.limits.rowsPerSecondMax);
    await api.app.get(Database).db.insert(organisationLimits).values({ organisationId: organisation.id, rowsPerSecondMax: 5 });
    await api.app.get(LimitsService).review();
    expect((await limitsOf(organisation)).rowsPerSecond.max).toBe(5);
  });

  it("answers nobody without a token", async () => {
    expect((await fetch(`${api.url}/api/v1/limits`)).status).toBe(401);
  });
});
