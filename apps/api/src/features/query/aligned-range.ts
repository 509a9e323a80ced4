// SPDX-License-Identifier: Apache-2.0
import { parseTimeRange, type TimeRange } from "./time-range.ts";

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
/** Moving an end by one mark then is at most a tenth of the range, mostly less. */
const MARKS_MIN = 10;
const HOURS_MIN = 20;
/** Minutes that ended longer ago are rolled up. */
const SETTLED_MS = 2 * MINUTE_MS;

type End = string | number;

export interface Ends {
  readonly from: End;
  readonly to: End;
}

/**
 * Moves the ends of a range of one value to marks, so that it is read out of few tables: of 10 minutes or more to full minutes, of 20 hours or more to full hours.
 * A range that is cut at any second is read out of five (raw rows, minutes and hours at both ends), and each costs more to begin with than its few rows.
 * @param direction outwards: both ends move out, but none beyond what is rolled up; down: both move back, so that two ranges of like length that touch do not overlap
 * @returns Unix milliseconds; the ends as they were where they are no times, for the planner to say so
 */
export function alignedEnds({ from, to }: Ends, nowMs: number, direction: "outwards" | "down"): Ends {
  const parsed = parseTimeRange(from, to, nowMs);
  if ("problems" in parsed) return { from, to };
  const { fromMs, toMs } = aligned(parsed.range, nowMs, direction);
  return { from: fromMs, to: toMs };
}

function aligned({ fromMs, toMs }: TimeRange, nowMs: number, direction: "outwards" | "down"): TimeRange {
  const lengthMs = toMs - fromMs;
  if (lengthMs < MARKS_MIN * MINUTE_MS) return { fromMs, toMs };
  const markMs = lengthMs >= HOURS_MIN * HOUR_MS ? HOUR_MS : MINUTE_MS;
  const floor = (ms: number, unitMs: number): number => Math.floor(ms / unitMs) * unitMs;
  const ceil = (ms: number, unitMs: number): number => Math.ceil(ms / unitMs) * unitMs;
  if (direction === "down") return { fromMs: floor(fromMs, markMs), toMs: floor(toMs, markMs) };
  const settledMs = nowMs - SETTLED_MS;
  const end = [markMs, MINUTE_MS].map((unitMs) => ceil(toMs, unitMs)).find((ms) => ms <= settledMs);
  return { fromMs: floor(fromMs, markMs), toMs: end ?? toMs };
}
