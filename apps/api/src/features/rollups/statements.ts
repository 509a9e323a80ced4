// SPDX-License-Identifier: Apache-2.0

import {
  fleetDimensions,
  gaugesOf,
  hasLastEnd,
  type RollupLevel,
  rollupColumns,
  type Signal,
  signalTable,
  sumsOf,
  TIME_KEY,
  tableName,
} from "@waggle/signals";
import type { QuerySettings } from "../../clickhouse/query-settings.ts";
import { WINDOWS_TABLE } from "../../clickhouse/schema.ts";
import { type RollupStep, type StepShape, sourceOf, stepShapes } from "./steps.ts";

/** What a roll-up statement is about; everything else follows from the catalogue. */
export interface RollupScope {
  readonly tenant: string;
  /** Start of the bucket, Unix milliseconds. */
  readonly bucketMs: number;
  /** For a host step: whose rows. A fleet step reads every host's. */
  readonly hosts: readonly string[];
  /** Frames of the bucket that had been counted before the statement runs. */
  readonly version: number;
}

export interface RollupStatement {
  readonly sql: string;
  readonly params: Readonly<Record<string, unknown>>;
  readonly settings: QuerySettings;
}

const startOf: Readonly<Record<RollupLevel, string>> = { "1m": "toStartOfMinute(ts)", "1h": "toStartOfHour(ts)" };

/**
 * The statement that makes a bucket's rows of one signal out of the step's source.
 *
 * @param windows the table `windows` as the server knows it that reads: of a cluster each shard rolls up its own hosts, by its own part of the table
 *
 * Every condition is on columns of the sorting key, which are equal in all versions of a row, so PREWHERE may come before FINAL.
 */
export function rollupStatement(signal: Signal, step: RollupStep, scope: RollupScope, windows: string = WINDOWS_TABLE): RollupStatement {
  const shape = stepShapes[step];
  const isFleet = shape.scope === "fleet";
  const source = signalTable(signal, sourceOf(step));
  const keys = ["tenant", ...(isFleet ? [] : ["host"]), ...(isFleet ? fleetDimensions(signal) : signal.dimensions)];
  const values = new Map([
    ["ts", `${startOf[shape.level]} AS at`],
    ...keys.map((name) => [name, quote(name)] as const),
    ...valueExpressions(signal, shape),
  ]);
  const columns = rollupColumns(signal, shape.scope).map(({ name }) => name);
  const expressions = columns.map((name) => {
    const expression = values.get(name);
    if (expression === undefined) throw new TypeError(`${signal.name}: nothing says how "${name}" is rolled up`);
    return expression;
  });
  // Histograms are aggregated as they come, which halves the memory; counters are faster by hashing, and small. (0.4–0.5 M and 1–3 M rows a CPU
  // second.) For the keys to begin as the sorting key does, the raw bucket's expression is named; it is the same for all rows of a statement. Not so
  // at coarser levels, whose buckets may be shorter than an hour.
  const isInOrder = shape.from === null && signal.kind === "histogram";
  const bucket = isInOrder ? source.orderBy.filter((key) => key.includes("(") && key !== TIME_KEY) : [];
  const range =
    "tenant = {tenant:String} AND ts >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') AND ts < fromUnixTimestamp64Milli({to:Int64}, 'UTC')";
  const hosts = isFleet ? "" : "AND host IN {hosts:Array(String)}";
  const sql = `
    INSERT INTO ${quote(tableName(signal, shape.level, shape.scope))} (${columns.map(quote).join(", ")})
    SELECT ${expressions.join(", ")}
    FROM ${quote(source.name)} FINAL
    PREWHERE ${range} ${hosts} ${shape.from === null ? `AND ${acceptedRows(`${range} ${hosts}`, windows)}` : ""}
    GROUP BY ${[...keys.map(quote), ...bucket, "at"].join(", ")}`;
  return {
    sql,
    params: {
      tenant: scope.tenant,
      from: scope.bucketMs,
      to: scope.bucketMs + shape.bucketMs,
      version: scope.version,
      ...(isFleet ? {} : { hosts: scope.hosts }),
    },
    settings: {
      optimize_aggregation_in_order: isInOrder ? 1 : 0,
      // Rows of one host lie on one shard at every level, so each shard rolls up its own. A fleet row is made of all shards' rows.
      parallel_distributed_insert_select: isFleet ? "0" : "2",
      // Tenant, time and hosts have chosen the ranges to read; looking up every window's key in the index costs more than it saves.
      use_index_for_in_with_subqueries: 0,
    },
  };
}

/**
 * Condition on raw rows: their frame was accepted. Some tables may have rows of one that was not, as `windows` has its line after them: the API died in between. Its
 * agent sends it again, or has given it up; nothing would tell the roller when such rows come.
 * @param range condition on `windows` that holds for all its lines in question
 * @param windows the table
 */
export function acceptedRows(range: string, windows: string = WINDOWS_TABLE): string {
  return `(host, ts) IN (SELECT host, ts FROM ${windows} WHERE ${range})`;
}

/** By column, how it is made of the source's rows. */
function valueExpressions(signal: Signal, shape: StepShape): readonly (readonly [string, string])[] {
  const isRaw = shape.from === null;
  const sums = sumsOf(signal).map(({ name }) => [name, `sum(${quote(name)})`] as const);
  const gauges = gaugesOf(signal).flatMap(
    ({ name }) =>
      [
        [name, `argMax(${quote(name)}, ts)`],
        [`${name}_min`, `min(${quote(isRaw ? name : `${name}_min`)})`],
        [`${name}_max`, `max(${quote(isRaw ? name : `${name}_max`)})`],
        [`${name}_time`, isRaw ? `sum(${quote(name)} * window_ms)` : `sum(${quote(`${name}_time`)})`],
      ] as const,
  );
  const histogram = [
    ["count", "sum(`count`)"],
    ["sum", "sum(`sum`)"],
    // A row that counted nothing has no extremes, and its zeros are not values.
    ["min", "minIf(`min`, `count` > 0)"],
    ["max", "maxIf(`max`, `count` > 0)"],
    ["k", "tupleElement(sumMap(`k`, `c`), 1)"],
    ["c", "tupleElement(sumMap(`k`, `c`), 2)"],
  ] as const;
  return [
    ["window_ms", "sum(window_ms)"],
    ["covered_windows", isRaw ? "count()" : "sum(covered_windows)"],
    ["version", "{version:UInt64}"],
    ["hosts", "uniqExact(host)"],
    ...(hasLastEnd(signal) ? ([["last_end", isRaw ? "max(ts + toIntervalMillisecond(window_ms))" : "max(last_end)"]] as const) : []),
    ...(signal.kind === "histogram" ? histogram : [...sums, ...gauges]),
  ];
}

/** Names come from the catalogue; this is the second lock on the door. */
function quote(name: string): string {
  if (!/^[a-z][a-z0-9_]*$/.test(name)) throw new TypeError(`"${name}" cannot be an identifier`);
  return `\`${name}\``;
}
