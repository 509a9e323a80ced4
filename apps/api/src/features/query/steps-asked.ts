// SPDX-License-Identifier: Apache-2.0
import type { FieldProblem } from "../../common/app-error.ts";
import { fixedSteps, formatLength, parseLength, planSteps, RANGE_MS_MAX, type Steps, type TimeRange, WINDOW_MS } from "./time-range.ts";

const MINUTE_MS = 60_000;
const SUGGESTED_MS = [10_000, 30_000, 60_000, 300_000, 900_000, 3_600_000, 21_600_000, 86_400_000, 7 * 86_400_000];

/**
 * Reads the length of a step. Below a minute 10, 20 and 30 s, above it whole minutes: any other would have to be read window by window, however
 * long the range is.
 * @param stepsMax how many an answer may have
 */
export function parseStep(text: string, range: TimeRange, stepsMax: number): { readonly stepMs: number } | { readonly problem: FieldProblem } {
  const pointer = "/step";
  const stepMs = parseLength(text);
  const suggestion = (): string | undefined => {
    const fitting = SUGGESTED_MS.find((ms) => fixedSteps(range, ms).count <= stepsMax);
    return fitting === undefined ? undefined : formatLength(fitting);
  };
  if (stepMs === undefined)
    return { problem: { pointer, detail: `\`${text}\` is no length of a step; write 10s, 1m, 1h, 1d.`, suggestion: suggestion() } };
  const isWhole = stepMs < MINUTE_MS ? MINUTE_MS % stepMs === 0 && stepMs % WINDOW_MS === 0 : stepMs % MINUTE_MS === 0;
  if (stepMs === 0 || !isWhole)
    return { problem: { pointer, detail: "A step is 10, 20 or 30 seconds or whole minutes long.", suggestion: suggestion() } };
  if (stepMs > RANGE_MS_MAX)
    return { problem: { pointer, detail: `A step is at most ${formatLength(RANGE_MS_MAX)} long.`, suggestion: suggestion() } };
  const { count } = fixedSteps(range, stepMs);
  if (count > stepsMax) {
    const detail = `The range has ${count} steps of ${text}; an answer has at most ${stepsMax}. Take longer steps or a shorter range.`;
    return { problem: { pointer, detail, suggestion: suggestion() } };
  }
  return { stepMs };
}

/** How an answer shall be cut: into steps of a length, or into at most so many. */
export interface StepsAsked {
  readonly points: number;
  readonly stepMs: number | null;
  /** Shortest step of raw rows, for hosts whose windows are known to be shorter than others'; default: a default window. */
  readonly rawGrainMs?: number | undefined;
}

/** @param grainMs, completeMs as of `planSteps` */
export function cutSteps(range: TimeRange, { points, stepMs }: StepsAsked, grainMs?: number, completeMs?: number): Steps {
  return stepMs === null ? planSteps(range, points, grainMs, completeMs) : fixedSteps(range, stepMs, grainMs);
}
