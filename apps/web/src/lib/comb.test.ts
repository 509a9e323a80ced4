// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { cellAfterKey, cellAt, combLayout, GROUP_LABEL_HEIGHT, groupedLayout } from "./comb";

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

describe("groupedLayout", () => {
  it.each([[[40, 1]], [[3, 2]], [[500, 300, 200]], [[9000, 999, 1]]])("gives each of %j a block below its name, none over another", (counts) => {
    const layout = groupedLayout(
      counts.map((count, i) => ({ label: `k${i}`, count })),
      760,
      240,
    );
    if (layout === null) throw new Error("does not fit");
    expect(layout.cells).toHaveLength(counts.reduce((a, b) => a + b));
    for (const { x, y } of layout.cells) {
      expect(x + (layout.radius * SQRT3) / 2).toBeLessThanOrEqual(760 + 1e-6);
      expect(y - layout.radius).toBeGreaterThanOrEqual(GROUP_LABEL_HEIGHT - 1e-6);
      expect(y + layout.radius).toBeLessThanOrEqual(240 + 1e-6);
    }
    layout.blocks.slice(1).forEach((block, i) => {
      expect(block.x).toBeGreaterThan((layout.blocks[i]?.x ?? 0) + (layout.blocks[i]?.width ?? 0));
    });
  });

  it("is none where names or hexagons would not fit", () => {
    const many = Array.from({ length: 12 }, (_, i) => ({ label: `kernel ${i}`, count: 1 }));
    expect(groupedLayout(many, 320, 240)).toBeNull();
    expect(groupedLayout([{ label: "one", count: 5 }], 760, 240)).toBeNull();
  });

  it("lets the arrows cross from block to block", () => {
    const layout = groupedLayout(
      [
        { label: "a", count: 1 },
        { label: "b", count: 1 },
      ],
      760,
      240,
    );
    if (layout === null) throw new Error("does not fit");
    expect(cellAfterKey(layout, 0, "ArrowRight")).toBe(1);
    expect(cellAfterKey(layout, 1, "ArrowLeft")).toBe(0);
  });
});
