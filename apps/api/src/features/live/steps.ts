// SPDX-License-Identifier: Apache-2.0
import { WINDOW_MS } from "../query/time-range.ts";
import type { HostWindows } from "./completeness.repository.ts";

const SECOND_MS = 1_000;
const stepsMs = [1_000, 2_000, 5_000, 10_000, 20_000, 30_000, 60_000] as const;
/** A window is stored about 2 s after it ended; one of a fleet is waited for a little longer. */
const SETTLE_MS = 3_300;
/** Of a host whose windows are this much overdue it is not known when the next comes: what is missing is a gap. */
const OVERDUE_MS = 5_000;

/** Up to where the windows of a whole fleet are taken to be there: nobody waits for each of ten thousand. */
export function completeOfFleetMs(nowMs: number, windowMs: number): number {
  return floorTo(nowMs - SETTLE_MS, windowMs);
}

/**
 * Up to where the windows of a few hosts are there: as far as the slowest that is not overdue. Where all are, time goes on without them, in
 * windows of the default length, which is what they come back with.
 * @param fromMs what is complete already
 */
export function completeMs(hosts: readonly HostWindows[], fromMs: number, nowMs: number): number {
  const present = hosts.filter(({ endMs, lengthMs }) => endMs >= nowMs - 2 * lengthMs - OVERDUE_MS);
  if (present.length === 0) return Math.max(fromMs, floorTo(nowMs - SETTLE_MS - OVERDUE_MS, WINDOW_MS));
  return Math.max(fromMs, floorTo(Math.min(nowMs, ...present.map(({ endMs }) => endMs)), SECOND_MS));
}

/**
 * Length of the steps of a range: as long as its longest window, so that no step between two ends is empty; shorter where the range does not lie on marks of that.
 * @param fromMs a whole second
 */
export function stepOfRange(fromMs: number, toMs: number, longestWindowMs: number): number {
  const fitting = stepsMs.filter((stepMs) => fromMs % stepMs === 0 && toMs % stepMs === 0);
  return fitting.find((stepMs) => stepMs >= longestWindowMs) ?? fitting.at(-1) ?? SECOND_MS;
}

export function floorTo(value: number, unit: number): number {
  return Math.floor(value / unit) * unit;
}
