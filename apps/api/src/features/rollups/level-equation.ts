// SPDX-License-Identifier: Apache-2.0
import { catalogue, dimensions, fleetDimensions, gaugesOf, type Signal, signalTable, sumsOf } from "@waggle/signals";
import type { ClickHouseService } from "../../clickhouse/clickhouse.service.ts";
import { acceptedRows } from "./statements.ts";
import { type RollupStep, rollupSteps, sourceOf, stepShapes } from "./steps.ts";

/** One value that a level and the one it is made of disagree about. */
export interface LevelDifference {
  readonly signal: string;
  readonly step: RollupStep;
  /** Start of the minute or hour, Unix milliseconds. */
  readonly atMs: number;
  /**
   * A column of the tables, `covered_windows`, `buckets` of a histogram, or `… by key`: the values' sum weighted with a hash of host and dimensions, which
   * differs when sums are right and stand at the wrong key.
   */
  readonly value: string;
  /** Whole numbers of up to 20 digits; null: the level has no row at this time. */
  readonly expected: string | null;
  readonly stored: string | null;
}

export interface LevelComparison {
  /** How many values were compared. None compared is not the same as all equal. */
  readonly compared: number;
  readonly differenceCount: number;
  /** The first {@link DIFFERENCES_MAX} of them. */
  readonly differences: readonly LevelDifference[];
}

export const DIFFERENCES_MAX = 100;

/**
 * Holds each level against the one it was made of: raw (of accepted frames) = 1 m, 1 m = 1 h, 1 m = fleet 1 m, 1 h = fleet 1 h, for every signal, value and minute or hour.
 * Reads every row of the range at every level: for repair, tests and short ranges.
 * @param tenant whose rows
 * @param fromMs Unix milliseconds; the minute or hour it falls into is left out unless it is a start
 * @param toMs Unix milliseconds, exclusive; likewise
 * @param completeUntilMs up to where a step has come: what is newer is not compared. Leave it out to compare all there is.
 * @param signals to compare; all when left out
 * @throws as {@link ClickHouseService.query}
 */
export async function verifyLevels(
  clickhouse: ClickHouseService,
  tenant: string,
  fromMs: number,
  toMs: number,
  options: { completeUntilMs?: (step: RollupStep) => number; signals?: readonly Signal[]; abort?: AbortSignal } = {},
): Promise<LevelComparison> {
  const differences: LevelDifference[] = [];
  let compared = 0;
  let differenceCount = 0;
  for (const signal of options.signals ?? catalogue) {
    for (const step of rollupSteps) {
      const lengthMs = LENGTH_MS[stepShapes[step].level];
      const from = Math.ceil(fromMs / lengthMs) * lengthMs;
      const to = Math.floor(Math.min(toMs, options.completeUntilMs?.(step) ?? toMs) / lengthMs) * lengthMs;
      if (to <= from) continue;
      const values = comparedValues(signal, step);
      const range =
        "tenant = {tenant:String} AND ts >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') AND ts < fromUnixTimestamp64Milli({to:Int64}, 'UTC')";
      const read = async (columns: readonly string[], table: string, accepted = ""): Promise<Map<number, string[]>> => {
        const { rows } = await clickhouse.query<{ at: number; v: string[] }>(
          `SELECT toUnixTimestamp(${START_OF[stepShapes[step].level]}) * 1000 AS at, [${columns.map((column) => `toString(${column})`).join(", ")}] AS v
          FROM \`${table}\` FINAL
          PREWHERE ${range} ${accepted}
          GROUP BY at`,
          { tenant, from, to },
          { signal: options.abort },
        );
        return new Map(rows.map((row) => [row.at, row.v]));
      };
      const expected = await read(
        values.map((value) => value.source),
        signalTable(signal, sourceOf(step)).name,
        sourceOf(step) === "raw" ? `AND ${acceptedRows(range)}` : "",
      );
      const stored = await read(
        values.map((value) => value.stored),
        signalTable(signal, stepShapes[step].level, stepShapes[step].scope).name,
      );
      for (const atMs of new Set([...expected.keys(), ...stored.keys()])) {
        for (const [index, { name }] of values.entries()) {
          compared++;
          const pair = { expected: expected.get(atMs)?.[index] ?? null, stored: stored.get(atMs)?.[index] ?? null };
          if (pair.expected === pair.stored) continue;
          differenceCount++;
          if (differences.length < DIFFERENCES_MAX) differences.push({ signal: signal.name, step, atMs, value: name, ...pair });
        }
      }
    }
  }
  return { compared, differenceCount, differences };
}

const LENGTH_MS = { "1m": 60_000, "1h": 3_600_000 } as const;
const START_OF = { "1m": "toStartOfMinute(ts)", "1h": "toStartOfHour(ts)" } as const;

interface ComparedValue {
  readonly name: string;
  /** Aggregate over the rows a step reads, and over those it made. */
  readonly source: string;
  readonly stored: string;
}

/** Sums are of 64 bits and wrap alike on both sides. */
function comparedValues(signal: Signal, step: RollupStep): ComparedValue[] {
  const isRaw = sourceOf(step) === "raw";
  const isFleet = stepShapes[step].scope === "fleet";
  const keys = isFleet ? fleetDimensions(signal) : signal.dimensions;
  const hash = `cityHash64(${[...(isFleet ? ["1"] : ["host"]), ...keys.map((name) => (dimensions[name].clickhouseType === "String" ? name : `toString(${name})`))].join(", ")})`;
  const sum = (name: string, source: string, stored = `\`${name}\``): ComparedValue[] => [
    { name, source: `sum(${source})`, stored: `sum(${stored})` },
    { name: `${name} by key`, source: `sum(${source} * ${hash})`, stored: `sum(${stored} * ${hash})` },
  ];
  const extreme = (name: string, of: "min" | "max", source: string, condition: string): ComparedValue => ({
    name,
    source: `${of}If(${source}, ${condition})`,
    stored: `${of}If(\`${name}\`, ${condition})`,
  });
  const common = [...sum("window_ms", "window_ms"), ...sum("covered_windows", isRaw ? "1" : "covered_windows")];
  if (signal.kind === "histogram") {
    const buckets = "arraySum(arrayMap((bucket, amount) -> amount * cityHash64(bucket), `k`, `c`))";
    return [
      ...common,
      ...sum("count", "`count`"),
      ...sum("sum", "`sum`"),
      ...sum("buckets", buckets, buckets),
      extreme("min", "min", "`min`", "`count` > 0"),
      extreme("max", "max", "`max`", "`count` > 0"),
    ];
  }
  const gauges = isFleet
    ? []
    : gaugesOf(signal).flatMap(({ name }) => [
        ...sum(`${name}_time`, isRaw ? `\`${name}\` * window_ms` : `\`${name}_time\``),
        extreme(`${name}_min`, "min", `\`${isRaw ? name : `${name}_min`}\``, "1"),
        extreme(`${name}_max`, "max", `\`${isRaw ? name : `${name}_max`}\``, "1"),
      ]);
  return [...common, ...sumsOf(signal).flatMap(({ name }) => sum(name, `\`${name}\``)), ...gauges];
}
