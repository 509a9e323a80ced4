// SPDX-License-Identifier: Apache-2.0
import { NO_VALUE, type ScaleStep, scale } from "./number.ts";

const STEPS: readonly ScaleStep[] = [
  { from: 1, suffix: " ns" },
  { from: 1e3, suffix: " µs" },
  { from: 1e6, suffix: " ms" },
  { from: 1e9, suffix: " s" },
];

const MINUTE_S = 60;
const HOUR_S = 3600;
const DAY_S = 86_400;

/**
 * A duration given in nanoseconds: `40 µs`, `212 ms`, `1.03 s`; from two minutes on in two clock units: `2 min 30 s`, `3 h 5 min`, `2 d 4 h`.
 */
export function formatDuration(ns: number | null | undefined): string {
  if (ns === null || ns === undefined || !Number.isFinite(ns)) return NO_VALUE;
  if (ns === 0) return "0 ns";
  if (Math.abs(ns) < 120e9) {
    const { number, suffix } = scale(ns, STEPS);
    return number + suffix;
  }
  const sign = ns < 0 ? "−" : "";
  const seconds = Math.round(Math.abs(ns) / 1e9);
  if (seconds < HOUR_S) return sign + two(Math.floor(seconds / MINUTE_S), "min", seconds % MINUTE_S, "s");
  const minutes = Math.round(seconds / MINUTE_S);
  if (seconds < DAY_S) return sign + two(Math.floor(minutes / 60), "h", minutes % 60, "min");
  const hours = Math.round(seconds / HOUR_S);
  return sign + two(Math.floor(hours / 24), "d", hours % 24, "h");
}

function two(large: number, largeUnit: string, small: number, smallUnit: string): string {
  return small === 0 ? `${large} ${largeUnit}` : `${large} ${largeUnit} ${small} ${smallUnit}`;
}
