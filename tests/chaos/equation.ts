// SPDX-License-Identifier: Apache-2.0
import { addSums, type SignalSums } from "../../apps/simulator/src/ledger.ts";
import { catalogue, type Level, type Scope, type Signal, sumsOf, tableName } from "../../packages/signals/src/index.ts";

import { patientFetch } from "./patient-fetch.ts";

/** One value that is not what it should be. */
export interface Difference {
  readonly where: string;
  readonly expected: string;
  readonly stored: string;
}

/** Runs a statement and returns its rows as arrays; integers of 64 bits and more come as text. */
export type Ask = (statement: string, parameters: Readonly<Record<string, string | number>>) => Promise<unknown[][]>;

/** @param url of ClickHouse's HTTP interface */
export function askClickHouse(url: string, password: string, database: string): Ask {
  return async (statement, parameters) => {
    const target = new URL(url);
    target.searchParams.set("database", database);
    target.searchParams.set("output_format_json_quote_64bit_integers", "1");
    for (const [name, value] of Object.entries(parameters)) target.searchParams.set(`param_${name}`, String(value));
    const response = await patientFetch(target, {
      method: "POST",
      headers: { "X-ClickHouse-User": "waggle", "X-ClickHouse-Key": password },
      body: `${statement} FORMAT JSONCompactEachRow`,
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`ClickHouse answered ${response.status}: ${text.slice(0, 500)}\n${statement}`);
    return text
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line) as unknown[]);
  };
}

/** What is compared of a signal: names as in `SignalSums`, and how rows of any level are summed up to it. */
function comparedOf(signal: Signal): readonly { readonly name: string; readonly sql: string }[] {
  if (signal.kind !== "histogram") return sumsOf(signal).map(({ name }) => ({ name, sql: `sum(\`${name}\`)` }));
  return [
    { name: "count", sql: "sum(count)" },
    { name: "sum", sql: "sum(sum)" },
    { name: "min", sql: "min(min)" },
    { name: "max", sql: "max(max)" },
    { name: "buckets", sql: "sum(arraySum(c))" },
    { name: "bucketIndexes", sql: "sum(arraySum(arrayMap((bucket, values) -> bucket * values, k, c)))" },
  ];
}

export interface Range {
  readonly tenant: string;
  readonly fromMs: number;
  readonly untilMs: number;
}

const parametersOf = ({ tenant, fromMs, untilMs }: Range) => ({ tenant, from: fromMs, until: untilMs });
const IN_RANGE =
  "tenant = {tenant:String} AND ts >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') AND ts < fromUnixTimestamp64Milli({until:Int64}, 'UTC')";

const ACCEPTED = `(host, ts) IN (SELECT host, ts FROM windows WHERE ${IN_RANGE})`;

/** A frame as stored: one window, or some that an agent merged. */
export interface StoredFrame {
  readonly host: string;
  readonly startMs: number;
  readonly lengthMs: number;
  /** It has its line in `windows`, which comes last. Without it some tables have its rows and others have not. */
  readonly isAccepted: boolean;
  /** By signal. */
  readonly signals: Record<string, SignalSums>;
}

/** Every frame of the range, with the sums of its rows. */
export async function readFrames(ask: Ask, range: Range, signals: ReadonlySet<string>): Promise<StoredFrame[]> {
  const frames = new Map<string, StoredFrame>();
  const windows = await ask(`SELECT host, toUnixTimestamp64Milli(ts), window_ms FROM windows FINAL WHERE ${IN_RANGE}`, parametersOf(range));
  for (const [host, startMs, lengthMs] of windows as [string, string, number][])
    frames.set(`${host} ${startMs}`, { host, startMs: Number(startMs), lengthMs, isAccepted: true, signals: {} });
  for (const signal of catalogue.filter((candidate) => signals.has(candidate.name))) {
    const compared = comparedOf(signal);
    const rows = await ask(
      `SELECT host, toUnixTimestamp64Milli(ts) AS start, any(window_ms), count(), ${compared.map(({ sql }) => `toString(${sql})`).join(", ")} FROM ${tableName(signal, "raw")} FINAL WHERE ${IN_RANGE} GROUP BY host, start`,
      parametersOf(range),
    );
    for (const [host, startMs, lengthMs, count, ...values] of rows as [string, string, number, string, ...string[]][]) {
      const key = `${host} ${startMs}`;
      const frame = frames.get(key) ?? { host, startMs: Number(startMs), lengthMs, isAccepted: false, signals: {} };
      frames.set(key, frame);
      frame.signals[signal.name] = { rows: Number(count), ...Object.fromEntries(compared.map(({ name }, index) => [name, values[index] as string])) };
    }
  }
  return [...frames.values()].sort((a, b) => a.host.localeCompare(b.host) || a.startMs - b.startMs);
}

export interface RawComparison {
  readonly windows: number;
  readonly frames: number;
  readonly lostWindows: number;
  readonly doubledWindows: number;
  /** Windows whose loss was declared and that were not accepted. */
  readonly declaredWindows: number;
  /** Of these, windows of which some tables have rows: they were sent, and given up before they were acknowledged. */
  readonly remnantWindows: number;
  readonly differences: readonly Difference[];
  /** What was sent, and what of it was declared lost, by signal. */
  readonly sent: SumsBySignal;
  readonly lost: SumsBySignal;
}

type SumsBySignal = Readonly<Record<string, SignalSums>>;

/**
 * Holds what is stored against what was to be sent: every window of every host once, with its sums, or declared lost.
 * @param truth sums of one window
 * @param mayLack windows whose loss was declared
 */
export function compareRaw(
  frames: readonly StoredFrame[],
  hosts: readonly string[],
  scene: { readonly fromMs: number; readonly untilMs: number; readonly windowMs: number },
  truth: (host: string, startMs: number) => SumsBySignal,
  mayLack: (host: string, startMs: number) => boolean,
): RawComparison {
  const differences: Difference[] = [];
  const sent: Record<string, SignalSums> = {};
  const lost: Record<string, SignalSums> = {};
  const add = (into: Record<string, SignalSums>, sums: SumsBySignal): void => {
    for (const [name, value] of Object.entries(sums)) into[name] = addSums(into[name], value);
  };
  const byHost = Map.groupBy(frames, (frame) => frame.host);
  let [windows, lostWindows, doubledWindows, declaredWindows, remnantWindows] = [0, 0, 0, 0, 0];
  const known = new Set(hosts);
  for (const host of byHost.keys()) if (!known.has(host)) differences.push({ where: `host ${host}`, expected: "no such host", stored: "rows" });
  for (const host of hosts) {
    const covered = new Map<number, number>();
    const remnants = new Set<number>();
    for (const frame of byHost.get(host) ?? []) {
      const where = `${host} ${new Date(frame.startMs).toISOString()} (${frame.lengthMs} ms)`;
      const starts: number[] = [];
      for (let startMs = frame.startMs; startMs < frame.startMs + frame.lengthMs; startMs += scene.windowMs) starts.push(startMs);
      const expected: Record<string, SignalSums> = {};
      for (const startMs of starts) add(expected, truth(host, startMs));
      if (frame.isAccepted) for (const startMs of starts) covered.set(startMs, (covered.get(startMs) ?? 0) + 1);
      else if (starts.every((startMs) => mayLack(host, startMs))) for (const startMs of starts) remnants.add(startMs);
      else {
        differences.push({
          where,
          expected: "accepted, or declared lost",
          stored: `rows of ${Object.keys(frame.signals).join(", ")}, and no line in windows`,
        });
        continue;
      }
      const isMerged = frame.lengthMs > scene.windowMs;
      for (const name of new Set([...Object.keys(expected), ...Object.keys(frame.signals)])) {
        // A table has all rows of a frame or none.
        if (!frame.isAccepted && frame.signals[name] === undefined) continue;
        for (const measure of Object.keys(expected[name] ?? frame.signals[name] ?? {})) {
          // Rows of one name in several merged windows are one row.
          if (measure === "rows" && isMerged) continue;
          const [wanted, stored] = [expected[name]?.[measure] ?? "no row", frame.signals[name]?.[measure] ?? "no row"];
          if (String(wanted) !== String(stored))
            differences.push({ where: `${where} ${name}.${measure}`, expected: String(wanted), stored: String(stored) });
        }
      }
    }
    for (let startMs = scene.fromMs; startMs < scene.untilMs; startMs += scene.windowMs) {
      const times = covered.get(startMs) ?? 0;
      covered.delete(startMs);
      const where = `${host} ${new Date(startMs).toISOString()}`;
      const sums = truth(host, startMs);
      windows++;
      add(sent, sums);
      if (times === 0 && mayLack(host, startMs)) {
        declaredWindows++;
        if (remnants.has(startMs)) remnantWindows++;
        add(lost, sums);
        continue;
      }
      if (times === 0) {
        lostWindows++;
        differences.push({ where, expected: "stored once", stored: "not at all" });
      } else if (times > 1) {
        doubledWindows++;
        differences.push({ where, expected: "stored once", stored: `${times} times` });
      }
    }
    for (const startMs of covered.keys())
      differences.push({ where: `${host} ${new Date(startMs).toISOString()}`, expected: "no such window", stored: "rows" });
  }
  return { windows, frames: frames.length, lostWindows, doubledWindows, declaredWindows, remnantWindows, differences, sent, lost };
}

export interface LevelTotals {
  readonly signal: string;
  readonly measure: string;
  readonly raw: string;
  readonly levels: readonly string[];
}

export const rolledLevels: readonly { readonly level: Exclude<Level, "raw">; readonly scope: Scope }[] = [
  { level: "1m", scope: "host" },
  { level: "1h", scope: "host" },
  { level: "1m", scope: "fleet" },
  { level: "1h", scope: "fleet" },
];

/** Holds every roll-up against the raw rows of accepted frames themselves: per host (or for the fleet), minute or hour, and signal, every measure and the number of windows. */
export async function compareLevels(ask: Ask, range: Range): Promise<Difference[]> {
  const differences: Difference[] = [];
  for (const signal of catalogue) {
    const compared = comparedOf(signal);
    for (const { level, scope } of rolledLevels) {
      const host = scope === "host" ? "toString(host)" : "''";
      const start = level === "1m" ? "toStartOfMinute(ts)" : "toStartOfHour(ts)";
      const columns = compared.map(({ sql }, index) => `${sql} AS v${index}`).join(", ");
      const side = (isRolled: 0 | 1): string =>
        `[${["n", ...compared.map((_, index) => `v${index}`)].map((name) => `toString(sumIf(${name}, is_rolled = ${isRolled}))`).join(", ")}]`;
      const table = tableName(signal, level, scope);
      const rows = await ask(
        `SELECT who, toString(at), ${side(0)} AS expected, ${side(1)} AS stored FROM (
           SELECT 0 AS is_rolled, ${host} AS who, toDateTime(${start}, 'UTC') AS at, count() AS n, ${columns} FROM ${tableName(signal, "raw")} FINAL WHERE ${IN_RANGE} AND ${ACCEPTED} GROUP BY who, at
           UNION ALL
           SELECT 1 AS is_rolled, ${host} AS who, toDateTime(ts, 'UTC') AS at, sum(covered_windows) AS n, ${columns} FROM ${table} FINAL WHERE ${IN_RANGE} GROUP BY who, at
         ) GROUP BY who, at HAVING expected != stored ORDER BY at, who LIMIT 5`,
        parametersOf(range),
      );
      for (const [who, at, expected, stored] of rows as [string, string, string[], string[]][]) {
        differences.push({
          where: `${table} ${who === "" ? "fleet" : who} ${at} [rows, ${compared.map(({ name }) => name).join(", ")}]`,
          expected: expected.join(", "),
          stored: stored.join(", "),
        });
      }
    }
  }
  return differences;
}

/** Totals of each signal's first measure, raw (of accepted frames) and at every level. */
export async function readTotals(ask: Ask, range: Range, signals: ReadonlySet<string>): Promise<LevelTotals[]> {
  const totals: LevelTotals[] = [];
  for (const signal of catalogue.filter((candidate) => signals.has(candidate.name))) {
    const [first] = comparedOf(signal) as [{ name: string; sql: string }];
    const total = async (table: string, condition = "1"): Promise<string> =>
      String((await ask(`SELECT toString(${first.sql}) FROM ${table} FINAL WHERE ${IN_RANGE} AND ${condition}`, parametersOf(range)))[0]?.[0] ?? "0");
    const levels: string[] = [];
    for (const { level, scope } of rolledLevels) levels.push(await total(tableName(signal, level, scope)));
    totals.push({ signal: signal.name, measure: first.name, raw: await total(tableName(signal, "raw"), ACCEPTED), levels });
  }
  return totals;
}
