// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from "node:fs";
import { getSignalOrThrow } from "@waggle/signals";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startTestApi, type TestApi, TestOrganisation } from "../../../test/test-api.ts";
import type { Problem } from "../../common/problem.ts";
import { RollupsService } from "../rollups/rollups.service.ts";
import { Journal } from "./journal.ts";
import { type Asked, QueryPlanner } from "./planner.ts";
import { QueryRepository } from "./query.repository.ts";
import { type Answer, answerSchema, type HeatmapSeries, querySchema, type ValueSeries } from "./query.schemas.ts";
import { resolveQuery } from "./resolve.ts";
import { seriesStatement } from "./statements.ts";

let api: TestApi;
let organisation: TestOrganisation;
/** A full minute, six minutes ago; the minute before it is what it is compared with. */
const t0 = Math.floor(Date.now() / 60_000) * 60_000 - 360_000;
const range = { from: t0, to: t0 + 60_000 };

const flow = { unit: "", role: "client", peer: "10.0.0.1", peer_port: "443", port: "ephemeral", class: "fast" };
const histogramOf = (value: number, bucket: number) => ({ count: 10, sum: 10 * value, min: value, max: value, k: [bucket], c: [10] });

beforeAll(async () => {
  api = await startTestApi();
  await api.app.get(RollupsService).stop();
  organisation = await TestOrganisation.create(api);
  const [a, b, c] = await Promise.all([
    organisation.addHost("web-1", { tags: { env: "prod", role: "edge" }, kernel: "6.1.0-1" }),
    organisation.addHost("web-2", { tags: { env: "prod" }, kernel: "6.12.0-1" }),
    organisation.addHost("db-1", { tags: { env: "test" }, kernel: "6.12.0-1" }),
  ]);
  const hosts = [a, b, c];
  const windows = Array.from({ length: 12 }, (_, index) => t0 - 60_000 + index * 10_000);
  await organisation.store(
    getSignalOrThrow("agent_coverage"),
    // db-1 was away in the last half minute.
    windows.flatMap((ts, index) =>
      hosts.flatMap((host) =>
        host === c && index >= 9
          ? []
          : ["tcp_retransmits", "tcp_rtt"].map((signal) => ({ host, ts, window_ms: 10_000, signal, state: "exact", reason: "", windows: 1 })),
      ),
    ),
  );
  const row = (host: string, ts: number, process: string, segments: number) => ({ host, ts, window_ms: 10_000, ...flow, process, segments });
  await organisation.store(getSignalOrThrow("tcp_retransmits"), [
    row(a, t0, "nginx", 40),
    row(a, t0 + 10_000, "nginx", 20),
    row(a, t0, "curl", 3),
    row(b, t0, "nginx", 30),
    row(c, t0, "postgres", 7),
    row(c, t0, "~other", 100),
    row(a, t0 - 60_000, "nginx", 30),
    row(c, t0 - 60_000, "vacuum", 5),
  ]);
  const { class: _, ...rttFlow } = flow;
  await organisation.store(getSignalOrThrow("tcp_rtt"), [
    { host: a, ts: t0, window_ms: 10_000, ...rttFlow, process: "fast", ...histogramOf(1_000_000, 159) },
    { host: a, ts: t0, window_ms: 10_000, ...rttFlow, process: "slow", ...histogramOf(50_000_000, 204) },
  ]);
});
afterAll(() => api?.[Symbol.asyncDispose]());

const segments = { signal: "tcp_retransmits", select: [{ measure: "segments", aggregate: "sum" }], ...range };

async function ask(body: Record<string, unknown>): Promise<Answer> {
  const response = await organisation.request("/query", { body });
  const answer = (await response.json()) as Answer & { detail?: string };
  expect(response.status, JSON.stringify(answer)).toBe(200);
  return answerSchema.parse(answer);
}

async function refusal(body: Record<string, unknown>): Promise<Problem> {
  const response = await organisation.request("/query", { body });
  expect(response.status).toBe(422);
  return (await response.json()) as Problem;
}

/** Labels joined, with the first value. */
const firsts = (answer: Answer): Record<string, number | null | undefined> =>
  Object.fromEntries((answer.series as ValueSeries[]).map((series) => [Object.values(series.labels).join("/"), series.values[0]]));

describe("host tags and facts", () => {
  it("filter, by their plain names where the signal has no dimension of that name", async () => {
    expect(firsts(await ask({ ...segments, where: "env:prod", points: 1 }))).toEqual({ "": 93 });
    expect(firsts(await ask({ ...segments, where: "-tag.env:prod", points: 1 }))).toEqual({ "": 107 });
    expect(firsts(await ask({ ...segments, where: "tag.role:edge role:client", points: 1 }))).toEqual({ "": 63 });
    expect(firsts(await ask({ ...segments, where: 'tag.role:"" kernel:6.12*', points: 1, by: ["host"] }))).toEqual({ "db-1": 107, "web-2": 30 });
  });

  it("group, one step or many, and know when the hosts of a group reported", async () => {
    expect(firsts(await ask({ ...segments, by: ["env"], points: 1 }))).toEqual({ test: 107, prod: 93 });
    expect(firsts(await ask({ ...segments, by: ["kernel", "tag.env"], points: 1 }))).toEqual({
      "6.12.0-1/test": 107,
      "6.1.0-1/prod": 63,
      "6.12.0-1/prod": 30,
    });
    expect(firsts(await ask({ ...segments, by: ["tag.role"], points: 1 }))).toEqual({ "": 137, edge: 63 });
    const steps = await ask({ ...segments, by: ["env", "process"], where: "-process:curl" });
    const of = (...labels: string[]) =>
      (steps.series as ValueSeries[]).find((series) => Object.values(series.labels).join("/") === labels.join("/"))?.values;
    expect(of("prod", "nginx")).toEqual([70, 20, 0, 0, 0, 0]);
    expect(of("test", "postgres")).toEqual([7, 0, 0, null, null, null]);
    expect(steps.meta.coverage.stepHosts).toEqual({ reporting: [3, 3, 3, 2, 2, 2], expected: [3, 3, 3, 3, 3, 3] });
    const rest = await ask({ ...segments, by: ["tag.env"], limit: 1, points: 1 });
    expect(firsts(rest)).toEqual({ test: 107, "~other": 93 });
  });
});

describe("comparisons", () => {
  it("leave the groups whose value over the whole range is such, and merge the rest of those", async () => {
    const by = { ...segments, by: ["process"], points: 1 };
    expect(firsts(await ask({ ...by, where: "segments>5" }))).toEqual({ nginx: 90, postgres: 7 });
    expect(firsts(await ask({ ...by, where: "-segments>5" }))).toEqual({ curl: 3 });
    expect(firsts(await ask({ ...by, where: "retransmits.segments>=3 segments<90" }))).toEqual({ postgres: 7, curl: 3 });
    const truncated = await ask({ ...by, where: "segments>1", limit: 1 });
    expect(firsts(truncated)).toEqual({ nginx: 90, "~other": 10 });
    expect(truncated.meta.truncated).toEqual({ shown: 1, total: 3 });
    // Step by step nothing is above 70; over the range it is.
    const steps = await ask({ ...segments, by: ["host", "process"], where: "segments>50 -process:~other" });
    expect((steps.series as ValueSeries[]).map(({ labels, values }) => [labels, values])).toEqual([
      [{ host: "web-1", process: "nginx" }, [40, 20, 0, 0, 0, 0]],
    ]);
  });

  it("compare rates, shares, percentiles, counts and extremes as answers show them", async () => {
    const by = { ...segments, by: ["process"], points: 1 };
    // 1.5 segments/s of nginx: web-1's 60 and web-2's 30 in a minute each.
    expect(Object.keys(firsts(await ask({ ...by, where: "segments.rate>1.4/s" })))).toEqual(["nginx"]);
    expect(Object.keys(firsts(await ask({ ...by, where: "segments.share<=4%" })))).toEqual(["postgres", "curl"]);
    const rtt = { signal: "tcp_rtt", select: [{ measure: "rtt", aggregate: "count" }], by: ["process"], points: 1, ...range };
    expect(Object.keys(firsts(await ask({ ...rtt, where: "rtt.p99>10ms" })))).toEqual(["slow"]);
    expect(Object.keys(firsts(await ask({ ...rtt, where: "rtt.p50<=1ms" })))).toEqual(["fast"]);
    expect(Object.keys(firsts(await ask({ ...rtt, where: "rtt.avg<2ms max<=1ms rtt>=10" })))).toEqual(["fast"]);
    expect(Object.keys(firsts(await ask({ ...rtt, where: "rtt>10" })))).toEqual([]);
  });

  it("pick the same groups where those are too many to be listed", async () => {
    const resolved = resolveQuery(querySchema.parse({ ...segments, by: ["process", "host"], where: "segments>5 segments.share<50%" }), Date.now());
    const { signal, selections, by, filters, comparisons, limit } = resolved;
    const journal = new Journal();
    const asked: Asked = {
      plan: { tenant: organisation.id, signal, selections, by, filters, hosts: null, limit },
      comparisons,
      hostCount: 3,
      journal,
    };
    const { plan, readings } = await api.app.get(QueryPlanner).choose(asked, resolved.range, { points: 1, stepMs: null }, Date.now(), undefined);
    const statement = seriesStatement(plan, readings[0] as (typeof readings)[number], null);
    expect(statement.sql).not.toContain("arrayJoin");
    const { rows } = await api.app.get(QueryRepository).run<{ g0: string; v0: number }>(statement, undefined);
    expect(rows.map(({ g0, v0 }) => [g0, v0]).sort()).toEqual(
      [
        ["nginx", 30],
        ["nginx", 60],
        ["postgres", 7],
        ["~other", 100],
      ].filter(([, value]) => (value as number) < 100),
    );
  });

  it("without groups decide about the whole", async () => {
    expect(firsts(await ask({ ...segments, where: "segments>199", points: 1 }))).toEqual({ "": 200 });
    const none = await ask({ ...segments, where: "segments>200" });
    expect(none.series).toEqual([]);
    expect(none.meta.coverage.reporting).toBe(3);
  });

  it("that cannot be read are refused where they are wrong", async () => {
    expect((await refusal({ ...segments, where: "host:a segmets>5" })).errors).toEqual([
      expect.objectContaining({ pointer: "/where", start: 7, end: 14, suggestion: "segments>5", detail: expect.stringContaining("Position 8") }),
    ]);
    expect((await refusal({ ...segments, where: "segments>5ms" })).errors).toMatchObject([{ start: 9, end: 12 }]);
  });
});

describe("shares", () => {
  it("are of all that the filter leaves, and add up to one with ~other", async () => {
    const share = { ...segments, select: [{ measure: "segments", aggregate: "share" }], by: ["process"], points: 1 };
    const answer = await ask({ ...share, limit: 1 });
    expect(answer.meta.unit).toBe("ratio");
    expect(firsts(answer)).toEqual({ nginx: 0.45, "~other": 0.55 });
    // Of everything, also where only some groups are shown.
    expect(firsts(await ask({ ...share, where: "segments.sum>5" }))).toEqual({ nginx: 0.45, postgres: 0.035 });
    const steps = (await ask({ ...share, points: 6 })).series as ValueSeries[];
    expect(steps.reduce((sum, { values }) => sum + (values[0] ?? 0), 0)).toBeCloseTo(1, 12);
    expect(steps.map(({ values }) => values[2])).toEqual(steps.map(() => null));
  });
});

describe("the earlier window", () => {
  it("stands beside the later one, series by series, with what vanished in ~other", async () => {
    const answer = await ask({ ...segments, by: ["process"], points: 1, compare: "prev", where: "-process:curl" });
    expect(
      (answer.series as ValueSeries[]).map(({ labels, values, compared, change }) => [labels["process"], values[0], compared?.[0], change]),
    ).toEqual([
      ["nginx", 90, 30, 2],
      ["postgres", 7, 0, null],
      ["~other", 100, 5, 19],
    ]);
    expect(answer.meta.compare).toMatchObject({
      from: new Date(t0 - 60_000).toISOString(),
      to: new Date(t0).toISOString(),
      coverage: { reporting: 3 },
    });
  });

  it("has the same steps, and gaps of its own", async () => {
    const steps = await ask({ ...segments, where: "host:db-1 -process:~other", compare: { from: t0 - 60_000, to: t0 } });
    const [series] = steps.series as ValueSeries[];
    expect(series?.values).toEqual([7, 0, 0, null, null, null]);
    expect(series?.compared).toEqual([5, 0, 0, 0, 0, 0]);
    expect(series?.change).toBeCloseTo(0.4, 12);
    const before = await ask({ ...segments, compare: "1h" });
    expect((before.series as ValueSeries[])[0]).toMatchObject({ compared: [null, null, null, null, null, null], change: null });
  });

  it("of a heat map has its cells on the same buckets, and null where nobody reported", async () => {
    const select = [
      { measure: "rtt", aggregate: "heatmap" },
      { measure: "rtt", aggregate: "count" },
    ];
    const answer = await ask({ signal: "tcp_rtt", select, ...range, step: "1m", compare: { from: t0 + 60_000 - 120_000, to: t0 } });
    const [heatmap, count] = answer.series as [HeatmapSeries, ValueSeries];
    // Buckets 159 to 204: of a fast and a slow process in the later window, of none in the earlier, in which hosts reported.
    expect(heatmap.buckets).toHaveLength(46);
    const sums = (cells: HeatmapSeries["cells"] = []) => cells.reduce((sum, row) => sum + (row[0] ?? 0), 0);
    expect([sums(heatmap.cells), sums(heatmap.compared)]).toEqual([20, 0]);
    expect(heatmap.compared).toHaveLength(46);
    expect([count.values, count.compared]).toEqual([[20], [0]]);
    const long = await ask({ signal: "tcp_rtt", select: select.slice(0, 1), ...range, compare: "1h" });
    expect((long.series as HeatmapSeries[])[0]?.compared?.flat().every((cell) => cell === null)).toBe(true);
    // The other way round: what only the earlier window has.
    const gone = await ask({ signal: "tcp_rtt", select: select.slice(0, 1), from: t0 + 60_000, to: t0 + 120_000, step: "1m", compare: "prev" });
    const [later] = gone.series as HeatmapSeries[];
    expect([later?.buckets.length, later?.cells.flat().every((cell) => cell === null), sums(later?.compared)]).toEqual([46, true, 20]);
  });

  it.each([
    [{ compare: "yesterday" }, "/compare"],
    [{ compare: 5 }, "/compare"],
    [{ compare: "1d", from: "2000-01-01T12:00:00Z", to: "2000-01-01T13:00:00Z" }, "/compare"],
    [{ compare: "prev", from: "2000-01-01T00:00:00Z", to: "2000-01-01T01:00:00Z" }, "/compare"],
    [{ compare: "500d" }, "/compare"],
    [{ compare: "5s" }, "/compare"],
    [{ compare: { from: t0 - 120_000, to: t0 } }, "/compare/to"],
    [{ compare: { from: t0 + 10_000, to: t0 + 70_000 } }, "/compare/from"],
    [{ compare: { from: "then", to: t0 } }, "/compare/from"],
    [{ step: "7s" }, "/step"],
    [{ step: "90s" }, "/step"],
    [{ step: "0s" }, "/step"],
    [{ step: "1m", points: 3 }, "/step"],
    [{ step: "10s", from: t0 - 86_400_000 }, "/step"],
    [{ by: ["tag.Env"] }, "/by/0"],
    [{ by: ["env", "tag.env"] }, "/by"],
  ])("and steps: %j is refused", async (over, pointer) => {
    expect((await refusal({ ...segments, ...over })).errors?.map((problem) => problem.pointer)).toEqual([pointer]);
  });
});

describe("steps and explanations", () => {
  it("a step is as long as asked", async () => {
    const answer = await ask({ ...segments, step: "20s" });
    expect(answer.meta).toMatchObject({ stepSeconds: 20, points: 3 });
    expect((answer.series as ValueSeries[])[0]?.values).toEqual([200, 0, 0]);
    expect((await ask({ ...segments, step: "5m" })).meta).toMatchObject({ stepSeconds: 300, points: 1 });
  });

  it("an explained answer names its statements, the tenant among their parameters, and is the same answer", async () => {
    const body = { ...segments, by: ["process"], where: "host:web-* segments>1" };
    const [plain, explained] = [await ask(body), await ask({ ...body, explain: true })];
    expect(explained.series).toEqual(plain.series);
    const { explain } = explained.meta;
    expect(explain?.step).toEqual({ seconds: 10, why: expect.stringContaining("at most 300 steps were asked for") });
    expect(explain?.statements.map(({ purpose }) => purpose).sort()).toEqual([
      "groups that pass the comparison",
      "values of all groups",
      "what each host said",
    ]);
    for (const { sql, parameters } of explain?.statements ?? []) {
      expect(sql).toContain("WHERE tenant = {p");
      expect(parameters.filter(({ value }) => value === "(tenant)")).toHaveLength(1);
      expect(JSON.stringify(parameters)).not.toContain(organisation.id);
    }
    expect(explain?.statements.reduce((sum, { rowsRead }) => sum + rowsRead, 0)).toBe(explained.meta.rowsRead);
    expect(plain.meta.explain).toBeUndefined();
  });
});

it("the examples of the documentation are answered", async () => {
  const text = readFileSync(new URL("../../../../../docs/query.md", import.meta.url), "utf8");
  const examples = [...text.matchAll(/```json\n(.*?)```/gs)].map(([, body = ""]) => JSON.parse(body) as Record<string, unknown>);
  expect(examples.length).toBeGreaterThan(3);
  for (const example of examples) await ask(example);
  // Of the table of terms each, by itself, of a signal that has what it names.
  const table = text.slice(text.indexOf("| term |"), text.indexOf("A host is meant by"));
  const terms = [...table.matchAll(/^\| `([^`]+)` \|/gm)].map(([, term = ""]) => term);
  expect(terms.length).toBeGreaterThan(10);
  for (const term of terms) {
    const signal = term.startsWith("errno") ? "tcp_connect_failures" : term.startsWith("rtt") ? "tcp_rtt" : "tcp_retransmits";
    const select = [
      {
        measure: signal === "tcp_rtt" ? "rtt" : signal === "tcp_retransmits" ? "segments" : "count",
        aggregate: signal === "tcp_rtt" ? "p50" : "sum",
      },
    ];
    await ask({ signal, select, where: term, ...range });
  }
});
