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

export interface CombGroup {
  readonly label: string;
  readonly count: number;
}

/** Hexagons in blocks side by side, each with its name above. */
export interface GroupedLayout extends CombLayout {
  readonly blocks: readonly { readonly label: string; readonly count: number; readonly x: number; readonly width: number }[];
}

/** px for the names above the blocks. */
export const GROUP_LABEL_HEIGHT = 20;
const GROUP_GAP = 14;
/** A name is cut to what its block leaves, but never below this. */
const GROUP_LABEL_MIN = 124;

/**
 * The largest hexagons with which every group gets a block of its own, blocks in the order given; null when that does not fit or would make the
 * hexagons less than half as large as without groups.
 */
export function groupedLayout(groups: readonly CombGroup[], width: number, height: number): GroupedLayout | null {
  const total = groups.reduce((sum, group) => sum + group.count, 0);
  const plain = combLayout(total, width, height);
  const room = height - GROUP_LABEL_HEIGHT;
  if (groups.length < 2 || plain.radius === 0 || room <= 0) return null;
  const blocksAt = (radius: number): { columns: number; width: number }[] => {
    const rows = Math.max(1, Math.floor((room / radius - 2) / 1.5 + 1 + 1e-9));
    return groups.map(({ count }) => {
      const columns = Math.ceil(count / rows);
      return { columns, width: Math.max(GROUP_LABEL_MIN, radius * SQRT3 * (columns + (count > columns ? 0.5 : 0))) };
    });
  };
  const widthOf = (blocks: readonly { width: number }[]): number => blocks.reduce((sum, block) => sum + block.width + GROUP_GAP, -GROUP_GAP);
  let low = plain.radius / 2;
  if (2 * low > room || widthOf(blocksAt(low)) > width) return null;
  let high = Math.min(RADIUS_MAX, room / 2);
  for (let i = 0; i < 40; i++) {
    const radius = (low + high) / 2;
    if (widthOf(blocksAt(radius)) <= width) low = radius;
    else high = radius;
  }
  const radius = low;
  const sizes = blocksAt(radius);
  let x = 0;
  const blocks = groups.map((group, i) => {
    const block = { ...group, x, width: sizes[i]?.width ?? 0 };
    x += block.width + GROUP_GAP;
    return block;
  });
  const cells = blocks.flatMap((block, g) => {
    const columns = sizes[g]?.columns ?? 1;
    return Array.from({ length: block.count }, (_, i) => {
      const row = Math.floor(i / columns);
      return {
        x: block.x + radius * SQRT3 * ((i % columns) + 0.5 + (row % 2) / 2),
        y: GROUP_LABEL_HEIGHT + radius * (1 + 1.5 * row),
      };
    });
  });
  return { radius, columns: 0, rows: 0, cells, blocks };
}

/** The cell under a point, or null between and beside the hexagons. */
export function cellAt(layout: CombLayout, x: number, y: number): number | null {
  let best: number | null = null;
  let bestDistance = layout.radius * layout.radius;
  layout.cells.forEach((cell, index) => {
    const distance = (cell.x - x) ** 2 + (cell.y - y) ** 2;
    if (distance < bestDistance) {
      bestDistance = distance;
      best = index;
    }
  });
  return best;
}

const DIRECTIONS: Readonly<Record<string, readonly [number, number]>> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};

/** The cell an arrow, Home or End key leads to: the nearest one on that side; the same index when there is none. */
export function cellAfterKey(layout: CombLayout, index: number, key: string): number {
  const from = layout.cells[index];
  if (key === "Home") return 0;
  if (key === "End") return layout.cells.length - 1;
  const direction = DIRECTIONS[key];
  if (!from || !direction) return index;
  const [dx, dy] = direction;
  let best = index;
  let bestCost = Number.POSITIVE_INFINITY;
  layout.cells.forEach((cell, i) => {
    const ahead = (cell.x - from.x) * dx + (cell.y - from.y) * dy;
    const aside = Math.abs((cell.x - from.x) * dy) + Math.abs((cell.y - from.y) * dx);
    if (ahead < layout.radius * 0.5) return;
    // Left and right follow the row, up and down step to the nearer of two.
    const cost = ahead + aside * (dx === 0 ? 1 : 3) + (cell.x < from.x ? 1e-6 : 0);
    if (cost < bestCost) {
      bestCost = cost;
      best = i;
    }
  });
  return best;
}
