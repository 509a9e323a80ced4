// SPDX-License-Identifier: Apache-2.0
import { bucketIndex, getSignalOrThrow, hostSignals, RELATIVE_ERROR_MAX } from "@waggle/signals";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { startTestApi, type TestApi, TestOrganisation } from "../../../test/test-api.ts";
import { ClickHouseService } from "../../clickhouse/clickhouse.service.ts";
import { LimitsService } from "../limits/limits.service.ts";
import { RollupsService } from "../rollups/rollups.service.ts";
import { LARGE_FLEET_HOSTS } from "./known-hosts.ts";
import { measuresOf } from "./measures.ts";
import { QueryRepository } from "./query.repository.ts";
import type { Answer, HeatmapSeries, ValueSeries } from "./query.schemas.ts";
import { StatementAdmission } from "./statement-admission.ts";

let api: TestApi;
beforeAll(async () => {
  api = await startTestApi();
  // Rows that are stored around the ingest path, without their frames, are never rolled up: these tests ask raw rows.
  await api.app.get(RollupsService).stop();
});
afterAll(() => api?.[Symbol.asyncDispose]());

/** A full minute, five minutes ago: nothing here depends on the second the test starts in. */
const t0 = Math.floor(Date.now() / 60_000) * 60_000 - 300_000;
const window = (index: number): number => t0 + index * 10_000;
const minute = { from: t0, to: t0 + 60_000 };

const connections = getSignalOrThrow("tcp_connections");
const retransmits = getSignalOrThrow("tcp_retransmits");
const rtt = getSignalOrThrow("tcp_rtt");
const coverage = getSignalOrThrow("agent_coverage");

const flow = { process: "nginx", unit: "nginx.service", role: "client", peer: "10.0.0.1", peer_port: "443", port: "ephemeral" };
const at = (host: string, index: number, ms = 10_000) => ({ host, ts: window(index), window_ms: ms });

function histogram(values: readonly number[]) {
  const counts = new Map<number, number>();
  for (const value of values) counts.set(bucketIndex(BigInt(value)), (counts.get(bucketIndex(BigInt(value))) ?? 0) + 1);
  const k = [...counts.keys()].sort((a, b) => a - b);
  return {
    count: values.length,
    sum: values.reduce((sum, value) => sum + value, 0),
    min: Math.min(...values),
    max: Math.max(...values),
    k,
    c: k.map((index) => counts.get(index)),
  };
}

async function cover(
  organisation: TestOrganisation,
  host: string,
  signals: readonly string[],
  windows: readonly number[],
  state = "exact",
  reason = "",
) {
  await organisation.store(
    coverage,
    windows.flatMap((index) => signals.map((signal) => ({ ...at(host, index), signal, state, reason, windows: 1 }))),
  );
  await organisation.storeWindows(windows.map((index) => at(host, index)));
}

async function query(organisation: TestOrganisation, body: Record<string, unknown>): Promise<Answer> {
  const response = await organisation.request("/query", { body });
  const answer = (await response.json()) as Answer & { detail?: string };
  expect(response.status, answer.detail).toBe(200);
  return answer;
}

const values = (answer: Answer, labels: Record<string, string> = {}): (number | null)[] | undefined =>
  (answer.series as ValueSeries[]).find((series) => JSON.stringify(series.labels) === JSON.stringify(labels))?.values;

describe("sums", () => {
  it("add up exactly, and tell a gap from a zero", async () => {
    const organisation = await TestOrganisation.create(api);
    const host = await organisation.addHost("web-1");
    await cover(organisation, host, ["tcp_retransmits"], [0, 1, 2, 5]);
    await organisation.store(retransmits, [
      { ...at(host, 0), ...flow, class: "fast", segments: 3 },
      { ...at(host, 0), ...flow, class: "timeout", segments: 4 },
      { ...at(host, 2), ...flow, class: "fast", segments: 16 },
    ]);
    const body = { signal: "tcp_retransmits", select: [{ measure: "segments", aggregate: "sum" }], ...minute };
    const answer = await query(organisation, body);
    expect(values(answer)).toEqual([7, 0, 16, null, null, 0]);
    expect(answer.meta).toMatchObject({ stepSeconds: 10, points: 6, unit: "segments", truncated: null });
    expect(answer.meta.coverage).toMatchObject({ hosts: 1, reporting: 1, missing: [], steps: [1, 1, 1, 0, 0, 1] });
    expect(values(await query(organisation, { ...body, points: 1 }))).toEqual([23]);
  });

  it("count a row that was stored twice once", async () => {
    const organisation = await TestOrganisation.create(api);
    const host = await organisation.addHost("web-1");
    await cover(organisation, host, ["tcp_retransmits"], [0]);
    const rows = [{ ...at(host, 0), ...flow, class: "fast", segments: 23 }];
    await organisation.store(retransmits, rows);
    await organisation.store(retransmits, rows);
    const answer = await query(organisation, {
      signal: "tcp_retransmits",
      select: [{ measure: "segments", aggregate: "sum" }],
      ...minute,
      points: 1,
    });
    expect(values(answer)).toEqual([23]);
  });

  it("group by host and dimension, keep the largest and merge the rest and the agent's own overflow into ~other", async () => {
    const organisation = await TestOrganisation.create(api);
    const [one, two] = [await organisation.addHost("web-1"), await organisation.addHost("web-2")];
    for (const host of [one, two]) await cover(organisation, host, ["tcp_retransmits"], [0, 1]);
    await organisation.store(retransmits, [
      ...["a", "b", "c", "d"].map((process, index) => ({ ...at(one, 0), ...flow, process, class: "fast", segments: 10 - index })),
      { ...at(one, 1), ...flow, process: "~other", class: "~other", segments: 100 },
      { ...at(two, 1), ...flow, process: "a", class: "fast", segments: 5 },
    ]);
    const select = [{ measure: "segments", aggregate: "sum" }];
    const byProcess = await query(organisation, { signal: "tcp_retransmits", select, by: ["process"], ...minute, points: 1, limit: 2 });
    expect((byProcess.series as ValueSeries[]).map((series) => [series.labels.process, series.values[0]])).toEqual([
      ["a", 15],
      ["b", 9],
      ["~other", 115],
    ]);
    expect(byProcess.meta.truncated).toEqual({ shown: 2, total: 4 });

    const byHost = await query(organisation, {
      signal: "tcp_retransmits",
      select,
      by: ["host", "process"],
      where: "process:a",
      ...minute,
      points: 1,
    });
    expect((byHost.series as ValueSeries[]).map((series) => [series.labels, series.values[0]])).toEqual([
      [{ host: "web-1", process: "a" }, 10],
      [{ host: "web-2", process: "a" }, 5],
    ]);
    expect(byHost.meta.truncated).toBeNull();
  });

  it("filter by glob, negation, list and host name", async () => {
    const organisation = await TestOrganisation.create(api);
    const [web, db] = [await organisation.addHost("web-1"), await organisation.addHost("db_1")];
    for (const host of [web, db]) await cover(organisation, host, ["tcp_retransmits"], [0]);
    await organisation.store(retransmits, [
      { ...at(web, 0), ...flow, process: "nginx", peer_port: "443", class: "fast", segments: 1 },
      { ...at(web, 0), ...flow, process: "nginx-debug", peer_port: "80", class: "fast", segments: 10 },
      { ...at(db, 0), ...flow, process: "postgres", peer_port: "443", class: "fast", segments: 100 },
      { ...at(db, 0), ...flow, process: "", peer: "fe80::1", peer_port: "22", class: "fast", segments: 1000 },
    ]);
    const total = async (where: string) => {
      const answer = await query(organisation, {
        signal: "tcp_retransmits",
        select: [{ measure: "segments", aggregate: "sum" }],
        where,
        ...minute,
        points: 1,
      });
      return [answer.meta.coverage.hosts, values(answer)?.[0]];
    };
    expect(await total("process:nginx*")).toEqual([2, 11]);
    expect(await total("host:web-*")).toEqual([1, 11]);
    expect(await total("host:db%1")).toEqual([0, null]);
    expect(await total(`host:${db}`)).toEqual([1, 1100]);
    expect(await total("-host:web-*")).toEqual([1, 1100]);
    expect(await total("-peer_port:443,22")).toEqual([2, 10]);
    expect(await total('process:""')).toEqual([2, 1000]);
    expect(await total("peer:fe80::1 process:nginx")).toEqual([2, 0]);
    expect(await total("process:it's\\'")).toEqual([2, 0]);
  });
});

describe("rates", () => {
  it("stay right where a sum times a thousand no longer fits into 64 bits", async () => {
    const organisation = await TestOrganisation.create(api);
    const host = await organisation.addHost("web-1");
    const latency = getSignalOrThrow("syscall_latency");
    await cover(organisation, host, ["syscall_latency"], [0]);
    const sum = 2e17;
    await organisation.store(latency, [
      { ...at(host, 0), process: "p", unit: "", syscall: "epoll_wait", count: 1, sum, min: sum, max: sum, k: [460], c: [1] },
    ]);
    const answer = await query(organisation, {
      signal: "syscall_latency",
      select: [{ measure: "sum", aggregate: "rate" }],
      ...minute,
      points: 1,
    });
    expect(values(answer)).toEqual([sum / 10]);
  });

  it("divide by the time a host reported, not by the length of the step", async () => {
    const organisation = await TestOrganisation.create(api);
    const [full, half] = [await organisation.addHost("full"), await organisation.addHost("half")];
    await cover(organisation, full, ["tcp_retransmits"], [0, 1, 2, 3, 4, 5]);
    await cover(organisation, half, ["tcp_retransmits"], [0, 1, 2]);
    // Both send 2 a second again whenever they report.
    await organisation.store(retransmits, [
      ...[0, 1, 2, 3, 4, 5].map((index) => ({ ...at(full, index), ...flow, class: "fast", segments: 20 })),
      ...[0, 1, 2].map((index) => ({ ...at(half, index), ...flow, class: "fast", segments: 20 })),
    ]);
    const select = [
      { measure: "segments", aggregate: "rate" },
      { measure: "segments", aggregate: "sum" },
    ];
    const answer = await query(organisation, { signal: "tcp_retransmits", select, ...minute, points: 1 });
    expect((answer.series as ValueSeries[]).map((series) => [series.aggregate, series.unit, series.values])).toEqual([
      ["rate", "segments/s", [4]],
      ["sum", "segments", [180]],
    ]);
    expect(answer.meta.coverage.steps).toEqual([0.75]);
    const byHost = await query(organisation, { signal: "tcp_retransmits", select: [select[0]], by: ["host"], ...minute });
    expect(values(byHost, { host: "full" })).toEqual([2, 2, 2, 2, 2, 2]);
    expect(values(byHost, { host: "half" })).toEqual([2, 2, 2, null, null, null]);
  });
});

describe("gauges", () => {
  it("add up over keys and hosts first and are then the last, least, largest or mean of the windows", async () => {
    const organisation = await TestOrganisation.create(api);
    const [one, two] = [await organisation.addHost("one"), await organisation.addHost("two")];
    for (const host of [one, two]) await cover(organisation, host, ["tcp_connections"], [0, 1, 2, 3, 4, 5]);
    const zero = Object.fromEntries(connections.measures.map((measure) => [measure.name, 0]));
    const active = (host: string, index: number, process: string, count: number) => ({
      ...at(host, index),
      ...flow,
      process,
      ...zero,
      active: count,
    });
    await organisation.store(connections, [
      ...[0, 1, 2, 3].map((index) => active(one, index, "a", 3)),
      ...[0, 1, 2, 3].map((index) => active(one, index, "b", 2)),
      // In the last two windows host one has no row: no open connection.
      ...[0, 1, 2, 3, 4, 5].map((index) => active(two, index, "a", index)),
    ]);
    const select = ["last", "min", "max", "avg"].map((aggregate) => ({ measure: "active", aggregate }));
    const answer = await query(organisation, { signal: "tcp_connections", select, ...minute, points: 1 });
    expect(Object.fromEntries((answer.series as ValueSeries[]).map((series) => [series.aggregate, series.values[0]]))).toEqual({
      last: 5,
      min: 4,
      max: 8,
      avg: expect.closeTo((5 * 4) / 6 + 15 / 6, 9),
    });
    const byProcess = await query(organisation, { signal: "tcp_connections", select, by: ["process"], where: "host:one", ...minute, points: 1 });
    const b = (byProcess.series as ValueSeries[]).filter((series) => series.labels.process === "b").map((series) => series.values[0]);
    expect(b).toEqual([0, 0, 2, expect.closeTo((2 * 4) / 6, 9)]);
  });
});

describe("histograms", () => {
  const samples = Array.from({ length: 4_000 }, (_, index) => Math.round(20_000 * 1.002 ** index));

  it("give percentiles within the stated bound of the exact ones, and exact count, mean and extremes", async () => {
    const organisation = await TestOrganisation.create(api);
    const [one, two] = [await organisation.addHost("one"), await organisation.addHost("two")];
    for (const host of [one, two]) await cover(organisation, host, ["tcp_rtt"], [0, 1, 2, 3]);
    // Dealt out over hosts, windows and peers: merging has to put them together again.
    await organisation.store(
      rtt,
      [one, two].flatMap((host, h) =>
        [0, 1, 2, 3].flatMap((index) =>
          ["10.0.0.1", "10.0.0.2"].map((peer, p) => ({
            ...at(host, index),
            ...flow,
            peer,
            ...histogram(samples.filter((_, i) => i % 16 === h * 8 + index * 2 + p)),
          })),
        ),
      ),
    );
    const select = ["p50", "p90", "p99", "p99.9", "min", "max", "avg", "count"].map((aggregate) => ({ measure: "rtt", aggregate }));
    const answer = await query(organisation, { signal: "tcp_rtt", select, ...minute, points: 1 });
    const found = Object.fromEntries((answer.series as ValueSeries[]).map((series) => [series.aggregate, series.values[0] as number]));
    for (const [name, q] of Object.entries({ p50: 0.5, p90: 0.9, p99: 0.99, "p99.9": 0.999 })) {
      const exact = samples[Math.ceil(q * samples.length) - 1] as number;
      expect(Math.abs((found[name] as number) - exact) / exact, name).toBeLessThanOrEqual(RELATIVE_ERROR_MAX);
    }
    expect(found).toMatchObject({ min: samples[0], max: samples[3_999], count: 4_000 });
    expect(found.avg).toBeCloseTo(samples.reduce((sum, value) => sum + value, 0) / 4_000, 3);
    expect(answer.meta.errorBound).toBeCloseTo(0.0443, 4);

    const steps = await query(organisation, { signal: "tcp_rtt", select: [select[0], select[7]], ...minute });
    expect((steps.series[1] as ValueSeries).values).toEqual([1_000, 1_000, 1_000, 1_000, null, null]);
    expect((steps.series[0] as ValueSeries).values.slice(4)).toEqual([null, null]);
  });

  it("merge what lies beyond the limit into ~other", async () => {
    const organisation = await TestOrganisation.create(api);
    const host = await organisation.addHost("one");
    await cover(organisation, host, ["tcp_rtt"], [0]);
    await organisation.store(rtt, [
      { ...at(host, 0), ...flow, process: "busy", ...histogram([100, 100, 100, 100]) },
      { ...at(host, 0), ...flow, process: "x", ...histogram([5_000, 5_000]) },
      { ...at(host, 0), ...flow, process: "y", ...histogram([5_000]) },
    ]);
    const select = [
      { measure: "count", aggregate: "sum" },
      { measure: "rtt", aggregate: "p50" },
    ];
    const answer = await query(organisation, { signal: "tcp_rtt", select, by: ["process"], ...minute, points: 1, limit: 1 });
    expect((answer.series as ValueSeries[]).map((series) => [series.labels.process, series.measure, series.values[0]])).toEqual([
      ["busy", "count", 4],
      ["busy", "rtt", 100],
      ["~other", "count", 3],
      ["~other", "rtt", 5_000],
    ]);
    // One value each is ranked by that value, over many steps by volume.
    const slowest = { signal: "tcp_rtt", select: select.toReversed(), by: ["process"], ...minute, limit: 1 };
    expect((await query(organisation, { ...slowest, points: 1 })).series.map((series) => series.labels.process)).toEqual([
      "x",
      "x",
      "~other",
      "~other",
    ]);
    expect((await query(organisation, slowest)).series.map((series) => series.labels.process)).toEqual(["busy", "busy", "~other", "~other"]);
  });

  it("give heat maps whose cells add up to the count and know gaps", async () => {
    const organisation = await TestOrganisation.create(api);
    const host = await organisation.addHost("one");
    await cover(organisation, host, ["tcp_rtt"], [0, 1, 2]);
    await organisation.store(rtt, [
      { ...at(host, 0), ...flow, ...histogram([1_000, 1_000, 4_000]) },
      { ...at(host, 2), ...flow, ...histogram([2_000]) },
    ]);
    const answer = await query(organisation, { signal: "tcp_rtt", select: [{ measure: "rtt", aggregate: "heatmap" }], ...minute });
    const heatmap = answer.series[0] as HeatmapSeries;
    expect(heatmap.buckets[0]).toSatisfy((bucket: { lower: number; upper: number }) => bucket.lower < 1_000 && 1_000 <= bucket.upper);
    expect(heatmap.buckets.at(-1)).toSatisfy((bucket: { lower: number; upper: number }) => bucket.lower < 4_000 && 4_000 <= bucket.upper);
    for (const [index, bucket] of heatmap.buckets.slice(1).entries()) expect(bucket.lower).toBe(heatmap.buckets[index]?.upper);
    const columns = Array.from({ length: 6 }, (_, step) => heatmap.cells.map((row) => row[step]));
    expect(
      columns.map((column) => (column.every((cell) => cell === null) ? null : column.reduce((sum: number, cell) => sum + (cell as number), 0))),
    ).toEqual([3, 0, 1, null, null, null]);
    expect(heatmap.cells[0]?.[0]).toBe(2);
  });
});

describe("coverage", () => {
  it("names every host that is missing, and why", async () => {
    const organisation = await TestOrganisation.create(api);
    const good = await organisation.addHost("a-good");
    await organisation.addHost("b-never");
    await organisation.addHost("c-gone", { lastWindowEndAt: new Date(t0 - 600_000) });
    const old = await organisation.addHost("d-old");
    await organisation.addHost("e-retired", { retiredAt: new Date(t0 - 600_000) });
    await cover(organisation, good, ["tcp_rtt"], [0, 1, 2, 3, 4, 5]);
    await cover(organisation, old, ["tcp_rtt"], [0, 1], "unsupported", "no BTF in this kernel");
    await organisation.addHost("f-later", { enrolledAt: new Date(t0 + 120_000) });
    const answer = await query(organisation, { signal: "tcp_rtt", select: [{ measure: "rtt", aggregate: "p50" }], ...minute });
    expect(answer.meta.coverage).toMatchObject({ hosts: 4, reporting: 1 });
    expect(answer.meta.coverage.missing).toEqual([
      { host: "b-never", state: "waiting", reason: "never reported", since: expect.any(String) },
      { host: "c-gone", state: "offline", reason: "offline", since: new Date(t0 - 600_000).toISOString() },
      { host: "d-old", state: "unsupported", reason: "no BTF in this kernel", since: new Date(t0).toISOString() },
    ]);
  });

  it("says so when a filter matches no host", async () => {
    const organisation = await TestOrganisation.create(api);
    await organisation.addHost("web-1");
    const answer = await query(organisation, { signal: "tcp_rtt", select: [{ measure: "rtt", aggregate: "p50" }], where: "host:db-*", ...minute });
    expect(answer.meta.coverage).toMatchObject({ hosts: 0, reporting: 0, missing: [], note: "No enrolled host matches." });
    expect(values(answer)).toEqual([null, null, null, null, null, null]);
    expect(answer.meta.rowsRead).toBe(0);
  });

  it("notes a signal that is measured by sampling", async () => {
    const organisation = await TestOrganisation.create(api);
    const host = await organisation.addHost("web-1");
    await cover(organisation, host, ["tcp_retransmits"], [0], "sampled", "1 in 8, over budget");
    const answer = await query(organisation, { signal: "tcp_retransmits", select: [{ measure: "segments", aggregate: "sum" }], ...minute });
    expect(answer.meta.coverage.note).toBe("sampled on web-1: 1 in 8, over budget.");
    expect(values(answer)?.[0]).toBe(0);
  });
});

describe("tenants", () => {
  it("never see each other's rows, hosts or coverage, even under the same names and ids", async () => {
    const [mine, theirs] = [await TestOrganisation.create(api), await TestOrganisation.create(api)];
    const myHost = await mine.addHost("web-1");
    const theirHost = await theirs.addHost("web-1");
    await cover(mine, myHost, ["tcp_retransmits"], [0]);
    await cover(theirs, theirHost, ["tcp_retransmits"], [0, 1, 2]);
    await mine.store(retransmits, [{ ...at(myHost, 0), ...flow, class: "fast", segments: 1 }]);
    await theirs.store(retransmits, [
      { ...at(theirHost, 0), ...flow, process: "secret", class: "fast", segments: 1_000 },
      // Rows under my host's id, but theirs by tenant.
      { ...at(myHost, 0), ...flow, process: "secret", class: "fast", segments: 5_000 },
    ]);
    for (const by of [[], ["host"], ["process"]]) {
      const answer = await query(mine, { signal: "tcp_retransmits", select: [{ measure: "segments", aggregate: "sum" }], by, ...minute, points: 1 });
      expect((answer.series as ValueSeries[]).map((series) => series.values)).toEqual([[1]]);
      expect(JSON.stringify(answer)).not.toContain("secret");
      expect(answer.meta.coverage.hosts).toBe(1);
    }
    const byTheirId = await query(mine, {
      signal: "tcp_retransmits",
      select: [{ measure: "segments", aggregate: "sum" }],
      where: `host:${theirHost}`,
      ...minute,
    });
    expect(byTheirId.meta.coverage.hosts).toBe(0);
  });
});

describe("bad requests", () => {
  const good = { signal: "tcp_rtt", select: [{ measure: "rtt", aggregate: "p99" }], from: "now-15m", to: "now" };
  const problem = async (organisation: TestOrganisation, body: unknown) => {
    const response = await organisation.request("/query", { body });
    expect(response.headers.get("content-type")).toContain("application/problem+json");
    const document = (await response.json()) as { status: number; code: string; errors?: { pointer: string; suggestion?: string }[] };
    expect(document.status).toBe(response.status);
    return document;
  };

  it.each([
    ["an unknown signal", { ...good, signal: "tcp_rt" }, 422, "SIGNAL_NOT_FOUND", { pointer: "/signal", suggestion: "tcp_rtt" }],
    [
      "an unknown measure",
      { ...good, select: [{ measure: "rrt", aggregate: "p99" }] },
      422,
      "VALIDATION_FAILED",
      { pointer: "/select/0/measure", suggestion: "rtt" },
    ],
    [
      "an aggregate that does not fit",
      { ...good, select: [{ measure: "rtt", aggregate: "rate" }] },
      422,
      "VALIDATION_FAILED",
      { pointer: "/select/0/aggregate" },
    ],
    ["an unknown dimension", { ...good, by: ["procss"] }, 422, "VALIDATION_FAILED", { pointer: "/by/0", suggestion: "process" }],
    ["a bad filter", { ...good, where: "syscall:read" }, 422, "VALIDATION_FAILED", { pointer: "/where" }],
    ["a bad range", { ...good, from: "now", to: "now-1h" }, 422, "VALIDATION_FAILED", { pointer: "/from" }],
    ["a time that is no time", { ...good, to: "soon" }, 422, "VALIDATION_FAILED", { pointer: "/to" }],
    ["an unknown field", { ...good, group: ["host"] }, 422, "VALIDATION_FAILED", { pointer: "/group" }],
    ["too many points", { ...good, points: 10_000 }, 422, "VALIDATION_FAILED", { pointer: "/points" }],
    ["no selection", { ...good, select: [] }, 422, "VALIDATION_FAILED", { pointer: "/select" }],
    ["SQL where a name belongs", { ...good, by: ["process` FROM windows --"] }, 422, "VALIDATION_FAILED", { pointer: "/by/0" }],
  ])("refuse %s with its place and a hint", async (_, body, status, code, error) => {
    const organisation = await TestOrganisation.create(api);
    const document = await problem(organisation, body);
    expect(document).toMatchObject({ status, code });
    expect(document.errors?.[0]).toMatchObject(error);
  });

  it("refuse a wrong token, and one of another kind", async () => {
    const organisation = await TestOrganisation.create(api);
    for (const token of ["wgl_adm_wrong", organisation.enrolmentToken]) {
      const response = await organisation.request("/query", { body: good, headers: { authorization: `Bearer ${token}` } });
      expect(response.status).toBe(401);
      expect(await response.json()).toMatchObject({ code: "UNAUTHENTICATED" });
    }
  });
});

describe("the named shortcuts", () => {
  it("answer what the same query answers", async () => {
    const organisation = await TestOrganisation.create(api);
    const host = await organisation.addHost("web-1");
    await cover(organisation, host, ["tcp_rtt", "tcp_retransmits", "syscalls"], [0, 1]);
    await organisation.store(retransmits, [{ ...at(host, 0), ...flow, class: "fast", segments: 23 }]);
    await organisation.store(rtt, [{ ...at(host, 0), ...flow, ...histogram([7_000]) }]);
    await organisation.store(getSignalOrThrow("syscalls"), [{ ...at(host, 0), process: "sh", unit: "", syscall: "getppid", count: 1_000 }]);
    const range = `from=${t0}&to=${t0 + 60_000}&points=1`;
    const get = async (path: string) => (await (await organisation.request(path)).json()) as Answer;
    expect(values(await get(`/retransmits?by=process,peer&${range}`), { process: "nginx", peer: "10.0.0.1" })).toEqual([23]);
    expect(values(await get(`/syscalls?by=process,syscall&where=syscall:getppid&${range}`), { process: "sh", syscall: "getppid" })).toEqual([1_000]);
    const latency = await get(`/latency?aggregate=p50,p99&${range}`);
    expect((latency.series as ValueSeries[]).map((series) => [series.aggregate, series.values])).toEqual([
      ["p50", [7_000]],
      ["p99", [7_000]],
    ]);
    const bad = await organisation.request(`/latency?signal=syscalls&points=x&foo=1`);
    expect(bad.status).toBe(422);
    expect(((await bad.json()) as { errors: { pointer: string }[] }).errors.map((error) => error.pointer).sort()).toEqual([
      "/foo",
      "/points",
      "/signal",
    ]);
  });
});

describe("every signal", () => {
  it("answers everything the catalogue says it can be asked, by everything it has", async () => {
    const organisation = await TestOrganisation.create(api);
    const host = await organisation.addHost("web-1");
    const names = hostSignals.map((signal) => signal.name);
    await cover(organisation, host, names, [0]);
    for (const signal of hostSignals) {
      if (signal.name !== "agent_coverage") {
        const labels = Object.fromEntries(signal.dimensions.map((name) => [name, "x"]));
        const numbers = signal.kind === "histogram" ? histogram([8, 8, 8]) : Object.fromEntries(signal.measures.map((measure) => [measure.name, 8]));
        await organisation.store(signal, [{ ...at(host, 0), ...labels, ...numbers }]);
      }
      for (const measure of measuresOf(signal)) {
        const select = measure.aggregates.map((aggregate) => ({ measure: measure.name, aggregate }));
        const answer = await query(organisation, { signal: signal.name, select, by: ["host", ...signal.dimensions].slice(0, 3), ...minute });
        const first = answer.series[0] as ValueSeries;
        expect(answer.series.length % select.length).toBe(0);
        expect(first.labels.host).toBe("web-1");
        if (first.aggregate !== "heatmap") expect(first.values[0], `${signal.name}.${measure.name}`).toBeGreaterThan(0);
      }
    }
  });
});

describe("limits", () => {
  it("take a filter that leaves thousands of hosts", async () => {
    const organisation = await TestOrganisation.create(api);
    const host = await organisation.addHost("web-0");
    await organisation.addHosts(Array.from({ length: 5_000 }, (_, i) => `web-${i + 1}`));
    await cover(organisation, host, ["tcp_retransmits"], [0]);
    await organisation.store(retransmits, [{ ...at(host, 0), ...flow, class: "fast", segments: 23 }]);
    const answer = await query(organisation, {
      signal: "tcp_retransmits",
      select: [{ measure: "segments", aggregate: "rate" }],
      where: "host:web-*",
      ...minute,
    });
    expect(values(answer)?.[0]).toBe(2.3);
    expect(answer.meta.coverage).toMatchObject({ hosts: 5_001, reporting: 1 });
  });

  it("give every host of a large fleet a series of its own when it asks for one point, and otherwise say what to do", async () => {
    const organisation = await TestOrganisation.create(api);
    const names = Array.from({ length: 10_000 }, (_, i) => `node-${String(i).padStart(5, "0")}`);
    await organisation.addHosts(names);
    const ids = new Map((await api.app.get(QueryRepository).listHosts(organisation.id)).map((host) => [host.name, host.id]));
    const rows = names.slice(0, 2_500).map((name, index) => ({ ...at(ids.get(name) as string, 0), ...flow, class: "fast", segments: 5_000 - index }));
    await organisation.store(retransmits, rows);
    await organisation.store(
      coverage,
      rows.map((row) => ({ ...at(row.host, 0), signal: "tcp_retransmits", state: "exact", reason: "", windows: 1 })),
    );
    const body = { signal: "tcp_retransmits", select: [{ measure: "segments", aggregate: "sum" }], by: ["host"], points: 1, ...minute };
    const all = await query(organisation, { ...body, limit: 10_000 });
    expect(all.series).toHaveLength(2_500);
    expect(all.meta.truncated).toBeNull();
    expect(values(all, { host: "node-02499" })).toEqual([2_501]);
    // Who asks the same a few seconds later, in the same window, is told the same: nothing is read again.
    const again = await query(organisation, { ...body, limit: 10_000, explain: true, from: t0 + 3_000, to: t0 + 59_000 });
    expect(again.meta).toMatchObject({ from: all.meta.from, to: all.meta.to, rowsRead: 0 });
    expect(again.meta.explain?.statements.map(({ origin }) => origin)).toEqual(["recent", "recent"]);
    expect(again.series).toEqual(all.series);
    expect(again.meta.coverage).toEqual(all.meta.coverage);
    // Who asks for the same at the same time gets the same answer, however it is wanted; what was read for it counts once.
    const leftOf = () => api.app.get(LimitsService).queryRows(organisation.id).left;
    const left = leftOf();
    const ask = (headers: Record<string, string>, seconds = 60) =>
      organisation.request("/query", { body: { ...body, limit: 10_000, to: t0 + seconds * 1_000 }, headers });
    const encodings = ["gzip", "br", "identity", "gzip"];
    const [csv, ...answers] = await Promise.all([
      ask({ accept: "text/csv" }),
      ...encodings.map(async (encoding, index) => {
        const response = await ask({ "accept-encoding": encoding }, 60 - index);
        expect(response.headers.get("content-encoding")).toBe(encoding === "identity" ? null : encoding);
        return (await response.json()) as Answer;
      }),
    ]);
    expect(csv.headers.get("content-type")).toContain("text/csv");
    expect((await csv.text()).split("\r\n")).toHaveLength(2_502);
    for (const answer of answers) expect(answer).toEqual(answers[0]);
    expect(answers[0]?.series).toEqual(all.series);
    expect(leftOf()).toBeGreaterThanOrEqual(left - (answers[0]?.meta.rowsRead ?? 0));
    // Where another question is asked, another organisation asks, or a host is new, it is another answer.
    expect((await query(organisation, { ...body, limit: 10_000, by: ["process"] })).series).toHaveLength(1);
    const stranger = await TestOrganisation.create(api);
    expect((await query(stranger, { ...body, limit: 10_000 })).series).toEqual([]);
    await organisation.addHost("node-new");
    await expect.poll(async () => (await query(organisation, { ...body, limit: 10_000 })).meta.coverage.hosts, { timeout: 60_000 }).toBe(10_001);
    // The lists of hosts and of groups that are shown are both long here.
    const most = await query(organisation, { ...body, limit: 2_400, where: "host:node-*" });
    expect(most.meta.truncated).toEqual({ shown: 2_400, total: 2_500 });
    expect(values(most, { host: "node-02399" })).toEqual([2_601]);
    expect(values(most, { host: "~other" })).toEqual([rows.slice(2_400).reduce((sum, row) => sum + row.segments, 0)]);

    const response = await organisation.request("/query", { body: { ...body, points: 2, limit: 101 } });
    expect(response.status).toBe(422);
    expect(await response.json()).toMatchObject({
      code: "VALIDATION_FAILED",
      errors: [{ pointer: "/limit", detail: expect.stringContaining("points = 1") }],
    });
    expect((await organisation.request("/query", { body: { ...body, limit: 10_001 } })).status).toBe(422);
    expect((await organisation.request("/retransmits?by=host&points=1&limit=10000")).status).toBe(200);
    expect((await organisation.request("/retransmits?by=host&limit=101")).status).toBe(422);
  });

  it("give names of any length and with any character back when the rest is merged", async () => {
    const organisation = await TestOrganisation.create(api);
    const host = await organisation.addHost("web-1");
    const units = Array.from({ length: 120 }, (_, i) => `${i}${"\\'".repeat(250)}`);
    await organisation.store(
      retransmits,
      units.map((unit, index) => ({ ...at(host, 0), ...flow, unit, class: "fast", segments: 1_000 - index })),
    );
    const answer = await query(organisation, {
      signal: "tcp_retransmits",
      select: [{ measure: "segments", aggregate: "sum" }],
      by: ["unit"],
      limit: 100,
      ...minute,
    });
    expect(answer.meta.truncated).toEqual({ shown: 100, total: 120 });
    expect(values(answer, { unit: units[99] as string })?.[0]).toBe(901);
  });

  it("refuse a query that would read too much before it reads, naming the rows", async () => {
    const organisation = await TestOrganisation.create(api);
    const host = await organisation.addHost("web-1");
    await cover(organisation, host, ["tcp_retransmits"], [0]);
    await organisation.store(
      retransmits,
      Array.from({ length: 2_000 }, (_, i) => ({ ...at(host, 0), ...flow, peer: `10.0.${i >> 8}.${i & 255}`, class: "fast", segments: 1 })),
    );
    const repository = api.app.get(QueryRepository);
    const { limits } = repository;
    repository.limits = { ...limits, rowsReadMax: 1_000 };
    try {
      const response = await organisation.request("/query", {
        body: { signal: "tcp_retransmits", select: [{ measure: "segments", aggregate: "sum" }], ...minute },
      });
      expect(response.status).toBe(413);
      const problem = (await response.json()) as { code: string; detail: string };
      expect(problem.code).toBe("QUERY_TOO_LARGE");
      // Of a cluster ClickHouse estimates only what lies on the server that was asked.
      if (api.config.clickhouse.cluster === null) expect(problem.detail).toMatch(/about \d{4} rows; at most 1000 are read/);
    } finally {
      repository.limits = limits;
    }
  });

  it("stop a query in ClickHouse when all who wait for it have gone away, and not before", async () => {
    const organisation = await TestOrganisation.create(api);
    const host = await organisation.addHost("web-1");
    // Enough to keep ClickHouse busy for a second or more.
    await api.clickhouse.client.command({
      query: `INSERT INTO syscall_latency SELECT '${organisation.id}', '${host}', fromUnixTimestamp64Milli(toInt64(${t0} + (number % 6) * 10000), 'UTC'), 10000,
        toString(number), '', 'read', 30, 30, 1, 1, arrayMap(x -> toUInt16(x + number % 400), range(30)), arrayMap(x -> toUInt64(1), range(30)) FROM numbers(1000000)`,
    });
    const cancelled = async (): Promise<number> => {
      const answer = await api.clickhouse.client.query({
        query: `SELECT sum(value) AS n FROM ${api.app.get(ClickHouseService).systemTable("errors").from} WHERE name LIKE 'QUERY_WAS_CANCELLED%'`,
        format: "JSONEachRow",
      });
      return Number((await answer.json<{ n: string }>())[0]?.n);
    };
    const before = await cancelled();
    const running = async (): Promise<number> => {
      const answer = await api.clickhouse.client.query({
        query: "SELECT count() AS n FROM system.processes WHERE query LIKE '%ARRAY JOIN%' AND query NOT LIKE '%system.processes%'",
        format: "JSONEachRow",
      });
      return Number((await answer.json<{ n: string }>())[0]?.n);
    };
    const body = { signal: "syscall_latency", select: [{ measure: "latency", aggregate: "p50" }], ...minute };
    const ask = () => {
      const gone = new AbortController();
      const answer = organisation.request("/query", { body, signal: gone.signal }).then(
        (response) => response.status,
        () => "aborted",
      );
      return { gone, answer };
    };
    const [one, two] = [ask(), ask()];
    await expect.poll(running, { timeout: 60_000, interval: 10 }).toBeGreaterThan(0);
    one.gone.abort();
    expect(await one.answer).toBe("aborted");
    // Of two callers one still waits: on a cluster each shard runs its part, here there is one statement.
    if (api.config.clickhouse.cluster === null) expect(await running()).toBe(1);
    two.gone.abort();
    expect(await two.answer).toBe("aborted");
    await expect.poll(running, { timeout: 60_000, interval: 10 }).toBe(0);
    await expect.poll(cancelled, { timeout: 60_000, interval: 50 }).toBeGreaterThan(before);
  });
});

describe("the page of a host", () => {
  const sums = { signal: "tcp_retransmits", select: [{ measure: "segments", aggregate: "sum" }], where: "host:web-1", explain: true, ...minute };
  const read = (answer: Answer) => answer.meta.explain?.statements.filter(({ origin }) => origin === "read").map(({ purpose }) => purpose);

  it("reads the steps of which a frame has come, late or not, and takes the others as they were", async () => {
    api.app.get(QueryRepository).windowsAgeMs = 0;
    const organisation = await TestOrganisation.create(api);
    const [one, two] = [await organisation.addHost("web-1"), await organisation.addHost("web-2")];
    const row = (host: string, index: number, segments: number) => ({ ...at(host, index), ...flow, class: "fast", segments });
    await organisation.store(retransmits, [row(one, 0, 3), row(one, 3, 5)]);
    await cover(organisation, one, ["tcp_retransmits"], [0, 1, 3]);
    expect(values(await query(organisation, sums))).toEqual([3, 0, null, 5, null, null]);
    const again = await query(organisation, sums);
    expect(values(again)).toEqual([3, 0, null, 5, null, null]);
    expect(again.meta.rowsRead).toBe(0);
    // Another host's frames are nothing to it.
    await organisation.store(retransmits, [row(two, 3, 1_000)]);
    await cover(organisation, two, ["tcp_retransmits"], [3]);
    expect((await query(organisation, sums)).meta.rowsRead).toBe(0);
    await organisation.store(retransmits, [row(one, 2, 7)]);
    await cover(organisation, one, ["tcp_retransmits"], [2]);
    const late = await query(organisation, sums);
    expect(values(late)).toEqual([3, 0, 7, 5, null, null]);
    const [statement] = late.meta.explain?.statements.filter(({ purpose }) => purpose === "values") ?? [];
    expect(statement?.origin).toBe("read");
    expect(statement?.parameters.map(({ value }) => value)).toEqual(expect.arrayContaining([window(2), window(3)]));
    // And the range moves on.
    await organisation.store(retransmits, [row(one, 6, 11)]);
    await cover(organisation, one, ["tcp_retransmits"], [6]);
    const moved = await query(organisation, { ...sums, from: window(1), to: window(7) });
    expect(values(moved)).toEqual([0, 7, 5, null, null, 11]);
    expect(read(moved)).toContain("values");
  });

  it("asks once for what its host said about all signals, and is told of each what was said of it", async () => {
    const organisation = await TestOrganisation.create(api);
    const host = await organisation.addHost("web-1");
    await cover(organisation, host, ["tcp_retransmits"], [0, 1, 2]);
    await cover(organisation, host, ["tcp_rtt"], [1, 2], "sampled", "1 of 8");
    await cover(organisation, host, ["tcp_rtt"], [4, 5], "unsupported", "no such hook");
    const ask = (signal: string, measure: string, aggregate: string) => query(organisation, { ...sums, signal, select: [{ measure, aggregate }] });
    // A page has asked all its questions before.
    await ask("tcp_retransmits", "segments", "sum");
    await ask("tcp_rtt", "rtt", "count");
    const later = { from: t0, to: window(7) };
    const [retransmitted, trips] = await Promise.all(
      [
        { ...sums, ...later },
        { ...sums, ...later, signal: "tcp_rtt", select: [{ measure: "rtt", aggregate: "count" }] },
      ].map((body) => query(organisation, body)),
    );
    const said = [retransmitted, trips].map(
      (answer) => answer?.meta.explain?.statements.filter(({ purpose }) => purpose === "what each host said") ?? [],
    );
    expect(said[0]?.[0]?.sql).toBe(said[1]?.[0]?.sql);
    expect(said.flat().filter(({ origin }) => origin === "read")).toHaveLength(1);
    expect(retransmitted?.meta.coverage).toMatchObject({ reporting: 1, steps: [1, 1, 1, 0, 0, 0, 0], states: [] });
    expect(trips?.meta.coverage).toMatchObject({
      steps: [0, 1, 1, 0, 0, 0, 0],
      stepHosts: { reporting: [0, 1, 1, 0, 0, 0, 0] },
      states: [{ state: "unsupported", hosts: 1, now: 1, reason: "no such hook" }],
    });
    expect(values(trips as Answer)).toEqual([null, 0, 0, null, null, null, null]);
  });

  it("ranks series as they are ranked for a fleet, few and many of them, and takes counts and extremes out of the rows of percentiles", async () => {
    const organisation = await TestOrganisation.create(api);
    const host = await organisation.addHost("web-1");
    const signals = ["tcp_retransmits", "tcp_rtt", "tcp_connections"];
    await organisation.store(retransmits, [
      ...["a", "b", "c", "d"].flatMap((process, index) =>
        [0, 1, 3].map((slot) => ({ ...at(host, slot), ...flow, process, class: "fast", segments: 10 + ((index * 7 + slot) % 5) })),
      ),
      { ...at(host, 1), ...flow, process: "~other", class: "~other", segments: 100 },
    ]);
    await organisation.store(
      rtt,
      ["a", "b"].flatMap((process, index) =>
        [0, 1].map((slot) => ({ ...at(host, slot), ...flow, process, ...histogram([1_000 * (index + 1), 5_000 + slot, 90_000]) })),
      ),
    );
    await organisation.store(
      connections,
      Array.from({ length: 9_000 }, (_, index) => ({
        ...at(host, index % 6),
        ...flow,
        process: `p-${index % 1_500}`,
        peer_port: String(index % 7),
        segments_sent: 1 + ((index * 13) % 11),
      })),
    );
    await cover(organisation, host, signals, [0, 1, 2, 3, 4, 5]);
    const select = (measure: string, ...aggregates: string[]) => aggregates.map((aggregate) => ({ measure, aggregate }));
    const questions = [
      { signal: "tcp_retransmits", select: select("segments", "sum", "rate", "share"), by: ["process"], limit: 2 },
      { signal: "tcp_retransmits", select: select("segments", "rate"), by: ["process", "class"], limit: 3, points: 3 },
      { signal: "tcp_connections", select: select("segments_sent", "sum"), by: ["process", "peer_port"], limit: 5 },
      { signal: "tcp_rtt", select: select("rtt", "p50", "count", "min", "max", "avg"), by: ["process"] },
      { signal: "tcp_rtt", select: select("rtt", "heatmap", "count", "p99", "max") },
      { signal: "tcp_rtt", select: select("rtt", "count", "p50"), by: ["process"], points: 1, limit: 1 },
      { signal: "tcp_rtt", select: select("rtt", "max", "heatmap"), by: ["process"], points: 1, limit: 1 },
    ];
    for (const question of questions) {
      const [few, fleet] = [
        await query(organisation, { ...question, ...minute, where: "host:web-1" }),
        await query(organisation, { ...question, ...minute }),
      ];
      expect(few.series.length, JSON.stringify(question)).toBeGreaterThan(0);
      expect(few.series, JSON.stringify(question)).toEqual(fleet.series);
      expect(few.meta.truncated).toEqual(fleet.meta.truncated);
      expect(few.meta.coverage).toEqual(fleet.meta.coverage);
    }
    const [counts] = (await query(organisation, { signal: "tcp_rtt", select: select("rtt", "count", "p50"), ...minute, points: 1 }))
      .series as ValueSeries[];
    expect(counts?.values).toEqual([12]);
  });
});

describe("statements", () => {
  it("wait their turn, leave the line with who asked, and are refused with a time to come back where it is too long", async () => {
    const [busy, organisation] = [await TestOrganisation.create(api), await TestOrganisation.create(api)];
    const host = await organisation.addHost("web-1");
    await cover(organisation, host, ["tcp_retransmits"], [0]);
    await organisation.store(retransmits, [{ ...at(host, 0), ...flow, class: "fast", segments: 7 }]);
    const admission = api.app.get(StatementAdmission);
    const before = { ...admission.limits };
    const waiting = async (): Promise<number> => {
      const text = await (await fetch(`${api.url}/metrics`)).text();
      return Number(/^waggle_query_statements\{state="waiting"\} (\S+)$/m.exec(text)?.[1]);
    };
    const working = Promise.withResolvers<void>();
    const body = { signal: "tcp_retransmits", select: [{ measure: "segments", aggregate: "sum" }], points: 1, explain: true, ...minute };
    const refusal = async () => {
      const response = await organisation.request("/query", { body });
      return { status: response.status, after: Number(response.headers.get("retry-after")), problem: (await response.json()) as object };
    };
    admission.limits.runningMax = 1;
    try {
      const other = admission.run(busy.id, "work", () => working.promise);
      const gone = new AbortController();
      const left = organisation.request("/query", { body: { ...body, by: ["process"] }, signal: gone.signal }).catch(() => "aborted");
      await expect.poll(waiting, { timeout: 60_000, interval: 10 }).toBe(2);
      gone.abort();
      expect(await left).toBe("aborted");
      // What all hosts said is everybody's to wait for.
      await expect.poll(waiting, { timeout: 60_000, interval: 10 }).toBe(1);

      admission.limits.waitingMax = 0;
      expect(await refusal()).toMatchObject({
        status: 429,
        after: expect.any(Number),
        problem: { code: "RATE_LIMITED", retryable: true, detail: expect.stringContaining("WAGGLE_API_LIMIT_STATEMENTS_WAITING") },
      });
      Object.assign(admission.limits, { waitingMax: before.waitingMax, waitMsMax: 1 });
      const late = await refusal();
      expect(late).toMatchObject({
        status: 503,
        problem: { code: "OVERLOADED", retryable: true, detail: expect.stringContaining("WAGGLE_API_LIMIT_STATEMENT_WAIT_SECONDS") },
      });
      expect(late.after).toBeGreaterThanOrEqual(1);

      admission.limits.waitMsMax = before.waitMsMax;
      const answer = query(organisation, body);
      await expect.poll(waiting, { timeout: 60_000, interval: 10 }).toBe(2);
      working.resolve();
      await other;
      const { meta, series } = await answer;
      expect((series[0] as ValueSeries).values).toEqual([7]);
      const waitedMs = Math.max(...(meta.explain?.statements ?? []).map((statement) => statement.waitedMs));
      expect(waitedMs).toBeGreaterThan(0);
      // Waiting is no planning.
      expect(meta.plannerMs + meta.assemblyMs).toBeLessThanOrEqual(meta.elapsedMs - waitedMs + 0.2);
    } finally {
      working.resolve();
      Object.assign(admission.limits, before);
    }
  });

  it("that wait long leave who follows a large fleet's present the answer before, which says of what range it is and how old", async () => {
    const organisation = await TestOrganisation.create(api);
    await organisation.addHosts(Array.from({ length: LARGE_FLEET_HOSTS }, (_, index) => `node-${index}`));
    const toMs = Math.floor(Date.now() / 10_000) * 10_000;
    const ask = async (laterMs: number) => {
      const response = await organisation.request("/query", {
        body: {
          signal: "tcp_retransmits",
          select: [{ measure: "segments", aggregate: "sum" }],
          points: 1,
          from: toMs + laterMs - 600_000,
          to: toMs + laterMs,
        },
      });
      return { age: Number(response.headers.get("age")), meta: ((await response.json()) as Answer).meta };
    };
    const first = await ask(0);
    expect(Date.parse(first.meta.to)).toBe(toMs);
    const admission = api.app.get(StatementAdmission);
    const before = { ...admission.limits };
    const working = Promise.withResolvers<void>();
    admission.limits.runningMax = 1;
    try {
      const other = admission.run("somebody else", "work", () => working.promise);
      const [earlier, beside] = await Promise.all([ask(10_000), ask(10_000)]);
      expect(earlier.meta).toEqual(first.meta);
      expect(beside.meta).toEqual(first.meta);
      // At once where the first took long, after a second else.
      const later = await vi.waitUntil(async () => [await ask(10_000)].find(({ age }) => age >= 1), { timeout: 15_000 });
      expect(later.meta).toEqual(first.meta);
      working.resolve();
      await other;
      await expect.poll(async () => Date.parse((await ask(10_000)).meta.to), { timeout: 60_000 }).toBe(toMs + 10_000);
    } finally {
      working.resolve();
      Object.assign(admission.limits, before);
    }
  });
});

describe("without ClickHouse", () => {
  it("everything that needs it answers 503 and says to try again", async () => {
    await using lonely = await startTestApi();
    const organisation = await TestOrganisation.create(lonely);
    await organisation.addHost("web-1");
    await lonely.clickhouse.server.stop();
    const body = { signal: "tcp_rtt", select: [{ measure: "rtt", aggregate: "p99" }], from: "now-15m", to: "now" };
    for (const response of [
      await organisation.request("/query", { body }),
      await organisation.request("/hosts"),
      await organisation.request("/signals"),
    ]) {
      expect(response.status).toBe(503);
      expect(await response.json()).toMatchObject({ code: "STORAGE_UNAVAILABLE", retryable: true, retryAfterMs: expect.any(Number) });
    }
    // What is wrong with the request itself is still said first.
    expect((await organisation.request("/query", { body: { ...body, signal: "nope" } })).status).toBe(422);
  });
});
