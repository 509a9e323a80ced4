// SPDX-License-Identifier: Apache-2.0
import { DASHBOARD_QUERY_MS_MAX, type DashboardsResult, INGEST_ROWS_PER_SECOND, measureDashboards } from "./dashboards.ts";
import { type History, openHistory } from "./history.ts";
import { measurePages } from "./page-costs.ts";
import { type Body, bodyOf, fleetPage, hostPage, type PageQuery, select } from "./page-queries.ts";
import type { BenchOptions, BenchResult } from "./report.ts";
import type { ApiProcess } from "./server.ts";
import { quantile } from "./statistics.ts";

const HOUR_MS = 3_600_000;
const MINUTE_MS = 60_000;
/** What a person waits for without noticing. */
const PAGE_LIMIT_MS = 100;

/** Topology and the like read more than a panel. */
const WIDE_LIMIT_MS = 250;
/** Ten minutes of a page that follows the present: every sixth time a minute is new. Of fewer a p95 is the slowest, or nearly. */
const REFRESHES_MIN = 60;
/** As often as a page that follows the present asks again. */
const REFRESH_MS = 10_000;
const PAGE_HOST = "sim-web-01";
const PLANNER_LIMIT_MS = 2;

interface Question {
  readonly limitMs: number;
  /** What the limit is on. */
  readonly of: "median" | "p95";
  readonly request: (run: number) => Request;
}

interface Request {
  readonly path: string;
  /** undefined: a GET. */
  readonly body: Body | undefined;
}

interface Range {
  readonly fromMs: number;
  readonly toMs: number;
  readonly points: number;
}

const fixed = (limitMs: number, body: Body): Question => ({ limitMs, of: "median", request: () => ({ path: "/query", body }) });

/** What the fleet is promised to answer fast. A question whose ends cut hours reads minutes there. */
function promises({ fromMs, toMs }: History): Readonly<Record<string, Question>> {
  const day = { from: fromMs, to: toMs };
  const cut = { from: fromMs + 30 * MINUTE_MS, to: toMs - 30 * MINUTE_MS };
  const byHost = { by: ["host"], points: 1 };
  const p99 = { signal: "tcp_rtt", select: select("rtt", "p99") };
  return {
    fleetPercentiles: fixed(50, { signal: "tcp_rtt", select: select("rtt", "p50", "p95", "p99"), points: 300, ...day }),
    fleetSyscallPercentiles: fixed(50, { signal: "syscall_latency", select: select("latency", "p50", "p95", "p99"), points: 300, ...day }),
    top20HostsByP99: fixed(150, { ...p99, ...byHost, limit: 20, ...day }),
    top20HostsByP99CutHours: fixed(150, { ...p99, ...byHost, limit: 20, ...cut }),
    top20HostsByRetransmits: fixed(150, { signal: "tcp_retransmits", select: select("segments", "sum"), ...byHost, limit: 20, ...day }),
    oneHostsDay: fixed(60, { signal: "tcp_rtt", select: select("rtt", "p50", "p99"), where: "host:sim-web-01", points: 600, ...day }),
    everyHostLast15Minutes: fixed(200, { ...p99, ...byHost, limit: 10_000, from: toMs - 15 * MINUTE_MS, to: toMs }),
  };
}

/** Every query of the pages, for their default range and for a day. Each run asks 10 s later than the one before, as pages do. */
function pages(name: string, range: Range, runs: number): Readonly<Record<string, Question>> {
  const all = { ...named("fleet", fleetPage(PAGE_HOST)), ...named("host", hostPage(PAGE_HOST)) };
  return Object.fromEntries(
    Object.entries(all).map(([key, query]): [string, Question] => [
      `${key}${name}`,
      {
        limitMs: PAGE_LIMIT_MS,
        of: "p95",
        request: (run) => {
          const earlierMs = (runs - run) * REFRESH_MS;
          return { path: "/query", body: bodyOf(query, { ...range, fromMs: range.fromMs - earlierMs, toMs: range.toMs - earlierMs }) };
        },
      },
    ]),
  );
}

const named = (page: string, queries: Readonly<Record<string, PageQuery>>): Record<string, PageQuery> =>
  Object.fromEntries(Object.entries(queries).map(([name, query]) => [`${page}.${name}`, query]));

/** What the API has besides, as far as its own description lists it. */
async function others(api: ApiProcess, { fromMs, toMs }: History, runs: number): Promise<Readonly<Record<string, Question>>> {
  const document = (await (await fetch(`${api.restUrl}/api/v1/openapi.json`)).json()) as { paths: Record<string, object> };
  const ends = (earlierMs: number) => ({ from: new Date(fromMs - earlierMs).toISOString(), to: new Date(toMs - earlierMs).toISOString() });
  const earlier = (run: number): number => (runs - run) * REFRESH_MS;
  const questions: Record<string, Question> = {};
  if (document.paths["/topology"] !== undefined) {
    const question = (hours: number, more: string): Question => ({
      limitMs: WIDE_LIMIT_MS,
      of: "p95",
      request: (run) => {
        const { to } = ends(earlier(run));
        const from = new Date(Date.parse(to) - hours * HOUR_MS).toISOString();
        return { path: `/topology?from=${from}&to=${to}${more}`, body: undefined };
      },
    });
    questions["topologyHour"] = question(1, "");
    questions["topologyDay"] = question(24, "");
    questions["topologyOfOneHostDay"] = question(24, `&by=process&where=host:${PAGE_HOST}`);
  }
  if (document.paths["/explain-difference"] !== undefined) {
    questions["explainDifference"] = {
      limitMs: WIDE_LIMIT_MS,
      of: "p95",
      request: (run) => {
        const { to } = ends(earlier(run));
        const end = Date.parse(to);
        return {
          path: "/explain-difference",
          body: {
            signal: "tcp_retransmits",
            measure: "segments",
            selection: { from: end - HOUR_MS, to: end },
            baseline: { from: end - 2 * HOUR_MS, to: end - HOUR_MS },
          },
        };
      },
    };
  }
  return questions;
}

/**
 * A fleet's day over REST, as it goes in through the real wire in windows of a minute and as the server rolls it up (or copies of such hours, see
 * {@link openHistory}): medians of 20 or the p95 of 60, and the first time beside them.
 */
export async function run(options: BenchOptions): Promise<BenchResult> {
  const { hosts, hours, wireHours, rows, runs } = options;
  const refreshes = Math.max(runs, REFRESHES_MIN);
  await using history = await openHistory(options);
  const { api, fromMs, toMs } = history;
  const promised = promises(history);
  const questions = {
    ...promised,
    ...pages("Hour", { fromMs: toMs - HOUR_MS, toMs, points: 180 }, refreshes),
    ...pages("Day", { fromMs, toMs, points: 144 }, refreshes),
    ...(await others(api, history, refreshes)),
  };
  const results = [];
  const plannerMs: number[] = [];
  const assemblyMs: number[] = [];
  for (const [name, { limitMs, of, request }] of Object.entries(questions)) {
    const cold = await ask(api, name, request(0));
    const times = [];
    for (let run = 1; run <= (of === "p95" ? refreshes : runs); run++) {
      const asked = await ask(api, name, request(run));
      times.push(asked.milliseconds);
      if (asked.plannerMs !== undefined) plannerMs.push(asked.plannerMs);
      if (asked.assemblyMs !== undefined) assemblyMs.push(asked.assemblyMs);
    }
    times.sort((a, b) => a - b);
    const { rowsRead, level, scope, stepSeconds, values } = cold;
    if (values === 0 && name in promised) throw new Error(`${name} found nothing: ${JSON.stringify(request(0))}`);
    const [medianMs, p95Ms] = [at(times, 0.5), at(times, 0.95)];
    results.push({
      name,
      medianMs,
      p95Ms,
      coldMs: round(cold.milliseconds),
      rowsRead,
      values,
      level,
      scope,
      stepSeconds,
      limitMs,
      limitOf: of,
      isWithin: (of === "p95" ? p95Ms : medianMs) <= limitMs,
    });
  }
  for (const all of [plannerMs, assemblyMs]) all.sort((a, b) => a - b);
  const assembly = assemblyMs.length === 0 ? null : { medianMs: at(assemblyMs, 0.5), p95Ms: at(assemblyMs, 0.95) };
  const planner = plannerMs.length === 0 ? null : { medianMs: at(plannerMs, 0.5), p95Ms: at(plannerMs, 0.95), limitMs: PLANNER_LIMIT_MS };
  const pageCosts = await measurePages(api, history.clickhousePid, PAGE_HOST, toMs);
  const names = await hostNames(api, 50);
  const dashboards = options.dashboards ? await measureDashboards(api, names) : null;
  const tables = await history.select<{ table: string; rows: number; bytes: number; parts: number }>(
    "SELECT table, sum(rows) AS rows, sum(bytes_on_disk) AS bytes, count() AS parts FROM system.parts WHERE active AND database = currentDatabase() GROUP BY table HAVING rows > 0 ORDER BY table",
  );
  return {
    title: "Queries",
    method:
      `${hosts} simulated hosts × ${hours} h of one-minute windows, ${rows} rows of TCP flows and system calls each. The newest ${wireHours} h were filled through the wire and rolled up by ` +
      `the server, the others are copies of their minutes and hours (--wire-hours ${hours} fills all through the wire); nothing optimized by hand. ${runs} runs each over REST; of what pages ask ${refreshes}, each 10 s later than the one before.`,
    measurements: [
      ...results.map(({ name, medianMs, p95Ms, limitMs, limitOf }) => ({
        what: `${name}, ${limitOf}`,
        value: limitOf === "p95" ? p95Ms : medianMs,
        unit: "ms",
        against: { what: "limit", value: limitMs },
      })),
      ...(planner === null ? [] : [{ what: "planner, p95", value: planner.p95Ms, unit: "ms", against: { what: "limit", value: PLANNER_LIMIT_MS } }]),
      ...(assembly === null ? [] : [{ what: "putting answers together, p95", value: assembly.p95Ms, unit: "ms" }]),
      ...pageCosts.flatMap(({ page, statements, clickhouseCpuMs, apiCpuMs }) => [
        { what: `a refresh of the ${page} page, statements`, value: statements, unit: "statements" },
        { what: "… CPU of ClickHouse", value: clickhouseCpuMs, unit: "ms" },
        { what: "… CPU of the API", value: apiCpuMs, unit: "ms" },
      ]),
      ...(dashboards === null ? [] : ofDashboards(dashboards)),
    ],
    json: {
      queries: results,
      planner,
      assembly,
      pageCosts,
      dashboards,
      hosts,
      hours,
      wireHours,
      rowsPerHostAndMinute: rows,
      fillSeconds: history.fillSeconds,
      bytesPerRow: Object.fromEntries(tables.map(({ table, rows: count, bytes }) => [table, round(bytes / count)])),
      tables,
    },
  };
}

const at = (sorted: readonly number[], q: number): number => round(quantile(sorted, q));

const round = (value: number): number => Math.round(value * 10) / 10;

function ofDashboards({
  dashboards,
  queries,
  failed,
  failures,
  queryMs,
  openQueryMs,
  ingestAlone,
  ingestBeside,
}: DashboardsResult): BenchResult["measurements"] {
  return [
    { what: `${dashboards} dashboards, slowest query`, value: queryMs.max, unit: "ms", against: { what: "limit", value: DASHBOARD_QUERY_MS_MAX } },
    { what: `${dashboards} dashboards, query p95`, value: queryMs.p95, unit: "ms" },
    {
      what: `${dashboards} dashboards that are open, slowest query`,
      value: openQueryMs.max,
      unit: "ms",
      against: { what: "limit", value: DASHBOARD_QUERY_MS_MAX },
    },
    { what: `${dashboards} dashboards, queries that failed`, value: failed, unit: "queries", against: { what: "asked", value: queries } },
    ...failures.map(({ status, code, detail, count }) => ({ what: `of these ${status} ${code}: ${detail}`, value: count, unit: "queries" })),
    { what: "ingest beside them", value: ingestBeside.rowsPerSecond, unit: "rows/s", against: { what: "sent", value: INGEST_ROWS_PER_SECOND } },
    {
      what: "ingest beside them, acknowledged p99",
      value: ingestBeside.ackMs.p99,
      unit: "ms",
      against: { what: "alone", value: ingestAlone.ackMs.p99 },
    },
  ];
}

async function hostNames(api: ApiProcess, count: number): Promise<string[]> {
  const response = await fetch(`${api.restUrl}/api/v1/hosts?limit=${count}&q=sim-`, { headers: { authorization: `Bearer ${api.adminToken}` } });
  if (!response.ok) throw new Error(`/hosts answered ${response.status}: ${await response.text()}`);
  return ((await response.json()) as { data: { name: string }[] }).data.map(({ name }) => name);
}

interface Asked {
  readonly milliseconds: number;
  /** Values in the answer that are not null: an answer of nothing is fast and says nothing. */
  readonly values: number;
  readonly rowsRead: number;
  readonly level?: string;
  readonly scope?: string;
  readonly stepSeconds?: number;
  /** What the API did besides waiting for ClickHouse before it asked. */
  readonly plannerMs?: number;
  /** What it did to make the answer out of what was read. */
  readonly assemblyMs?: number;
}

/** @throws Error when the API refuses */
async function ask(api: ApiProcess, name: string, { path, body }: Request): Promise<Asked> {
  const began = performance.now();
  const response = await fetch(`${api.restUrl}/api/v1${path}`, {
    headers: { authorization: `Bearer ${api.adminToken}`, ...(body === undefined ? {} : { "content-type": "application/json" }) },
    ...(body === undefined ? {} : { method: "POST", body: JSON.stringify(body) }),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${name} answered ${response.status}: ${text}`);
  const answer = JSON.parse(text) as {
    meta: Omit<Asked, "milliseconds" | "values">;
    series?: { values?: (number | null)[]; cells?: (number | null)[][] }[];
  };
  const milliseconds = performance.now() - began;
  const values = (answer.series ?? []).reduce(
    (sum, series) => sum + (series.values ?? series.cells?.flat() ?? []).filter((value) => value !== null).length,
    0,
  );
  return { milliseconds, values, ...answer.meta };
}
