// SPDX-License-Identifier: Apache-2.0
import type { HeatmapSeries } from "./api/types";

/** Rows of equal height on a logarithmic axis, bottom to top, ready to be painted. */
export interface Grid {
  readonly columns: number;
  readonly rows: number;
  readonly rowsPerOctave: number;
  /** Value at the lower edge of row 0 and the upper edge of the last row: powers of ten. */
  readonly lower: number;
  readonly upper: number;
  /** counts[row · columns + column]; NaN where nobody reported. */
  readonly counts: Float64Array;
  readonly max: number;
}

/**
 * Puts the answer's buckets (base 2^(1/8), a few hundred possible) on a grid that fits the picture. The axis is cut at the powers of ten around
 * what was counted: refreshes then rarely move it. A bucket wider than a row fills all rows it covers; several buckets in one row are added up.
 * null when nothing was counted at all.
 */
export function toGrid(series: HeatmapSeries, rowsPerOctave: number): Grid | null {
  const columns = Math.max(0, ...series.cells.map((row) => row.length));
  let low = Number.POSITIVE_INFINITY;
  let high = 0;
  series.buckets.forEach((bucket, b) => {
    if (!series.cells[b]?.some((count) => (count ?? 0) > 0)) return;
    low = Math.min(low, lowerEdge(bucket));
    high = Math.max(high, bucket.upper);
  });
  if (high === 0 || columns === 0) return null;
  const lower = 10 ** Math.floor(Math.log10(low) + 1e-9);
  const upper = 10 ** Math.max(Math.ceil(Math.log10(high) - 1e-9), Math.log10(lower) + 2);
  const rows = Math.ceil(Math.log2(upper / lower) * rowsPerOctave);
  const counts = new Float64Array(rows * columns);
  const known = new Uint8Array(columns);
  let max = 0;

  series.buckets.forEach((bucket, b) => {
    const from = Math.log2(lowerEdge(bucket) / lower) * rowsPerOctave;
    const to = Math.log2(bucket.upper / lower) * rowsPerOctave;
    const wide = to - from > 1.001;
    const first = Math.max(0, wide ? Math.round(from) : Math.floor((from + to) / 2));
    const last = Math.min(rows - 1, wide ? Math.round(to) - 1 : first);
    series.cells[b]?.forEach((count, column) => {
      if (count === null) return;
      known[column] = 1;
      if (count === 0) return;
      for (let row = first; row <= last; row++) {
        const sum = (counts[row * columns + column] ?? 0) + count;
        counts[row * columns + column] = sum;
        if (sum > max) max = sum;
      }
    });
  });
  for (let column = 0; column < columns; column++) {
    if (known[column] === 1) continue;
    for (let row = 0; row < rows; row++) counts[row * columns + column] = Number.NaN;
  }
  return { columns, rows, rowsPerOctave, lower, upper, counts, max };
}

/** The first bucket starts at 0, which a logarithmic axis has no place for: half of its upper bound stands for it. */
function lowerEdge(bucket: { lower: number; upper: number }): number {
  return bucket.lower > 0 ? bucket.lower : bucket.upper / 2;
}

/** Bounds of a row, in the series' unit. */
export function rowBounds(grid: Grid, row: number): { lower: number; upper: number } {
  return { lower: grid.lower * 2 ** (row / grid.rowsPerOctave), upper: grid.lower * 2 ** ((row + 1) / grid.rowsPerOctave) };
}

/** Everything counted in one step. */
export function columnTotal(grid: Grid, column: number): number {
  let sum = 0;
  for (let row = 0; row < grid.rows; row++) sum += grid.counts[row * grid.columns + column] || 0;
  return sum;
}

/** Heat level 1..8 of a count; 0 for none. Logarithmic, because a busy bucket holds thousands of times what a rare, slow one does — and the rare one is the news. */
export function heatLevel(count: number, max: number): number {
  if (!(count > 0)) return 0;
  if (max <= 1) return 8;
  return 1 + Math.min(7, Math.floor((Math.log(count) / Math.log(max)) * 7.001));
}

export type Rgb = readonly [number, number, number];

/**
 * RGBA pixels of the grid, one per cell, top row first as images are. Nothing counted and not reported are both transparent: the card's surface
 * and the hatching behind tell them apart.
 */
export function toPixels(grid: Grid, palette: readonly Rgb[]): Uint8ClampedArray<ArrayBuffer> {
  const pixels = new Uint8ClampedArray(grid.rows * grid.columns * 4);
  for (let row = 0; row < grid.rows; row++) {
    for (let column = 0; column < grid.columns; column++) {
      const level = heatLevel(grid.counts[row * grid.columns + column] ?? 0, grid.max);
      const colour = palette[level];
      if (level === 0 || colour === undefined) continue;
      pixels.set([colour[0], colour[1], colour[2], 255], ((grid.rows - 1 - row) * grid.columns + column) * 4);
    }
  }
  return pixels;
}

/** `#rrggbb` as three bytes; black for anything else. */
export function parseHex(colour: string): Rgb {
  const match = /^#([0-9a-f]{2})([0-9a-f]{2})([0-9a-f]{2})$/i.exec(colour.trim());
  return match ? [Number.parseInt(match[1] ?? "0", 16), Number.parseInt(match[2] ?? "0", 16), Number.parseInt(match[3] ?? "0", 16)] : [0, 0, 0];
}
