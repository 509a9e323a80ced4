// SPDX-License-Identifier: Apache-2.0
import { formatDuration } from "@waggle/units";
import { type Aggregate, isValues, type QueryAnswer, type QueryMeta, type ValueSeries } from "./api/types";

/** The value that stands for "everything beyond the limit" on the wire. */
export const OTHER = "~other";

/** One named line or area, ready to draw. */
export interface Track {
  readonly key: string;
  readonly label: string;
  readonly unit: string;
  readonly values: readonly (number | null)[];
}

/** One step: `t` is its middle (epoch ms), so that a step is drawn over the time it covers. */
export interface Row {
  readonly t: number;
  readonly [key: string]: number | null;
}

/** A stretch in which no expected host reported. Times in epoch ms. */
export interface Gap {
  readonly fromMs: number;
  readonly toMs: number;
  readonly label: string;
}

export function pick(answer: QueryAnswer, measure: string, aggregate: Aggregate): ValueSeries[] {
  return answer.series.filter(isValues).filter((s) => s.measure === measure && s.aggregate === aggregate);
}

/** The only value of a series asked for with `points: 1`; null when nobody reported. */
export function single(series: ValueSeries | undefined): number | null {
  return series?.values[0] ?? null;
}

export function stepStart(meta: QueryMeta, index: number): number {
  return Date.parse(meta.from) + index * meta.stepSeconds * 1000;
}

/** Whether any expected host reported the signal in step `index`. */
export function covered(meta: QueryMeta, index: number): boolean {
  return (meta.coverage.steps[index] ?? 0) > 0;
}

/** How many steps the answer has. */
export function stepCount(meta: QueryMeta): number {
  return meta.coverage.steps.length > 0 ? meta.coverage.steps.length : meta.points;
}

/** recharts rows of tracks that share one time axis. A missing value stays null, so the line breaks. */
export function toRows(meta: QueryMeta, tracks: readonly Track[]): Row[] {
  const half = meta.stepSeconds * 500;
  return Array.from({ length: stepCount(meta) }, (_, i) => {
    const row: Record<string, number | null> & { t: number } = { t: stepStart(meta, i) + half };
    for (const track of tracks) row[track.key] = track.values[i] ?? null;
    return row as Row;
  });
}

/**
 * Where a point has no neighbour to draw a line to. Such points get a dot: one sample between gaps must not vanish.
 */
export function isolated(values: readonly (number | null)[], index: number): boolean {
  return (values[index] ?? null) !== null && (values[index - 1] ?? null) === null && (values[index + 1] ?? null) === null;
}

/** A flat zero where the signal was covered: reported and nothing counted is drawn, not left blank. */
export function zeros(meta: QueryMeta): (number | null)[] {
  return Array.from({ length: stepCount(meta) }, (_, i) => (covered(meta, i) ? 0 : null));
}

/** a ÷ b step by step. 0 ÷ 0 is 0 (nothing was lost); null when either side was not reported. */
export function ratio(a: readonly (number | null)[], b: readonly (number | null)[]): (number | null)[] {
  return a.map((value, i) => {
    const divisor = b[i] ?? null;
    if (value === null || divisor === null) return null;
    return divisor > 0 ? value / divisor : 0;
  });
}

/** Why nothing is there from one moment to another (epoch ms), where anything knows; null otherwise. */
export type GapReason = (fromMs: number, toMs: number) => string | null;

/** Runs of uncovered steps, named. In a live range the newest steps may simply not have arrived: up to `grace` of them are no gap. */
export function gapsOf(meta: QueryMeta, live: boolean, reasonOf: GapReason = () => null, grace = 2): Gap[] {
  const count = stepCount(meta);
  const stepMs = meta.stepSeconds * 1000;
  const gaps: Gap[] = [];
  for (let start = 0; start < count; start++) {
    if (covered(meta, start)) continue;
    let end = start;
    while (end < count && !covered(meta, end)) end++;
    const trailing = end === count;
    if (!(trailing && live && end - start <= grace)) {
      const fromMs = stepStart(meta, start);
      const toMs = fromMs + (end - start) * stepMs;
      gaps.push({
        fromMs,
        toMs,
        label: gapLabel(
          toMs - fromMs,
          reasonOf(fromMs, toMs) ?? (trailing ? (meta.coverage.missing.find((m) => m.reason !== "")?.reason ?? null) : null),
        ),
      });
    }
    start = end;
  }
  return gaps;
}

function gapLabel(lengthMs: number, reason: string | null): string {
  const text = `no data ${formatDuration(lengthMs * 1e6)}`;
  return reason === null ? text : `${text}: ${reason}`;
}

/** A run of steps with the same coverage, for the ribbon. `fraction` of the expected host-windows was present. */
export interface RibbonRun {
  readonly start: number;
  readonly length: number;
  readonly level: "full" | "partial" | "none" | "pending";
  readonly fraction: number;
}

export function ribbonRuns(meta: QueryMeta, live: boolean, grace = 2): RibbonRun[] {
  const count = stepCount(meta);
  let pendingFrom = count;
  if (live) while (pendingFrom > 0 && !covered(meta, pendingFrom - 1) && count - pendingFrom < grace) pendingFrom--;
  if (pendingFrom > 0 && !covered(meta, pendingFrom - 1)) pendingFrom = count;
  const runs: RibbonRun[] = [];
  for (let i = 0; i < count; i++) {
    const fraction = meta.coverage.steps[i] ?? 0;
    const level = i >= pendingFrom ? "pending" : fraction >= 0.999 ? "full" : fraction > 0 ? "partial" : "none";
    const previous = runs.at(-1);
    if (previous && previous.level === level) {
      const length = previous.length + 1;
      runs[runs.length - 1] = { ...previous, length, fraction: (previous.fraction * previous.length + fraction) / length };
    } else runs.push({ start: i, length: 1, level, fraction });
  }
  return runs;
}

/** What a person reads for a label's value. */
export function labelText(value: string | undefined): string {
  if (value === undefined || value === "") return "unknown";
  return value === OTHER ? "other" : value;
}

/**
 * Tracks of a grouped answer, largest sum first, `~other` last. `shown` is how many stand alone; the rest is added up into "other (n)" — allowed
 * because the values are sums or rates of sums.
 */
export function groupTracks(series: readonly ValueSeries[], by: string, shown: number, hiddenGroups: number): Track[] {
  const total = (s: ValueSeries): number => s.values.reduce<number>((sum, v) => sum + (v ?? 0), 0);
  const named = series.filter((s) => s.labels[by] !== OTHER).sort((a, b) => total(b) - total(a));
  const rest = [...named.slice(shown), ...series.filter((s) => s.labels[by] === OTHER)];
  const tracks: Track[] = named.slice(0, shown).map((s, i) => ({ key: `g${i}`, label: labelText(s.labels[by]), unit: s.unit, values: s.values }));
  const first = rest[0];
  if (first) {
    const count = Math.max(0, named.length - shown) + hiddenGroups;
    tracks.push({ key: "other", label: count > 0 ? `other (${count})` : "other", unit: first.unit, values: addUp(rest) });
  }
  return tracks;
}

function addUp(series: readonly ValueSeries[]): (number | null)[] {
  const length = Math.max(0, ...series.map((s) => s.values.length));
  return Array.from({ length }, (_, i) => {
    const present = series.map((s) => s.values[i] ?? null).filter((v) => v !== null);
    return present.length === 0 ? null : present.reduce((a, b) => a + b, 0);
  });
}

export function largest(values: readonly (number | null)[]): number | null {
  return values.reduce<number | null>((max, v) => (v !== null && (max === null || v > max) ? v : max), null);
}

export function lastKnown(values: readonly (number | null)[]): number | null {
  return values.findLast((v) => v !== null) ?? null;
}
