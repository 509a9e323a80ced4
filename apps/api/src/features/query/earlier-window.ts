// SPDX-License-Identifier: Apache-2.0
import type { FieldProblem } from "../../common/app-error.ts";
import { EPOCH_MS_MIN, formatLength, parseLength, parseTimeRange, RANGE_MS_MAX, type Steps, type TimeRange, WINDOW_MS } from "./time-range.ts";

/** `compare` as it is asked for. */
export type Compare = string | { readonly from: string | number; readonly to: string | number };

/** The window that an answer is compared with: as long as the answer's own, and this much earlier; null = right before it. */
export interface EarlierWindow {
  readonly offsetMs: number | null;
}

const TOO_EARLY = "The earlier window would begin before the year 2000; nothing is read there.";
/** What `compare` may be. */
export const COMPARE_FORMS = "Write prev (the window right before), how much earlier (1h, 1d, 7d), or a range.";

/** Reads `compare`: `prev`, a length of time such as `1d`, or a range that is as long as the query's. */
export function parseCompare(
  compare: Compare,
  range: TimeRange,
  nowMs: number,
): { readonly earlier: EarlierWindow } | { readonly problems: readonly FieldProblem[] } {
  const refuse = (detail: string, suggestion?: string, pointer = "/compare") => ({ problems: [{ pointer, detail, suggestion }] });
  const lengthMs = range.toMs - range.fromMs;
  if (compare === "prev") return range.fromMs - lengthMs < EPOCH_MS_MIN ? refuse(TOO_EARLY) : { earlier: { offsetMs: null } };
  if (typeof compare === "string") {
    const offsetMs = parseLength(compare);
    if (offsetMs === undefined || offsetMs === 0) return refuse(COMPARE_FORMS, "prev");
    if (offsetMs % WINDOW_MS !== 0) return refuse("Windows are 10 s long; compare with a whole number of them.", "1m");
    if (offsetMs > RANGE_MS_MAX) return refuse(`At most ${formatLength(RANGE_MS_MAX)} lie between what is compared.`, formatLength(RANGE_MS_MAX));
    if (range.fromMs - offsetMs < EPOCH_MS_MIN) return refuse(TOO_EARLY);
    return { earlier: { offsetMs } };
  }
  const parsed = parseTimeRange(compare.from, compare.to, nowMs);
  if ("problems" in parsed) return { problems: parsed.problems.map((problem) => ({ ...problem, pointer: `/compare${problem.pointer}` })) };
  const earlier = parsed.range;
  if (Math.abs(earlier.toMs - earlier.fromMs - lengthMs) >= WINDOW_MS) {
    const to = new Date(earlier.fromMs + lengthMs).toISOString();
    return refuse(
      `Both windows must be of one length: the query's is ${seconds(lengthMs)}, this one ${seconds(earlier.toMs - earlier.fromMs)}.`,
      to,
      "/compare/to",
    );
  }
  const offsetMs = Math.round((range.fromMs - earlier.fromMs) / WINDOW_MS) * WINDOW_MS;
  if (offsetMs <= 0) return refuse("The window to compare with must begin before the query's.", undefined, "/compare/from");
  return { earlier: { offsetMs } };
}

function seconds(ms: number): string {
  return `${Math.round(ms / 1_000)} s`;
}

/**
 * The steps of the earlier window: as many and as long, so that each stands beside its later one. Where a step does not fit into the distance a whole
 * number of times, the window moves to the nearest one that does.
 */
export function earlierSteps(steps: Steps, { offsetMs }: EarlierWindow): Steps {
  const grainMs = steps.count === 1 ? WINDOW_MS : steps.stepMs;
  const shiftMs = offsetMs === null ? steps.toMs - steps.fromMs : Math.max(grainMs, Math.round(offsetMs / grainMs) * grainMs);
  return { ...steps, fromMs: steps.fromMs - shiftMs, toMs: steps.toMs - shiftMs };
}
