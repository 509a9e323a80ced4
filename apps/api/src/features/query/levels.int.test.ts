// SPDX-License-Identifier: Apache-2.0
import { bucketIndex, getSignalOrThrow, OTHER } from "@waggle/signals";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { startTestApi, type TestApi, TestOrganisation } from "../../../test/test-api.ts";
import { RollupProgress } from "../rollups/rollup-progress.service.ts";
import { RollupsService } from "../rollups/rollups.service.ts";
import { stepOf } from "../rollups/steps.ts";
import { measuresOf, toSelection } from "./measures.ts";
import { QueryRepository } from "./query.repository.ts";
import type { Answer, HeatmapSeries, ValueSeries } from "./query.schemas.ts";
import { cutSources } from "./sources.ts";
import type { Plan } from "./sql.ts";
import { StatementAdmission } from "./statement-admission.ts";
import { seriesStatement } from "./statements.ts";

const SECOND = 1_000;
const MINUTE = 60_000;
const HOUR = 3_600_000;

/** Start of an hour that is over; rows lie between 50 min after it and 3 h 10 min after it. */
const t0 = Math.floor(Date.now() / HOUR) * HOUR - 5 * HOUR;
const at = (hours: number, minutes = 0, seconds = 0): number => t0 + hours * HOUR + minutes * MINUTE + seconds * SECOND;
/** Hours and fleet rows are made until 3:00, what is newer is raw. */
const rolledUpAt = at(3, 2);

let api: TestApi;
let organisation: TestOrganisation;
let progress: RollupProgress;
const hosts = new Map<string, string>();

interface Frame {
  readonly host: string;
  readonly ts: number;
  readonly window_ms: number;
}

/** Windows of 10 s around the full hours, of a minute in between. `away` was gone twice, once across a full hour. */
function framesOf(name: string): Frame[] {
  const host = hosts.get(name) as string;
  const frames: Frame[] = [];
  for (let ts = at(0, 50); ts < at(3, 10); ) {
    const isFine = Math.abs(((ts + 30 * MINUTE) % HOUR) - 30 * MINUTE) <= 5 * MINUTE;
    const window_ms = isFine ? 10 * SECOND : MINUTE;
    const isAway = name === "away" && ((ts >= at(1, 20) && ts < at(1, 40)) || (ts >= at(1, 58, 30) && ts < at(2, 3)));
    if (!isAway) frames.push({ host, ts, window_ms });
    ts += window_ms;
  }
  return frames;
}

/** A number in [0, below) that looks random and is always the same. */
function pick(below: number, ...of: (string | number)[]): number {
  let hash = 2_166_136_261;
  for (const character of of.join("/")) hash = Math.imul(hash ^ character.charCodeAt(0), 16_777_619) >>> 0;
  return (hash >>> 7) % below;
}

const flows = ["nginx", "node", "postgres", OTHER].map((process, index) => ({
  process,
  unit: process === OTHER ? OTHER : `${process}.service`,
  role: process === OTHER ? OTHER : ["client", "server"][index % 2],
  peer: process === OTHER ? OTHER : `10.0.0.${index}`,
  peer_port: process === OTHER ? OTHER : String(1_000 + index),
  port: process === OTHER ? OTHER : "ephemeral",
}));

function histogram(seed: string) {
  const values = Array.from({ length: 1 + pick(6, seed) }, (_, i) => 1_000 + pick(5_000_000, seed, i));
  const k = [...new Set(values.map((value) => bucketIndex(BigInt(value))))].sort((a, b) => a - b);
  return {
    count: values.length,
    sum: values.reduce((sum, value) => sum + value, 0),
    min: Math.min(...values),
    max: Math.max(...values),
    k,
    c: k.map((index) => values.filter((value) => bucketIndex(BigInt(value)) === index).length),
  };
}

async function store(frames: readonly Frame[]): Promise<void> {
  const rtt = [];
  const retransmits = [];
  const connections = [];
  for (const frame of frames) {
    for (const flow of flows) {
      const seed = `${frame.host}/${frame.ts}/${flow.process}`;
      // Not every key has a row in every window.
      if (pick(3, seed) > 0) rtt.push({ ...frame, ...flow, ...histogram(seed) });
      if (pick(4, seed) > 0)
        retransmits.push({
          ...frame,
          ...flow,
          class: flow.process === OTHER ? OTHER : ["fast", "timeout"][pick(2, seed, "c")],
          segments: pick(90, seed),
        });
      if (pick(5, seed) > 0) {
        const sums = Object.fromEntries(getSignalOrThrow("tcp_connections").measures.map(({ name }) => [name, pick(1_000, seed, name)]));
        connections.push({ ...frame, ...flow, ...sums, active: 1 + pick(50, seed) });
      }
    }
  }
  await organisation.store(getSignalOrThrow("tcp_rtt"), rtt);
  await organisation.store(getSignalOrThrow("tcp_retransmits"), retransmits);
  await organisation.store(getSignalOrThrow("tcp_connections"), connections);
  const signals = ["tcp_rtt", "tcp_retransmits", "tcp_connections", "agent_coverage"];
  await organisation.store(
    getSignalOrThrow("agent_coverage"),
    frames.flatMap((frame) => signals.map((signal) => ({ ...frame, signal, state: "exact", reason: "", windows: 1 }))),
  );
  await organisation.storeWindows(frames);
}

beforeAll(async () => {
  api = await startTestApi();
  progress = api.app.get(RollupProgress);
  await api.app.get(RollupsService).stop();
  organisation = await TestOrganisation.create(api);
  for (const name of ["web-1", "web-2", "away"]) hosts.set(name, await organisation.addHost(name, { enrolledAt: new Date(at(0)) }));
  for (const name of hosts.keys()) await store(framesOf(name));
  await api.app.get(RollupsService).runPass(rolledUpAt);
});
afterAll(() => api?.[Symbol.asyncDispose]());
afterEach(() => {
  vi.restoreAllMocks();
});

async function ask(body: Record<string, unknown>): Promise<Answer> {
  const response = await organisation.request("/query", { body });
  const answer = (await response.json()) as Answer & { detail?: string };
  expect(response.status, answer.detail).toBe(200);
  return answer;
}

/** The same question to raw rows alone. */
async function askRaw(body: Record<string, unknown>): Promise<Answer> {
  const spy = vi.spyOn(progress, "completeUntilMs").mockReturnValue(0);
  const answer = await ask(body);
  spy.mockRestore();
  expect(answer.meta.level).toBe("raw");
  return answer;
}

function expectSame(found: Answer, wanted: Answer): void {
  expect(found.meta.coverage).toEqual(wanted.meta.coverage);
  expect(found.meta.truncated).toEqual(wanted.meta.truncated);
  expect(found.series.length).toBe(wanted.series.length);
  let numbers = 0;
  for (const [index, series] of wanted.series.entries()) {
    const other = found.series[index];
    expect([other?.labels, other?.aggregate]).toEqual([series.labels, series.aggregate]);
    if ("cells" in series) {
      expect(other).toEqual(series);
      numbers += series.cells.flat().filter((cell) => cell !== null && cell > 0).length;
      continue;
    }
    const name = `${series.measure} ${series.aggregate} ${JSON.stringify(series.labels)}`;
    const values = (other as ValueSeries).values;
    for (const [step, value] of series.values.entries()) {
      if (value === null) expect(values[step], name).toBeNull();
      else
        expect(Math.abs((values[step] as number) - value), `${name} step ${step}: ${values[step]} instead of ${value}`).toBeLessThanOrEqual(
          value * 1e-9,
        );
    }
    numbers += series.values.filter((value) => value !== null && value > 0).length;
  }
  // An answer of nothing would equal any other.
  expect(numbers).toBeGreaterThan(0);
}

const everything: Readonly<Record<string, Record<string, unknown>>> = {
  sums: { signal: "tcp_retransmits", select: [{ measure: "segments", aggregate: "sum" }] },
  rates: { signal: "tcp_retransmits", select: ["rate", "sum"].map((aggregate) => ({ measure: "segments", aggregate })) },
  extents: { signal: "tcp_rtt", select: ["count", "min", "max", "avg"].map((aggregate) => ({ measure: "rtt", aggregate })) },
  percentiles: { signal: "tcp_rtt", select: ["p50", "p99", "p99.9"].map((aggregate) => ({ measure: "rtt", aggregate })) },
  "heat maps": { signal: "tcp_rtt", select: ["heatmap", "p90"].map((aggregate) => ({ measure: "rtt", aggregate })) },
  gauges: { signal: "tcp_connections", select: ["last", "avg", "min", "max"].map((aggregate) => ({ measure: "active", aggregate })) },
  "sums, gauges and rates": {
    signal: "tcp_connections",
    select: [
      { measure: "bytes_sent", aggregate: "rate" },
      { measure: "active", aggregate: "last" },
      { measure: "opened", aggregate: "sum" },
    ],
  },
  "shares of what passes": {
    signal: "tcp_retransmits",
    select: [{ measure: "segments", aggregate: "share" }],
    where: "segments.sum>200 segments.rate<1000",
  },
  "percentiles of what passes": { signal: "tcp_rtt", select: [{ measure: "rtt", aggregate: "p90" }], where: "rtt.p50>1ms rtt.count>=3" },
  coverage: { signal: "agent_coverage", select: [{ measure: "windows", aggregate: "sum" }] },
};

const ranges: readonly { from: number; to: number; points: number; level: string }[] = [
  // One value: raw ends, minutes, hours, minutes, raw tail.
  { from: at(0, 52, 10), to: at(3, 8, 40), points: 1, level: "1h" },
  // Hours, and a tail that is not rolled up.
  { from: at(0), to: at(4), points: 4, level: "1h" },
  { from: at(1, 55), to: at(3, 5), points: 80, level: "1m" },
];

describe("the same question has the same answer at every level", () => {
  for (const [name, body] of Object.entries(everything)) {
    it.each(ranges)(`${name}, $points points, down from $level`, async ({ level, ...range }) => {
      const dimension = body["signal"] === "agent_coverage" ? "signal" : "process";
      const variants = [
        {},
        { by: ["host"] },
        { by: [dimension], limit: 2 },
        { by: ["host", dimension], limit: 5 },
        ...(dimension === "process" ? [{ where: "process:n*" }, { where: "-peer:10.0.0.1", by: ["unit"] }] : []),
        { where: "host:web-*", by: [dimension] },
        { where: "host:away", by: [dimension], limit: 2 },
      ];
      for (const variant of variants) {
        const where = [body["where"], "where" in variant ? variant.where : ""].join(" ").trim();
        const question = { ...body, ...range, ...variant, where };
        const found = await ask(question);
        // Only windows know moments, so their least and largest are looked for there as long as they are kept.
        expect(found.meta.level).toBe(level);
        expectSame(found, await askRaw(question));
      }
    });
  }
});

it("the whole fleet is read from rows in which hosts are added up, a host from its own, and each moment once", async () => {
  const body = { ...everything["percentiles"], from: at(1), to: at(4), points: 3 };
  const fleet = await ask({ ...body, by: ["process"] });
  expect(fleet.meta).toMatchObject({ level: "1h", scope: "fleet" });
  for (const question of [{ by: ["host"] }, { by: ["unit"] }, { where: "host:web-1" }, { where: "peer:10.0.0.1" }])
    expect((await ask({ ...body, ...question })).meta, JSON.stringify(question)).toMatchObject({ level: "1h", scope: "host" });
  const ends = fleet.meta.sources.map((source) => [source.from, source.to]);
  for (const [index, [from]] of ends.entries()) expect(from).toBe(index === 0 ? fleet.meta.from : ends[index - 1]?.[1]);
  expect(ends.at(-1)?.[1]).toBe(fleet.meta.to);
});

it("a frame that comes late is in every level after the next pass, and sent twice it changes nothing", async () => {
  // Where statements wait long, as on a busy machine, answers of the last seconds are handed out instead; the newest rows are what is asked for here.
  vi.spyOn(api.app.get(StatementAdmission), "expectedWaitMs").mockReturnValue(0);
  // What was written is known at most two seconds later.
  api.app.get(QueryRepository).versions.maxAgeMs = 0;
  const questions = [1, 4].map((points) => ({ ...everything["sums"], from: at(1), to: at(4), points }));
  const totals = async () => (await Promise.all(questions.map(ask))).map((answer) => (answer.series[0] as ValueSeries).values[0] as number);
  const before = await totals();
  const late = { host: hosts.get("away") as string, ts: at(1, 30), window_ms: 10 * SECOND };
  const row = { ...late, ...flows[0], class: "fast", segments: 1_000_000 };
  for (let time = 0; time < 2; time++) {
    await organisation.store(getSignalOrThrow("tcp_retransmits"), [row]);
    await organisation.store(getSignalOrThrow("agent_coverage"), [{ ...late, signal: "tcp_retransmits", state: "exact", reason: "", windows: 1 }]);
    await organisation.storeWindows([late]);
    await api.app.get(RollupsService).runPass(rolledUpAt);
    expect(await totals()).toEqual(before.map((value) => value + 1_000_000));
  }
});

it.each(ranges)(
  "one host's rates, divided here, are those that are made beside other hosts', $points points, down from $level",
  async ({ level, ...range }) => {
    const select = ["rate", "sum"].map((aggregate) => ({ measure: "segments", aggregate }));
    const body = { signal: "tcp_retransmits", select, ...range, limit: 100 };
    const fleet = await ask({ ...body, by: ["host", "process"] });
    for (const name of hosts.keys()) {
      const one = await ask({ ...body, where: `host:${name}`, by: ["process"] });
      expect(one.meta.level).toBe(level);
      const wanted = fleet.series.filter(({ labels }) => labels["host"] === name);
      expect(one.series.length).toBe(wanted.length);
      for (const series of one.series as ValueSeries[]) {
        const other = wanted.find(({ labels, aggregate }) => labels["process"] === series.labels["process"] && aggregate === series.aggregate);
        expect(series.values, `${name} ${JSON.stringify(series.labels)}`).toEqual((other as ValueSeries).values);
        expect(series.values.some((value) => value !== null && value > 0)).toBe(true);
      }
      // In ~other rates add up.
      const rest = await ask({ ...body, where: `host:${name}`, by: ["process"], limit: 1 });
      const [shown] = (rest.series as ValueSeries[]).filter(({ labels }) => labels["process"] !== OTHER);
      const others = (one.series as ValueSeries[]).filter(
        ({ labels, aggregate }) => aggregate === "rate" && labels["process"] !== shown?.labels["process"],
      );
      const other = (rest.series as ValueSeries[]).find(({ labels, aggregate }) => aggregate === "rate" && labels["process"] === OTHER);
      for (const [step, value] of (other as ValueSeries).values.entries())
        if (value !== null)
          expect(value).toBeCloseTo(
            others.reduce((sum, { values }) => sum + (values[step] ?? 0), 0),
            9,
          );
    }
  },
);

it("a value over a range that reaches raw rows is put together anew where a frame has come, late or not", async () => {
  const repository = api.app.get(QueryRepository);
  repository.windowsAgeMs = 0;
  repository.versions.maxAgeMs = 0;
  const range = { from: at(0, 52, 10), to: at(3, 8, 40), points: 1 };
  const questions = [
    { ...everything["sums"], ...range, by: ["process"], limit: 2 },
    { ...everything["sums"], ...range, where: "host:web-1" },
    { ...everything["rates"], ...range, where: "host:web-1", by: ["process"], limit: 2 },
    { ...everything["percentiles"], ...range, by: ["host"] },
    { ...everything["extents"], ...range },
  ];
  const purposes = (answer: Answer) => answer.meta.explain?.statements.map(({ purpose }) => purpose);
  for (const question of questions) {
    expect(purposes(await ask({ ...question, explain: true }))).toContain("values of stretches");
    const [again, raw] = [await ask(question), await askRaw(question)];
    expectSame(again, raw);
  }
  for (const ts of [at(3, 4, 3), at(3, 8, 33), at(0, 52, 13)]) {
    const late = { host: hosts.get("web-1") as string, ts, window_ms: 1 };
    await organisation.store(getSignalOrThrow("tcp_retransmits"), [{ ...late, ...flows[2], class: "fast", segments: 10_000 }]);
    await organisation.store(getSignalOrThrow("tcp_rtt"), [{ ...late, ...flows[0], ...histogram(`late ${ts}`) }]);
    await organisation.storeWindows([late]);
    for (const question of questions) {
      const before = await ask(question);
      expectSame(before, await askRaw(question));
      expectSame(await ask({ ...question, to: at(3, 8, 50) }), await askRaw({ ...question, to: at(3, 8, 50) }));
    }
  }
});

it("rates of several hosts are each one's sum over what it said of its time, ranked and merged as a statement that reads both does", async () => {
  const rolled = { from: at(0, 55), to: at(2, 58), points: 1 };
  const questions = [
    { ...everything["rates"], ...rolled, by: ["host"] },
    { ...everything["rates"], ...rolled, by: ["host", "process"], limit: 3 },
    { ...everything["rates"], ...rolled, by: ["process"], limit: 2, where: "class:fast" },
    { ...everything["rates"], ...rolled, by: ["tag.none"] },
    { ...everything["rates"], ...rolled, to: at(3, 8, 40), by: ["class", "host"], limit: 2 },
    { ...everything["rates"], ...rolled, from: at(1, 58), by: ["process"], compare: "prev" },
  ];
  for (const question of questions) expectSame(await ask(question), await askRaw(question));
  const purposes = async (question: Record<string, unknown>) => {
    const { explain } = (await ask({ ...question, explain: true })).meta;
    expect(explain?.statements.filter(({ sql }) => / covered_ms, 0/.test(sql))).toEqual([]);
    return explain?.statements.map(({ purpose }) => purpose);
  };
  for (const question of [questions[0], questions[2], questions[4]])
    expect(await purposes(question as object as Record<string, unknown>)).toContain("sums of hosts");
  // Of a short range one window more or less would be seen.
  const short = { ...questions[0], from: at(2, 30), to: at(2, 58) };
  const { explain } = (await ask({ ...short, explain: true })).meta;
  expect(explain?.statements.map(({ purpose }) => purpose)).not.toContain("sums of hosts");
});

it("of sums the first groups are shown and all others added up, whatever the limit", async () => {
  const select = ["segments_sent", "bytes_received", "opened"].map((measure) => ({ measure, aggregate: "sum" }));
  const rolled = { signal: "tcp_connections", select, from: at(0, 55), to: at(2, 58), points: 1 };
  const nameOf = ({ labels }: { readonly labels: Readonly<Record<string, string>> }): string => Object.values(labels).join("/");
  /** Values of the selections by group, as answered. */
  const groupsOf = (answer: Answer): Map<string, number[]> => {
    const groups = new Map<string, number[]>();
    for (const series of answer.series as ValueSeries[])
      groups.set(nameOf(series), [...(groups.get(nameOf(series)) ?? []), series.values[0] as number]);
    return groups;
  };
  for (const question of [
    { ...rolled, by: ["process"] },
    { ...rolled, by: ["host", "process"] },
    { ...rolled, by: ["host", "peer", "role"], where: "-process:nginx" },
    { ...rolled, by: ["process", "unit"], where: "process:~other" },
  ]) {
    const all = groupsOf(await ask({ ...question, limit: 1_000 }));
    const rest = question.by.map(() => OTHER).join("/");
    const ranked = [...all.keys()].filter((name) => name !== rest).sort((a, b) => (all.get(b)?.[0] as number) - (all.get(a)?.[0] as number));
    for (let limit = 1; limit <= ranked.length + 1; limit++) {
      const answer = await ask({ ...question, limit, explain: true });
      expect(answer.meta.explain?.statements.map(({ purpose }) => purpose)).toContain("rank and values");
      const others = [...ranked.slice(limit), ...(all.has(rest) ? [rest] : [])];
      const wanted = ranked.slice(0, limit).map((name): [string, number[]] => [name, all.get(name) as number[]]);
      const sums = select.map((_, index) => others.reduce((sum, name) => sum + (all.get(name)?.[index] as number), 0));
      expect([...groupsOf(answer)]).toEqual([...wanted, ...(others.length > 0 ? [[rest, sums]] : [])]);
      expect(answer.meta.truncated).toEqual(ranked.length > limit ? { shown: limit, total: ranked.length } : null);
    }
  }
});

it("questions about one host that differ in groups and filters are one statement, of which each has the answer that it has alone", async () => {
  const repository = api.app.get(QueryRepository);
  repository.windowsAgeMs = 0;
  const totals = [
    { ...everything["rates"], by: ["process"], limit: 2 },
    { ...everything["sums"], by: ["class", "process"], where: "host:away -process:node" },
    { ...everything["sums"] },
    { ...everything["percentiles"], by: ["process", "peer"] },
    { ...everything["extents"], where: "host:away process:n*,postgres -peer:10.0.0.1", by: ["process"] },
    { ...everything["percentiles"], by: ["role"], where: "host:away -process:node" },
    { ...everything["extents"], by: ["unit"] },
  ].map((body) => ({ where: "host:away", ...body, from: at(0, 52, 10), points: 1 }));
  const series = [
    { ...everything["rates"], by: ["process"], limit: 1 },
    { ...everything["sums"], where: "host:away process:n*" },
    { ...everything["heat maps"] },
    { ...everything["heat maps"], where: "host:away -process:node" },
  ].map((body) => ({ where: "host:away", ...body, from: at(2, 59), step: "10s" }));
  for (const questions of [totals, series]) {
    // What was read of the range before is kept: what is left is short.
    for (const question of questions) await ask({ ...question, to: at(3, 8, 40) });
    await organisation.store(getSignalOrThrow("tcp_retransmits"), [
      { host: hosts.get("away") as string, ts: at(3, 8, 41), window_ms: 1, ...flows[1], class: "fast", segments: 5_000 },
    ]);
    await organisation.storeWindows([{ host: hosts.get("away") as string, ts: at(3, 8, 41), window_ms: 1 }]);
    const statements = [];
    for (const question of questions) {
      const body = { ...question, to: at(3, 8, 50), explain: true };
      const answer = await ask(body);
      expectSame(answer, await askRaw(body));
      statements.push(...(answer.meta.explain?.statements ?? []).filter(({ sql }) => / AS m0\b/.test(sql) && !/_1[mh]`/.test(sql)));
    }
    expect(statements.length).toBe(questions.length);
    expect(statements.filter(({ origin }) => origin === "read").length).toBe(new Set(statements.map(({ sql }) => sql)).size);
    expect(statements.some(({ origin }) => origin === "recent")).toBe(true);
  }
});

it("what is made of rolled-up rows alone is kept, until a late frame changes it", async () => {
  const repository = api.app.get(QueryRepository);
  repository.versions.maxAgeMs = 0;
  const question = { ...everything["sums"], where: "process:node", from: at(1), to: at(3), points: 2, explain: true };
  const origins = (answer: Answer) => new Set(answer.meta.explain?.statements.map(({ origin }) => origin));
  const value = (answer: Answer) => (answer.series[0] as ValueSeries).values[0] as number;
  const first = await ask(question);
  const again = await ask(question);
  expect([again.series, again.meta.coverage]).toEqual([first.series, first.meta.coverage]);
  expect(again.meta.rowsRead).toBe(0);
  expect([...origins(again)].every((origin) => origin === "kept" || origin === "recent")).toBe(true);
  // Another organisation's same question is another question.
  const stranger = await TestOrganisation.create(api);
  const theirs = (await (await stranger.request("/query", { body: question })).json()) as Answer;
  expect((theirs.series[0] as ValueSeries).values).toEqual([null, null]);
  const late = { host: hosts.get("web-1") as string, ts: at(1, 30, 5), window_ms: 10 * SECOND };
  await organisation.store(getSignalOrThrow("tcp_retransmits"), [{ ...late, ...flows[1], class: "fast", segments: 77 }]);
  await organisation.storeWindows([late]);
  await api.app.get(RollupsService).runPass(rolledUpAt);
  const after = await ask(question);
  expect(value(after)).toBe(value(first) + 77);
  expect(value(await ask(question))).toBe(value(after));
});

it("a day is never read window by window", async () => {
  for (const [name, body] of Object.entries(everything)) {
    for (const steps of [{ points: 1 }, { points: 600 }]) {
      for (const variant of [{ by: ["host"] }, { where: "host:web-1 process:nginx" }]) {
        if (name === "coverage" && "where" in variant) continue;
        const { meta } = await ask({ ...body, ...steps, ...variant, from: at(-22), to: at(3), explain: true });
        expect(
          meta.sources.filter((source) => source.level === "raw"),
          `${name} ${JSON.stringify([steps, variant])}`,
        ).toEqual([]);
        for (const { sql } of meta.explain?.statements ?? []) expect(sql).not.toMatch(/FROM `(tcp_\w+(?<!_1[mh])|agent_coverage)`/);
      }
    }
  }
});

it("least and largest of a gauge are exact at every level for one key of one host, and bounds for several", async () => {
  const signal = getSignalOrThrow("tcp_connections");
  const active = measuresOf(signal).find(({ name }) => name === "active");
  if (active === undefined) throw new Error("no gauge");
  const selections = [toSelection(active, "min"), toSelection(active, "max")];
  const steps = { fromMs: at(1), toMs: at(3), stepMs: HOUR, count: 2 };
  const read = async (level: "raw" | "1m" | "1h", of: Partial<Plan>) => {
    const plan: Plan = { tenant: organisation.id, signal, selections, by: [], filters: [], hosts: null, steps, limit: 10, ...of };
    const sources = cutSources(steps, "host", level, (rolled, scope) => progress.completeUntilMs(stepOf(rolled, scope)));
    const { rows } = await api.app
      .get(QueryRepository)
      .run<{ step: number; v0: number; v1: number }>(
        seriesStatement(plan, { form: "gaugesByWindow", selections, sources, coverage: sources }, null),
        undefined,
      );
    return rows.sort((a, b) => a.step - b.step);
  };
  const oneKey = {
    hosts: [hosts.get("web-1") as string],
    filters: [{ key: "process", negated: false, patterns: [{ text: "nginx", glob: false }] }],
  };
  expect(await read("1m", oneKey)).toEqual(await read("raw", oneKey));
  expect(await read("1h", oneKey)).toEqual(await read("raw", oneKey));
  const exact = await read("raw", {});
  for (const level of ["1m", "1h"] as const) {
    const bounds = await read(level, {});
    expect(bounds).toHaveLength(2);
    for (const [index, { v0, v1 }] of bounds.entries()) {
      expect(v0).toBeLessThanOrEqual(exact[index]?.v0 as number);
      expect(v1).toBeGreaterThanOrEqual(exact[index]?.v1 as number);
    }
  }
});

it("a day of a fleet reads raw rows of its last minutes only, and few rows", async () => {
  const answer = await ask({ ...everything["heat maps"], from: at(3, 5) - 24 * HOUR, to: at(3, 5), points: 300 });
  expect(answer.meta).toMatchObject({ level: "1m", scope: "fleet", stepSeconds: 300 });
  const raw = answer.meta.sources.filter((source) => source.level === "raw");
  expect(raw).toEqual([{ level: "raw", scope: "host", from: new Date(at(3)).toISOString(), to: new Date(at(3, 5)).toISOString() }]);
  expect((answer.series[0] as HeatmapSeries).buckets.length).toBeGreaterThan(0);
});

it("steps become longer, and the ends of a long single one move out a little, rather than read too many rows", async () => {
  const repository = api.app.get(QueryRepository);
  vi.spyOn(repository, "listHosts").mockImplementation(async () =>
    Array.from({ length: 10_000 }, (_, index) => ({
      id: `host-${index}`,
      name: `host-${index}`,
      enrolledAtMs: at(0),
      retiredAtMs: null,
      lastWindowEndMs: null,
      tags: {},
      attributes: { kernel: "", distribution: "", architecture: "", agent_version: "" },
    })),
  );
  const rowsOf = { raw: 5_000_000, "1m": 2_000_000, "1h": 10_000 };
  vi.spyOn(repository, "estimateRows").mockImplementation(async (_, sources) => sources.reduce((sum, { level }) => sum + rowsOf[level], 0));
  const body = { ...everything["percentiles"], by: ["unit"] };
  const many = await ask({ ...body, from: at(1), to: at(3), points: 600 });
  expect(many.meta).toMatchObject({ level: "1h", stepSeconds: 3_600, from: new Date(at(1)).toISOString() });
  const long = await ask({ ...body, from: at(-40, 20), to: at(2, 40), points: 1 });
  expect(long.meta).toMatchObject({ level: "1h", from: new Date(at(-40)).toISOString(), to: new Date(at(3)).toISOString() });
  // An hour and twenty minutes are not two hours.
  const short = await ask({ ...body, from: at(1, 20), to: at(2, 40), points: 1 });
  expect(short.meta).toMatchObject({ level: "1m", from: new Date(at(1, 20)).toISOString(), to: new Date(at(2, 40)).toISOString() });
});
