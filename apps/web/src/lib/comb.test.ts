// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { cellAfterKey, cellAt, combLayout } from "./comb";

const SQRT3 = Math.sqrt(3);

describe("combLayout", () => {
  it.each([1, 2, 7, 20, 212, 1000, 10_000])("keeps %d hexagons inside the card, none over another", (count) => {
    for (const [width, height] of [
      [760, 240],
      [320, 240],
    ] as const) {
      const { radius, cells, columns } = combLayout(count, width, height);
      expect(cells).toHaveLength(count);
      for (const { x, y } of cells) {
        expect(x - (radius * SQRT3) / 2).toBeGreaterThanOrEqual(-1e-6);
        expect(x + (radius * SQRT3) / 2).toBeLessThanOrEqual(width + 1e-6);
        expect(y + radius).toBeLessThanOrEqual(height + 1e-6);
      }
      // Hexagons of neighbouring rows touch when their centres are radius·√3 apart.
      const below = cells[columns];
      if (below && cells[0]) expect(Math.hypot(below.x - cells[0].x, below.y - cells[0].y)).toBeCloseTo(radius * SQRT3, 6);
    }
  });
  it("fills the card at 20 hosts and at 10,000", () => {
    for (const count of [20, 10_000]) {
      const { radius } = combLayout(count, 760, 240);
      const area = count * 1.5 * SQRT3 * radius ** 2;
      expect(area / (760 * 240)).toBeGreaterThan(0.5);
    }
  });
  it("has room for nothing in no space", () => {
    expect(combLayout(5, 0, 100).cells).toEqual([]);
    expect(combLayout(0, 100, 100).cells).toEqual([]);
  });
});

it("finds the hexagon under the pointer and nothing outside", () => {
  const layout = combLayout(212, 760, 240);
  layout.cells.forEach((cell, i) => {
    expect(cellAt(layout, cell.x + layout.radius * 0.3, cell.y - layout.radius * 0.3)).toBe(i);
  });
  expect(cellAt(layout, -50, -50)).toBeNull();
});

it("moves with the arrow keys and stops at the edges", () => {
  const layout = combLayout(20, 300, 200);
  expect(cellAfterKey(layout, 0, "ArrowRight")).toBe(1);
  expect(cellAfterKey(layout, 0, "ArrowLeft")).toBe(0);
  expect(cellAfterKey(layout, 0, "ArrowDown")).toBe(layout.columns);
  expect(cellAfterKey(layout, 19, "ArrowDown")).toBe(19);
  expect(cellAfterKey(layout, 3, "End")).toBe(19);
});
