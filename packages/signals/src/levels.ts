// SPDX-License-Identifier: Apache-2.0
import { dimensions } from "./dimensions.ts";
import type { Measure, Signal } from "./signal.ts";

/** How long one stored row speaks for: a window as the agent cut it, a minute, an hour. Finest first. */
export const levels = ["raw", "1m", "1h"] as const;
export type Level = (typeof levels)[number];
/** Levels that are made out of the level before. */
export const rollupLevels = ["1m", "1h"] as const satisfies readonly Level[];
export type RollupLevel = (typeof rollupLevels)[number];

/** Whether rows speak for one host, or for all hosts of a tenant together. */
export type Scope = "host" | "fleet";

export const levelMs: Readonly<Record<RollupLevel, number>> = { "1m": 60_000, "1h": 3_600_000 };

/**
 * Raw rows are rolled up into minutes by buckets of this length: the raw tables' sorting key begins with it, so a bucket is one
 * contiguous read, every raw row is read once, and a late host is a point read.
 */
export const ROLLUP_BUCKET_MS = 300_000;

/** Name of the table that holds a signal at a level and scope. Fleet rows exist at rolled-up levels only. */
export function tableName(signal: Signal, level: Level, scope: Scope = "host"): string {
  if (level === "raw") {
    if (scope === "fleet") throw new TypeError("there is no raw fleet table: windows of different hosts do not line up");
    return signal.name;
  }
  return scope === "fleet" ? `${signal.name}_fleet_${level}` : `${signal.name}_${level}`;
}

/** Dimensions that a signal's fleet rows keep. Those with a value of their own per host or peer would make the fleet as long as its hosts. */
export function fleetDimensions(signal: Signal): readonly Signal["dimensions"][number][] {
  return signal.dimensions.filter((name) => dimensions[name].fleet);
}

/** Measures read at a moment. They exist per host only: moments of different hosts cannot be added up without them. */
export function gaugesOf(signal: Signal): readonly Measure[] {
  return signal.measures.filter((measure) => measure.kind === "gauge");
}

/** Measures that add up. */
export function sumsOf(signal: Signal): readonly Measure[] {
  return signal.measures.filter((measure) => measure.kind === "sum");
}

/** Whether rolled-up host rows of the signal say when the newest window they cover ended (`last_end`): what "last" refers to. */
export function hasLastEnd(signal: Signal): boolean {
  return signal.name === "agent_coverage" || gaugesOf(signal).length > 0;
}
