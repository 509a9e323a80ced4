// SPDX-License-Identifier: Apache-2.0
import type { LiveWindow } from "./api/types";

/** A moment of a strip: `null` where nobody reported, `undefined` where the query has not been answered yet. */
export interface Moment {
  /** Epoch ms. */
  readonly fromMs: number;
  readonly toMs: number;
  readonly values: readonly (number | null | undefined)[];
}

/**
 * The moments of a strip after another event: each query's values put beside each other, the newest `keptMs` of them. Events of several queries about the same step meet in
 * one moment; a step that became shorter or longer meanwhile stands as it is.
 * @param position where the event's query stands among `count`
 */
export function withWindow(moments: readonly Moment[], window: LiveWindow, position: number, count: number, keptMs: number): readonly Moment[] {
  const byStart = new Map(moments.map((moment) => [moment.fromMs, moment]));
  const stepMs = window.stepSeconds * 1_000;
  const fromMs = Date.parse(window.from);
  const series = window.answer?.series[0];
  const values = series !== undefined && "values" in series ? series.values : [];
  for (const [index, value] of values.entries()) {
    const at = fromMs + index * stepMs;
    const known = byStart.get(at)?.values ?? Array.from({ length: count }, () => undefined);
    byStart.set(at, { fromMs: at, toMs: at + stepMs, values: known.map((other, i) => (i === position ? value : other)) });
  }
  const sorted = [...byStart.values()].sort((a, b) => a.fromMs - b.fromMs);
  const newestMs = sorted.at(-1)?.toMs ?? 0;
  return sorted.filter((moment) => moment.toMs > newestMs - keptMs);
}

/** The newest answer of one query; undefined: there is none yet. */
export function latest(moments: readonly Moment[], position: number): number | null | undefined {
  return moments.findLast(({ values }) => values[position] !== undefined)?.values[position];
}

/** Why the newest windows of an event have no value, as the host said; null where they have one or nothing is known. */
export function reasonOf(window: LiveWindow): string | null {
  return window.answer?.meta.coverage.missing[0]?.reason ?? null;
}

/** An SVG path of one query's values over the last `keptMs`, steps drawn over the time they cover; a gap is left out. */
export function sparkline(moments: readonly Moment[], position: number, keptMs: number, width: number, height: number): string {
  const newestMs = moments.at(-1)?.toMs ?? 0;
  const largest = Math.max(0, ...moments.map(({ values }) => values[position] ?? 0));
  const x = (ms: number): string => (((ms - (newestMs - keptMs)) / keptMs) * width).toFixed(1);
  const y = (value: number): string => (largest === 0 ? height - 0.5 : height - 0.5 - (value / largest) * (height - 1)).toFixed(1);
  let path = "";
  let isDrawing = false;
  for (const { fromMs, toMs, values } of moments) {
    const value = values[position] ?? null;
    if (value === null) {
      isDrawing = false;
      continue;
    }
    path += `${isDrawing ? "L" : "M"}${x(fromMs)} ${y(value)}H${x(toMs)}`;
    isDrawing = true;
  }
  return path;
}
