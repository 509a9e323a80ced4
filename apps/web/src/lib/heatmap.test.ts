// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import type { HeatmapSeries } from "./api/types";
import { heatLevel, parseHex, rowBounds, toGrid, toPixels } from "./heatmap";

const octave = (n: number) => ({ lower: 2 ** n, upper: 2 ** (n + 1) });

function heat(buckets: { lower: number; upper: number }[], cells: (number | null)[][]): HeatmapSeries {
  return { measure: "rtt", aggregate: "heatmap", unit: "ns", labels: {}, buckets, cells };
}

/** The grid as text, slow at the top: digits are heat levels, `.` nothing counted, `/` not reported. */
function picture(series: HeatmapSeries, rowsPerOctave: number): string[] {
  const grid = toGrid(series, rowsPerOctave);
  if (!grid) return [];
  return Array.from({ length: grid.rows }, (_, i) => grid.rows - 1 - i).map((row) =>
    Array.from({ length: grid.columns }, (_, column) => {
      const count = grid.counts[row * grid.columns + column] ?? 0;
      return Number.isNaN(count) ? "/" : count === 0 ? "." : String(heatLevel(count, grid.max));
    }).join(""),
  );
}

describe("toGrid", () => {
  it("keeps slow above fast, zero empty and missing missing", () => {
    const text = picture(
      heat(
        [octave(0), octave(1), octave(2)],
        [
          [1, 0, null],
          [0, 8, null],
          [64, 0, null],
        ],
      ),
      1,
    );
    expect(text).toEqual(["../", "../", "../", "../", "8./", ".4/", "1./"]);
  });
  it("fills every row a wide bucket covers", () => {
    const grid = toGrid(heat([octave(0)], [[5]]), 4);
    expect(grid && [...grid.counts.slice(0, 5)]).toEqual([5, 5, 5, 5, 0]);
  });
  it("adds up narrow buckets that share a row", () => {
    const narrow = Array.from({ length: 8 }, (_, i) => ({ lower: 2 ** (i / 8), upper: 2 ** ((i + 1) / 8) }));
    const grid = toGrid(
      heat(
        narrow,
        narrow.map(() => [1]),
      ),
      4,
    );
    expect(grid && [...grid.counts.slice(0, 4)]).toEqual([2, 2, 2, 2]);
  });
  it("conserves the total when each bucket has its own row", () => {
    const buckets = Array.from({ length: 40 }, (_, i) => ({ lower: 2 ** ((i + 80) / 8), upper: 2 ** ((i + 81) / 8) }));
    const grid = toGrid(
      heat(
        buckets,
        buckets.map((_, i) => [i + 1]),
      ),
      8,
    );
    expect(grid?.counts.reduce((a, b) => a + b, 0)).toBe((40 * 41) / 2);
  });
  it("is null when nothing was counted", () => {
    expect(toGrid(heat([octave(0)], [[0, 0]]), 4)).toBeNull();
    expect(toGrid(heat([], []), 4)).toBeNull();
  });
  it("cuts the axis at powers of ten, at least two decades apart", () => {
    const grid = toGrid(heat([octave(10)], [[1]]), 4);
    expect(grid && [grid.lower, grid.upper]).toEqual([1000, 100_000]);
    expect(grid && rowBounds(grid, 0).lower).toBe(1000);
  });
});

it("paints a cell with its level's colour and leaves the rest transparent", () => {
  const grid = toGrid(heat([octave(0)], [[1, 0]]), 1);
  const palette = Array.from({ length: 9 }, (_, i) => [i, i, i] as const);
  const pixels = grid && toPixels(grid, palette);
  expect(pixels && [...pixels.slice(-8)]).toEqual([8, 8, 8, 255, 0, 0, 0, 0]);
});

it("reads a theme's colours", () => {
  expect(parseHex(" #f2b33d")).toEqual([242, 179, 61]);
});
