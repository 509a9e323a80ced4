// SPDX-License-Identifier: Apache-2.0

/** Where the hexagons of a comb go. Pointy-top hexagons, odd rows shifted by half a width. */
export interface CombLayout {
  /** Centre to corner, px. */
  readonly radius: number;
  readonly columns: number;
  readonly rows: number;
  /** Centres by index, row by row, px. */
  readonly cells: readonly { readonly x: number; readonly y: number }[];
}

const SQRT3 = Math.sqrt(3);
/** One host should not become a wall. */
const RADIUS_MAX = 46;

/** The largest hexagons with which `count` of them fit into `width` × `height` px. */
export function combLayout(count: number, width: number, height: number): CombLayout {
  if (count <= 0 || width <= 0 || height <= 0) return { radius: 0, columns: 0, rows: 0, cells: [] };
  let low = 0.5;
  let high = Math.min(RADIUS_MAX, height / 2, width / SQRT3);
  for (let i = 0; i < 40; i++) {
    const radius = (low + high) / 2;
    if (fits(count, radius, width, height)) low = radius;
    else high = radius;
  }
  const radius = low;
  const columns = Math.max(1, Math.min(count, columnsAt(radius, width, count)));
  const rows = Math.ceil(count / columns);
  const cells = Array.from({ length: count }, (_, i) => {
    const row = Math.floor(i / columns);
    const column = i % columns;
    return { x: radius * SQRT3 * (column + 0.5 + (row % 2) / 2), y: radius * (1 + 1.5 * row) };
  });
  return { radius, columns, rows, cells };
}

function columnsAt(radius: number, width: number, count: number): number {
  const cell = radius * SQRT3;
  const plain = Math.floor(width / cell + 1e-9);
  // With a second row, odd rows need half a cell more.
  return plain >= count ? plain : Math.floor(width / cell - 0.5 + 1e-9);
}

function fits(count: number, radius: number, width: number, height: number): boolean {
  const columns = columnsAt(radius, width, count);
  if (columns < 1) return false;
  const rows = Math.ceil(count / columns);
  return radius * (2 + 1.5 * (rows - 1)) <= height + 1e-9;
}

/** The cell under a point, or null between and beside the hexagons. */
export function cellAt(layout: CombLayout, x: number, y: number): number | null {
  if (layout.radius === 0) return null;
  const near = Math.round((y / layout.radius - 1) / 1.5);
  let best: number | null = null;
  let bestDistance = layout.radius * layout.radius;
  for (let row = Math.max(0, near - 1); row <= Math.min(layout.rows - 1, near + 1); row++) {
    const column = Math.round(x / (layout.radius * SQRT3) - 0.5 - (row % 2) / 2);
    if (column < 0 || column >= layout.columns) continue;
    const index = row * layout.columns + column;
    const cell = layout.cells[index];
    if (!cell) continue;
    const distance = (cell.x - x) ** 2 + (cell.y - y) ** 2;
    if (distance < bestDistance) {
      bestDistance = distance;
      best = index;
    }
  }
  return best;
}

/** The cell an arrow, Home or End key leads to; the same index when there is none in that direction. */
export function cellAfterKey(layout: CombLayout, index: number, key: string): number {
  const count = layout.cells.length;
  const target =
    key === "ArrowRight"
      ? index + 1
      : key === "ArrowLeft"
        ? index - 1
        : key === "ArrowDown"
          ? index + layout.columns
          : key === "ArrowUp"
            ? index - layout.columns
            : key === "Home"
              ? 0
              : key === "End"
                ? count - 1
                : index;
  return target >= 0 && target < count ? target : index;
}
