// SPDX-License-Identifier: Apache-2.0

/** What stands for "no value" everywhere: a dash is never confused with zero. */
export const NO_VALUE = "–";

/** A value split for layout: `{ number: "212", suffix: " ms" }`. Concatenated it is the formatted text. */
export interface Scaled {
  readonly number: string;
  readonly suffix: string;
}

/**
 * Rounds to at most `digits` significant digits and drops trailing zeros: 8.10 → "8.1", 1031 → "1030".
 * Never uses exponent notation.
 */
export function significant(value: number, digits = 3): string {
  if (value === 0) return "0";
  const rounded = Number(value.toPrecision(digits));
  const decimals = Math.max(0, digits - 1 - Math.floor(Math.log10(Math.abs(rounded))));
  const text = rounded.toFixed(Math.min(decimals, 12));
  return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
}

/** One step of a scale: values from `from` on are divided by `from` and get `suffix`. */
export interface ScaleStep {
  readonly from: number;
  readonly suffix: string;
}

/**
 * Picks the step whose mantissa stays below the next step *after rounding*, so 999.7 kB reads "1 MB" and never "1000 kB".
 * `steps` ascend by `from`.
 */
export function scale(value: number, steps: readonly ScaleStep[], digits = 3): Scaled {
  const magnitude = Math.abs(value);
  let index = 0;
  for (let i = 0; i < steps.length; i++) {
    const step = steps[i];
    if (step !== undefined && magnitude >= step.from) index = i;
  }
  let step = steps[index] ?? { from: 1, suffix: "" };
  const next = steps[index + 1];
  if (next !== undefined && Math.abs(Number((value / step.from).toPrecision(digits))) * step.from >= next.from) step = next;
  return { number: significant(value / step.from, digits), suffix: step.suffix };
}

const COUNT_STEPS: readonly ScaleStep[] = [
  { from: 1, suffix: "" },
  { from: 1e3, suffix: " k" },
  { from: 1e6, suffix: " M" },
  { from: 1e9, suffix: " G" },
  { from: 1e12, suffix: " T" },
];

/** A pure number: `41`, `1.2 k`, `18 M`. Below 0.001 it says so instead of showing a row of zeros. */
export function formatCount(value: number | null | undefined): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return NO_VALUE;
  if (value !== 0 && Math.abs(value) < 0.001) return value > 0 ? "<0.001" : ">-0.001";
  const { number, suffix } = scale(value, COUNT_STEPS);
  return number + suffix;
}

/** A whole number with every digit, in groups of three: `1 234 567` (no-break spaces). For counts that are compared, where `1.23 M` would hide the difference. */
export function formatExact(value: number | null | undefined): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return NO_VALUE;
  return Math.round(value)
    .toString()
    .replace(/\B(?=(\d{3})+$)/g, "\u00a0");
}

/** A count per second: `12/s`, `1.2 k/s`. */
export function formatRate(perSecond: number | null | undefined): string {
  const text = formatCount(perSecond);
  return text === NO_VALUE ? text : `${text}/s`;
}

/**
 * A ratio (1 = all) in percent: 0.081 → `8.1 %`.
 * Neither end is reached by rounding: something lost never reads `0 %`, something missing never reads `100 %`.
 */
export function formatRatio(ratio: number | null | undefined): string {
  if (ratio === null || ratio === undefined || !Number.isFinite(ratio)) return NO_VALUE;
  const percent = ratio * 100;
  if (percent === 0) return "0 %";
  if (percent > 0 && percent < 0.01) return "<0.01 %";
  if (percent > 99 && percent < 100) return `${(Math.floor(percent * 100) / 100).toString()} %`;
  if (percent < 10) return `${significant(percent, percent < 1 ? 2 : 3)} %`;
  return `${significant(percent, 3)} %`;
}

/** How many times as large, for "now against before": 2.2 → `2.2 ×`, 240 → `240 ×`. */
export function formatFactor(factor: number | null | undefined): string {
  if (factor === null || factor === undefined || !Number.isFinite(factor)) return NO_VALUE;
  return `${significant(factor, factor < 10 ? 2 : 3)} ×`;
}
