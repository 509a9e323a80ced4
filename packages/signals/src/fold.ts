// SPDX-License-Identifier: Apache-2.0
import { type DimensionName, OTHER } from "./dimensions.ts";
import type { Signal } from "./signal.ts";
import type { WireRow } from "./wire.ts";

/**
 * What rows give up when a signal has too many of them in a window, first to last: which one of many it was before what was done, that before how it went, and who it
 * was at the very end, the program before the unit it runs in.
 */
export const foldOrder = [
  "file",
  "query_name",
  "stack",
  "frames",
  "peer",
  "query_type",
  "resolver",
  "syscall",
  "peer_port",
  "port",
  "algorithm",
  "protocol",
  "operation",
  "role",
  "direction",
  "congestion_state",
  "class",
  "exit_status",
  "rcode",
  "result",
  "errno",
  "reset_reason",
  "drop_reason",
  "softirq",
  "device",
  "process",
  "unit",
] as const satisfies readonly DimensionName[];

/** The signal's dimensions in the order in which rows give them up. Throws a TypeError for one that has no place in `foldOrder`. */
export function foldStepsOf({ name, dimensions }: Pick<Signal, "name" | "dimensions">): readonly DimensionName[] {
  const placeOf = (dimension: DimensionName): number => (foldOrder as readonly DimensionName[]).indexOf(dimension);
  for (const dimension of dimensions)
    if (placeOf(dimension) < 0) throw new TypeError(`${name}: foldOrder does not say when ${dimension} is given up`);
  return dimensions.toSorted((a, b) => placeOf(a) - placeOf(b));
}

/** The row that takes what has no row of its own: all its dimensions are `~other`. */
export const WHOLLY_FOLDED = 0;

/** Share of the rows left to fill that stay as they are at each step but the last, however small the others: who keeps a row, but what is largest keeps its name. */
const KEPT_PART = 1 / 4;
/** The same where rows are watched. */
const WATCHED_PART = 3 / 4;

/** Rows that may be too many, by number. 0 is `WHOLLY_FOLDED`, whether or not it is in use. */
export interface FoldableRows {
  /** Of rows with the numbers 0 to that, without it. */
  readonly count: number;
  readonly isOtherUsed: boolean;
  readonly steps: number;
  /** How large a row is, with what was added to it. */
  rankOf(row: number): number;
  /** Absent: none is. */
  isWatched?(row: number): boolean;
  /** Which step (below `steps`) takes something from the row; the last one takes all. */
  stepOf(row: number): number;
  /** The row that the row becomes part of by that step; under the next number, to be made by `add`, if there is none. It has a later step, or is 0. */
  into(row: number): number;
  /** Adds what a row counts to another one; the first stays as it is. */
  add(row: number, into: number): void;
}

export interface Folding {
  /** Rows that stay, those made in the meantime included, in ascending order; but 0, if it is used, at the end. */
  readonly kept: number[];
  /** For each row, those made in the meantime included, the one that has its counts. */
  readonly home: Uint32Array;
  /** Rows, of those that were there, that are part of another one now. */
  readonly cut: number;
}

/**
 * Makes rows at most `rowsMax` (1 or more). Small ones give up their least important dimension and become one with what then reads alike; only where this does not suffice,
 * they give up the next one. What would give something up without saving a row keeps it. Sums are conserved.
 */
export function fold(rows: FoldableRows, rowsMax: number): Folding {
  const { count, steps } = rows;
  const last = steps - 1;
  let total = count - 1 + (rows.isOtherUsed ? 1 : 0);
  // Nearly every signal of nearly every window.
  if (total <= rowsMax) return asTheyAre(count, rows.isOtherUsed);
  // Typed arrays, as a host may have thousands of rows in each window: numbers in plain ones would be its largest garbage.
  let made = count;
  let step = new Uint8Array(count * 2);
  for (let row = 1; row < count; row++) step[row] = rows.stepOf(row);
  /** By row: what it went into, -1 while it stays; how many went into it, and the last of them. */
  let into = new Int32Array(count * 2).fill(-1);
  let parts = new Uint32Array(count * 2);
  let lastPart = new Uint32Array(count * 2);
  parts[WHOLLY_FOLDED] = rows.isOtherUsed ? 1 : 0;
  let fixed = 0;
  for (let now = 0; now < steps && total > rowsMax; now++) {
    const { order, watched } = largestFirst(rows, rowsOfStep(step, now, count, made));
    const room = rowsMax - fixed;
    const stay =
      now === last ? 0 : Math.min(order.length, Math.max(Math.floor(room * KEPT_PART), Math.min(watched, Math.floor(room * WATCHED_PART))));
    for (let at = order.length - 1; at >= stay && total > rowsMax; at--) {
      const row = order[at] as number;
      const to = now === last ? WHOLLY_FOLDED : rows.into(row);
      rows.add(row, to);
      if (to === made) {
        if (made === step.length) {
          step = doubled(step, new Uint8Array(made * 2));
          parts = doubled(parts, new Uint32Array(made * 2));
          lastPart = doubled(lastPart, new Uint32Array(made * 2));
          into = doubled(into, new Int32Array(made * 2).fill(-1));
        }
        step[to] = rows.stepOf(to);
        made++;
      } else if (to !== WHOLLY_FOLDED || parts[WHOLLY_FOLDED] !== 0) total--;
      into[row] = to;
      parts[to] = (parts[to] as number) + 1;
      lastPart[to] = row;
    }
    fixed += stay;
  }
  // A row made of one other saved nothing: the other comes back, as often as that is so.
  for (let row = made - 1; row >= count; row--) {
    if (parts[row] !== 1 || into[row] !== -1) continue;
    let only = row;
    while (only >= count && parts[only] === 1) {
      const part = lastPart[only] as number;
      into[only] = part;
      only = part;
    }
    into[only] = -1;
  }
  const home = new Uint32Array(made);
  const kept: number[] = [];
  let cut = 0;
  for (let row = 1; row < made; row++) {
    let at = row;
    while (into[at] !== -1) at = into[at] as number;
    home[row] = at;
    if (at === row) kept.push(row);
    else if (row < count) cut++;
  }
  if (parts[WHOLLY_FOLDED] !== 0) kept.push(WHOLLY_FOLDED);
  return { kept, home, cut };
}

function asTheyAre(count: number, isOtherUsed: boolean): Folding {
  const home = new Uint32Array(count);
  const kept: number[] = [];
  for (let row = 1; row < count; row++) {
    home[row] = row;
    kept.push(row);
  }
  if (isOtherUsed) kept.push(WHOLLY_FOLDED);
  return { kept, home, cut: 0 };
}

/** Rows that have this step: those that were there, then those made since, which come in the order of what they are made of, smallest first, turned round. */
function rowsOfStep(step: Uint8Array, now: number, count: number, made: number): Uint32Array {
  const some = new Uint32Array(made);
  let length = 0;
  for (let row = 1; row < count; row++) if (step[row] === now) some[length++] = row;
  for (let row = made - 1; row >= count; row--) if (step[row] === now) some[length++] = row;
  return some.subarray(0, length);
}

function doubled<T extends Uint8Array | Uint32Array | Int32Array>(array: T, larger: T): T {
  larger.set(array);
  return larger;
}

/** Those that are watched before those that are not, then by size, then as they came. */
function largestFirst(rows: FoldableRows, some: Uint32Array): { readonly order: Uint32Array; readonly watched: number } {
  const watched = rows.isWatched === undefined ? 0 : some.reduce((sum, row) => sum + (rows.isWatched?.(row) === true ? 1 : 0), 0);
  if (watched === 0) return { order: bySize(rows, some), watched };
  const order = new Uint32Array(some.length);
  order.set(
    bySize(
      rows,
      some.filter((row) => rows.isWatched?.(row) === true),
    ),
  );
  order.set(
    bySize(
      rows,
      some.filter((row) => rows.isWatched?.(row) !== true),
    ),
    watched,
  );
  return { order, watched };
}

/**
 * Sorting numbers that hold both size and place needs no comparison function, and takes a tenth of the time: the place stands in the last bits of the size's fraction, which
 * tell nothing apart unless sizes differ by less than a thousand-millionth.
 */
function bySize(rows: FoldableRows, some: Uint32Array): Uint32Array {
  const sizes = new Float64Array(some.length);
  for (let at = 0; at < some.length; at++) sizes[at] = rows.rankOf(some[at] as number);
  const words = new Uint32Array(sizes.buffer);
  const mask = 2 ** (32 - Math.clz32(some.length)) - 1;
  const end = some.length - 1;
  for (let at = 0; at <= end; at++) words[at * 2] = ((words[at * 2] as number) & ~mask) | (end - at);
  sizes.sort();
  const order = new Uint32Array(some.length);
  for (let at = end; at >= 0; at--) order[end - at] = some[end - ((words[at * 2] as number) & mask)] as number;
  return order;
}

/**
 * Rows of a signal in the form of objects, made at most `rowsMax` (1 or more) by `fold`.
 * @param rankOf how large a row is
 * @param add adds the second row's measures to the first's, in place of them: values that are arrays are shared between rows
 * @param isWatched rows that give something up last
 */
export function foldRows<Row extends Record<string, WireRow[string]>>(
  signal: Pick<Signal, "name" | "dimensions">,
  rows: readonly Row[],
  rowsMax: number,
  { rankOf, add, isWatched }: { rankOf(row: Row): number; add(into: Row, row: Row): void; isWatched?(row: Row): boolean },
): { readonly rows: Row[]; readonly cut: number } {
  const steps = foldStepsOf(signal);
  const stepOf = (row: Row): number => {
    const step = steps.findIndex((name) => row[name] !== OTHER);
    return step < 0 ? steps.length : step;
  };
  const isWhole = (row: Row): boolean => stepOf(row) === steps.length;
  /** By number; the first is absent while nobody is in it. */
  const all: (Row | undefined)[] = [rows.find(isWhole), ...rows.filter((row) => !isWhole(row))];
  if (rows.length <= rowsMax) return { rows: [...all.slice(1), ...all.slice(0, 1)].filter((row) => row !== undefined), cut: 0 };
  const count = all.length;
  const isOtherUsed = all[WHOLLY_FOLDED] !== undefined;
  const nameOf = (row: Row, step: number): string => JSON.stringify(steps.map((name, index) => (index <= step ? OTHER : row[name])));
  const numbers = new Map<string, number>();
  for (let number = 1; number < count; number++) {
    const row = all[number] as Row;
    // Only such can be what another one becomes.
    if (stepOf(row) > 0) numbers.set(nameOf(row, -1), number);
  }
  const folded = (row: Row, step: number): Row => ({ ...row, ...Object.fromEntries(steps.slice(0, step + 1).map((name) => [name, OTHER])) });
  const { kept, cut } = fold(
    {
      count,
      isOtherUsed,
      steps: steps.length,
      rankOf: (number) => rankOf(all[number] as Row),
      ...(isWatched === undefined ? {} : { isWatched: (number) => isWatched(all[number] as Row) }),
      stepOf: (number) => stepOf(all[number] as Row),
      into: (number) => {
        const row = all[number] as Row;
        const step = stepOf(row);
        if (isWhole(folded(row, step))) return WHOLLY_FOLDED;
        const name = nameOf(row, step);
        const known = numbers.get(name) ?? all.length;
        numbers.set(name, known);
        return known;
      },
      add: (number, into) => {
        const row = all[number] as Row;
        const to = all[into];
        if (to === undefined) all[into] = folded(row, into === WHOLLY_FOLDED ? steps.length : stepOf(row));
        else add(to, row);
      },
    },
    rowsMax,
  );
  return { rows: kept.map((number) => all[number] as Row), cut };
}
