// SPDX-License-Identifier: Apache-2.0
import { type Level, levelMs, ROLLUP_BUCKET_MS, type RollupLevel, type Scope } from "@waggle/signals";

/** What is rolled up out of what, in the order in which one feeds the next. */
export const rollupSteps = ["1m", "1h", "fleet_1m", "fleet_1h"] as const;
export type RollupStep = (typeof rollupSteps)[number];

export interface StepShape {
  /** Level and scope of the rows that the step makes. */
  readonly level: RollupLevel;
  readonly scope: Scope;
  /** The step whose rows it reads; null: raw rows. */
  readonly from: RollupStep | null;
  /** What is rolled up in one go. */
  readonly bucketMs: number;
}

export const stepShapes: Readonly<Record<RollupStep, StepShape>> = {
  "1m": { level: "1m", scope: "host", from: null, bucketMs: ROLLUP_BUCKET_MS },
  "1h": { level: "1h", scope: "host", from: "1m", bucketMs: levelMs["1h"] },
  fleet_1m: { level: "1m", scope: "fleet", from: "1m", bucketMs: ROLLUP_BUCKET_MS },
  // Out of host hours and not of fleet minutes: how many hosts had a row in an hour cannot be told from its minutes.
  fleet_1h: { level: "1h", scope: "fleet", from: "1h", bucketMs: levelMs["1h"] },
};

/** The step that makes the rows of a level and scope. */
export function stepOf(level: RollupLevel, scope: Scope): RollupStep {
  return scope === "fleet" ? `fleet_${level}` : level;
}

/** Level of the rows that a step reads. Always host rows. */
export function sourceOf(step: RollupStep): Level {
  const { from } = stepShapes[step];
  return from === null ? "raw" : stepShapes[from].level;
}
