// SPDX-License-Identifier: Apache-2.0

const NICE = [1, 2, 2.5, 5, 10] as const;

/**
 * Tick values of a linear axis from 0, in 1–2–2.5–5 steps, the last one ≥ `max`. `max` ≤ 0 (all zero) gives [0, 1]: a flat line at zero
 * still needs an axis. `count` is the wished number of intervals.
 */
export function linearTicks(max: number, count = 3): number[] {
  if (!(max > 0) || !Number.isFinite(max)) return [0, 1];
  const raw = max / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = (NICE.find((n) => n * power >= raw * 0.999) ?? 10) * power;
  const intervals = Math.ceil(max / step - 1e-9);
  return Array.from({ length: intervals + 1 }, (_, i) => Number((i * step).toPrecision(12)));
}

/** Powers of ten inside [min, max], for a logarithmic axis. Both > 0. At least the two powers that enclose the range when none is inside. */
export function logTicks(min: number, max: number): number[] {
  if (!(min > 0) || !(max >= min)) return [];
  const first = Math.ceil(Math.log10(min) - 1e-9);
  const last = Math.floor(Math.log10(max) + 1e-9);
  const ticks: number[] = [];
  for (let power = first; power <= last; power++) ticks.push(10 ** power);
  return ticks;
}

const S = 1000;
const MIN = 60 * S;
const H = 60 * MIN;
const D = 24 * H;
const TIME_STEPS_MS = [
  1 * S,
  5 * S,
  10 * S,
  15 * S,
  30 * S,
  MIN,
  2 * MIN,
  5 * MIN,
  10 * MIN,
  15 * MIN,
  30 * MIN,
  H,
  2 * H,
  3 * H,
  6 * H,
  12 * H,
  D,
  2 * D,
  7 * D,
];

/** Tick times (epoch ms) on round clock values inside [fromMs, toMs], at most `count` of them. `offsetMs`: zone offset added to UTC. */
export function timeTicks(fromMs: number, toMs: number, count = 5, offsetMs = 0): number[] {
  const range = toMs - fromMs;
  if (!(range > 0)) return [];
  const step = TIME_STEPS_MS.find((s) => range / s <= count) ?? 30 * D;
  const first = Math.ceil((fromMs + offsetMs) / step) * step - offsetMs;
  const ticks: number[] = [];
  for (let t = first; t <= toMs; t += step) ticks.push(t);
  return ticks;
}
