// SPDX-License-Identifier: Apache-2.0
import { dimensions } from "./dimensions.ts";
import { fleetDimensions, gaugesOf, hasLastEnd, type Level, type RollupLevel, type Scope, sumsOf, tableName } from "./levels.ts";
import type { Signal } from "./signal.ts";
import { type Layout, type StorageColumn, type TableDefinition, tableStatements } from "./table.ts";

const TIME = "DateTime64(3, 'UTC')";

/** Columns that every raw row starts with; the API fills them from the credential and the frame, never from the agent's block. */
export const envelopeColumns: readonly StorageColumn[] = [
  { name: "tenant", type: "LowCardinality(String)" },
  { name: "host", type: "LowCardinality(String)" },
  { name: "ts", type: TIME },
  { name: "window_ms", type: "UInt32" },
];

/**
 * The time in a sorting key, behind its bucket. Not plain `ts`: ClickHouse would hold a condition on `ts` against that column, the last of the key, and
 * never against the bucket at its front, and read a whole day for a minute.
 */
export const TIME_KEY = "toUnixTimestamp64Milli(ts)";

/**
 * Days a level is kept unless configured otherwise: 100 busy hosts then stay below the disk guard's first mark on a disk of 50 GB
 * (docs/retention.md). Whole partitions are dropped, so rows stay up to one partition longer.
 */
export const retentionDaysDefault: Readonly<Record<Level, number>> = { raw: 5, "1m": 30, "1h": 400 };

function dimensionColumns(names: readonly Signal["dimensions"][number][]): StorageColumn[] {
  return names.map((name) => ({ name, type: dimensions[name].clickhouseType }));
}

/**
 * Exact count, sum, min and max beside sparse pairs of bucket index and count.
 * Many distributions are measured in µs and stored in ns: GCD takes the factor of 1,000 out. Sums and extremes are near each other from row to row and
 * seldom equal, so T64 cuts off the bits that none of a block needs: without it real rows have 0.8 B (system calls) to 1.0 B (round trips) more for the two
 * extremes. Bucket indexes of a row are near each other. Raw rows are written and merged many times over, so they take the cheaper compression, but for the
 * bucket counts, which are half of a row; of rolled-up rows there are a sixth and they stay for long.
 * What was tried for less, and why it is not done: docs/benchmarks.md.
 */
function histogramColumns(level: Level): StorageColumn[] {
  const zstd = level === "raw" ? "ZSTD(1)" : "ZSTD(3)";
  return [
    { name: "count", type: "UInt64" },
    { name: "sum", type: "UInt64", codec: `GCD, T64('bit'), ${zstd}` },
    { name: "min", type: "UInt64", codec: "GCD, T64, ZSTD(1)" },
    { name: "max", type: "UInt64", codec: "GCD, T64, ZSTD(1)" },
    { name: "k", type: "Array(UInt16)", codec: `Delta(2), ${zstd}` },
    { name: "c", type: "Array(UInt64)", codec: "T64, ZSTD(3)" },
  ];
}

/** The ClickHouse columns of a signal's raw table, in order. */
export function storageColumns(signal: Signal): readonly StorageColumn[] {
  const measures = signal.kind === "histogram" ? histogramColumns("raw") : signal.measures.map((measure) => ({ name: measure.name, type: "UInt64" }));
  return [...envelopeColumns, ...dimensionColumns(signal.dimensions), ...measures];
}

/**
 * The columns of a rolled-up table, in order. Beyond those of the raw table:
 * - `ts` is the start of the minute or hour; `window_ms` the summed length of the raw windows in which the key had a row, and
 *   `covered_windows` their number (over all hosts, for a fleet row);
 * - `version` rises with what the row was made from: of two rows of one name the higher has seen more windows;
 * - `hosts` (fleet): how many hosts had a row;
 * - for a gauge `g` (host only): `g` is its value in the newest window in which the key had a row, `g_min` and `g_max` its extremes, `g_time` the sum
 *   of value × window length in ms; `last_end` is when that newest window ended.
 */
export function rollupColumns(signal: Signal, scope: Scope): readonly StorageColumn[] {
  const isHost = scope === "host";
  const number = (name: string): StorageColumn => ({ name, type: "UInt64" });
  const measures =
    signal.kind === "histogram"
      ? histogramColumns("1m")
      : [
          ...sumsOf(signal).map((measure) => number(measure.name)),
          ...(isHost
            ? gaugesOf(signal).flatMap(({ name }) => [number(name), number(`${name}_min`), number(`${name}_max`), number(`${name}_time`)])
            : []),
        ];
  return [
    { name: "tenant", type: "LowCardinality(String)" },
    ...(isHost ? [{ name: "host", type: "LowCardinality(String)" }] : []),
    { name: "ts", type: TIME },
    { name: "window_ms", type: "UInt64" },
    { name: "covered_windows", type: "UInt64" },
    { name: "version", type: "UInt64" },
    ...(isHost ? [] : [{ name: "hosts", type: "UInt32" }]),
    ...(isHost && hasLastEnd(signal) ? [{ name: "last_end", type: TIME }] : []),
    ...dimensionColumns(isHost ? signal.dimensions : fleetDimensions(signal)),
    ...measures,
  ];
}

/**
 * Start of the stretch of time within which a table is ordered by host: short enough to read the newest of all hosts, long enough for one host's day.
 * Measured with 10,000 hosts: in stretches of 15 min instead of hours the last 15 min of all hosts take half the time and one host's day twice; rows are 9 %
 * longer.
 */
const bucketOf: Readonly<Record<Level, string>> = { raw: "toStartOfFiveMinutes(ts)", "1m": "toStartOfHour(ts)", "1h": "toDate(ts)" };
const partitionOf: Readonly<Record<Level, string>> = { raw: "toDate(ts)", "1m": "toDate(ts)", "1h": "toStartOfMonth(ts)" };

/**
 * The table of a signal at a level and scope. A row is named by what it measured (the sorting key), so writing it twice equals writing it once.
 * @param retentionDays of this signal and level
 */
export function signalTable(signal: Signal, level: Level, scope: Scope = "host", retentionDays = retentionDaysDefault[level]): TableDefinition {
  const names = scope === "host" ? signal.dimensions : fleetDimensions(signal);
  // Whoever reads coverage reads one signal's: ordered by it first, the others are not touched.
  const lead = signal.name === "agent_coverage" ? ["signal"] : [];
  const rest = names.filter((name) => !lead.includes(name));
  return {
    name: tableName(signal, level, scope),
    columns: level === "raw" ? storageColumns(signal) : rollupColumns(signal, scope),
    orderBy: ["tenant", ...lead, bucketOf[level], ...(scope === "host" ? ["host"] : []), ...rest, TIME_KEY],
    partitionBy: partitionOf[level],
    version: level === "raw" ? null : "version",
    retentionDays,
    shardBy: scope === "host" ? ["tenant", "host"] : ["tenant"],
    indexes: [],
  };
}

/** Every table of a signal. */
export function signalTables(signal: Signal, retentionDays: Readonly<Record<Level, number>> = retentionDaysDefault): readonly TableDefinition[] {
  const rolled = (level: RollupLevel, scope: Scope): TableDefinition => signalTable(signal, level, scope, retentionDays[level]);
  return [
    signalTable(signal, "raw", "host", retentionDays.raw),
    rolled("1m", "host"),
    rolled("1h", "host"),
    rolled("1m", "fleet"),
    rolled("1h", "fleet"),
  ];
}

/** DDL of a signal's raw table on a single server; for benchmarks and tests that need nothing else. */
export function createTableSql(signal: Signal, database: string): string {
  const layout: Layout = { database, cluster: null };
  return tableStatements(signalTable(signal, "raw"), layout).join(";\n");
}
