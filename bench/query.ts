// SPDX-License-Identifier: Apache-2.0
import { type History, openHistory } from "./history.ts";
import type { BenchOptions, BenchResult } from "./report.ts";
import type { ApiProcess } from "./server.ts";

const RUNS = 20;
const HOUR_MS = 3_600_000;
const MINUTE_MS = 60_000;
/** What a person waits for without noticing. */
const PAGE_LIMIT_MS = 200;

interface Question {
  readonly limitMs: number;
  readonly body: Record<string, unknown>;
}

const select = (measure: string, ...aggregates: string[]) => aggregates.map((aggregate) => ({ measure, aggregate }));

/** What the fleet is promised to answer fast. A question whose ends cut hours reads minutes there. */
function promises({ fromMs, toMs }: History): Readonly<Record<string, Question>> {
  const day = { from: fromMs, to: toMs };
  const cut = { from: fromMs + 30 * MINUTE_MS, to: toMs - 30 * MINUTE_MS };
  const byHost = { by: ["host"], points: 1 };
  const p99 = { signal: "tcp_rtt", select: select("rtt", "p99") };
  return {
    fleetPercentiles: { limitMs: 50, body: { signal: "tcp_rtt", select: select("rtt", "p50", "p95", "p99"), points: 300, ...day } },
    fleetSyscallPercentiles: {
      limitMs: 50,
      body: { signal: "syscall_latency", select: select("latency", "p50", "p95", "p99"), points: 300, ...day },
    },
    top20HostsByP99: { limitMs: 150, body: { ...p99, ...byHost, limit: 20, ...day } },
    top20HostsByP99CutHours: { limitMs: 150, body: { ...p99, ...byHost, limit: 20, ...cut } },
    top20HostsByRetransmits: {
      limitMs: 150,
      body: { signal: "tcp_retransmits", select: select("segments", "sum"), ...byHost, limit: 20, ...day },
    },
    oneHostsDay: {
      limitMs: 60,
      body: { signal: "tcp_rtt", select: select("rtt", "p50", "p99"), where: "host:sim-web-01", points: 600, ...day },
    },
    everyHostLast15Minutes: { limitMs: 200, body: { ...p99, ...byHost, limit: 10_000, from: toMs - 15 * MINUTE_MS, to: toMs } },
  };
}

/** What the pages ask, for their default range and for a day. */
function pages(name: string, range: { from: number; to: number; points: number }): Readonly<Record<string, Question>> {
  const { points, ...ends } = range;
  const total = { ...ends, points: 1 };
  const series = { ...ends, points };
  const everyHost = { by: ["host"], limit: 10_000, ...total };
  const oneHost = { where: "host:sim-web-01" };
  const segments = [...select("segments_retransmitted", "sum"), ...select("segments_sent", "sum")];
  const bytes = [...select("bytes_sent", "rate"), ...select("bytes_received", "rate")];
  const bodies: Readonly<Record<string, Record<string, unknown>>> = {
    fleetSegmentsByHost: { signal: "tcp_connections", select: segments, ...everyHost },
    fleetRttByHost: { signal: "tcp_rtt", select: select("rtt", "p99"), ...everyHost },
    fleetConnectFailuresByHost: { signal: "tcp_connect_failures", select: select("count", "rate"), ...everyHost },
    fleetSyscallErrorsByHost: { signal: "syscall_errors", select: select("count", "rate"), ...everyHost },
    fleetRtt: { signal: "tcp_rtt", select: select("rtt", "p50", "p99"), ...series },
    fleetRttTotal: { signal: "tcp_rtt", select: select("rtt", "p50", "p99", "count"), ...total },
    fleetBytes: { signal: "tcp_connections", select: bytes, ...series },
    fleetRetransmitsByProcess: { signal: "tcp_retransmits", select: select("segments", "rate"), by: ["process"], ...series },
    fleetFailuresByErrno: { signal: "tcp_connect_failures", select: select("count", "rate"), by: ["errno"], limit: 6, ...series },
    hostRttHeatMap: { signal: "tcp_rtt", select: select("rtt", "heatmap", "p50", "p99", "max"), ...oneHost, ...series },
    hostRetransmitPaths: {
      signal: "tcp_retransmits",
      select: select("segments", "sum"),
      by: ["process", "peer", "peer_port"],
      limit: 50,
      ...oneHost,
      ...total,
    },
    hostSyscalls: {
      signal: "syscall_latency",
      select: [...select("sum", "rate"), ...select("latency", "p99")],
      by: ["process", "unit", "syscall"],
      limit: 100,
      ...oneHost,
      ...total,
    },
    hostConnections: {
      signal: "tcp_connections",
      select: [...segments, ...bytes, ...select("active", "last")],
      by: ["process", "peer", "peer_port"],
      limit: 100,
      ...oneHost,
      ...total,
    },
    hostAgentMemory: { signal: "agent_cost", select: select("rss_bytes", "last", "max"), ...oneHost, ...series },
  };
  return Object.fromEntries(Object.entries(bodies).map(([key, body]) => [`${key}${name}`, { limitMs: PAGE_LIMIT_MS, body }]));
}

/**
 * A fleet's day over REST, as it goes in through the real wire in windows of a minute and as the server rolls it up (or copies of such hours, see
 * {@link openHistory}): medians of 20, and the first time beside them.
 */
export async function run(options: BenchOptions): Promise<BenchResult> {
  const { hosts, hours, wireHours, rows } = options;
  await using history = await openHistory(options);
  const { api, fromMs, toMs } = history;
  const promised = promises(history);
  const questions = {
    ...promised,
    ...pages("Hour", { from: toMs - HOUR_MS, to: toMs, points: 180 }),
    ...pages("Day", { from: fromMs, to: toMs, points: 144 }),
  };
  const results = [];
  for (const [name, { limitMs, body }] of Object.entries(questions)) {
    const cold = await ask(api, name, body);
    const times = [];
    for (let index = 0; index < RUNS; index++) times.push((await ask(api, name, body)).milliseconds);
    times.sort((a, b) => a - b);
    const { rowsRead, level, scope, stepSeconds, values } = cold;
    if (values === 0 && name in promised) throw new Error(`${name} found nothing: ${JSON.stringify(body)}`);
    results.push({
      name,
      medianMs: at(times, 0.5),
      p95Ms: at(times, 0.95),
      coldMs: round(cold.milliseconds),
      rowsRead,
      values,
      level,
      scope,
      stepSeconds,
      limitMs,
    });
  }
  const tables = await history.select<{ table: string; rows: number; bytes: number; parts: number }>(
    "SELECT table, sum(rows) AS rows, sum(bytes_on_disk) AS bytes, count() AS parts FROM system.parts WHERE active AND database = currentDatabase() GROUP BY table HAVING rows > 0 ORDER BY table",
  );
  return {
    title: "Queries",
    method:
      `${hosts} simulated hosts × ${hours} h of one-minute windows, ${rows} rows each. The newest ${wireHours} h were filled through the wire and rolled up by ` +
      `the server, the others are copies of their minutes and hours (--wire-hours ${hours} fills all through the wire); nothing optimized by hand. ${RUNS} runs each over REST.`,
    measurements: results.map(({ name, medianMs, limitMs }) => ({
      what: `${name}, median`,
      value: medianMs,
      unit: "ms",
      against: { what: "limit", value: limitMs },
    })),
    json: {
      queries: results,
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

const at = (sorted: readonly number[], q: number): number => round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] as number);

const round = (value: number): number => Math.round(value * 10) / 10;

interface Asked {
  readonly milliseconds: number;
  /** Values in the answer that are not null: an answer of nothing is fast and says nothing. */
  readonly values: number;
  readonly rowsRead: number;
  readonly level: string;
  readonly scope: string;
  readonly stepSeconds: number;
}

/** @throws Error when the API refuses */
async function ask(api: ApiProcess, name: string, query: Record<string, unknown>): Promise<Asked> {
  const began = performance.now();
  const response = await fetch(`${api.restUrl}/api/v1/query`, {
    method: "POST",
    headers: { authorization: `Bearer ${api.adminToken}`, "content-type": "application/json" },
    body: JSON.stringify(query),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${name} answered ${response.status}: ${text}`);
  const answer = JSON.parse(text) as {
    meta: Omit<Asked, "milliseconds" | "values">;
    series: { values?: (number | null)[]; cells?: (number | null)[][] }[];
  };
  const milliseconds = performance.now() - began;
  const values = answer.series.reduce(
    (sum, series) => sum + (series.values ?? series.cells?.flat() ?? []).filter((value) => value !== null).length,
    0,
  );
  return { milliseconds, values, ...answer.meta };
}
