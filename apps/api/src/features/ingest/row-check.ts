// SPDX-License-Identifier: Apache-2.0
import { BUCKET_COUNT, checkColumns, limits, type NameHashes, type Signal } from "@waggle/signals";

/**
 * Checks a block completely: that its columns are what `checkColumns` asks for, that no two rows have the same name, and that the
 * buckets of every histogram add up to its count.
 * @param memory holds the columns at `spans`, as in `PackedColumns`
 * @param view of the same memory
 * @returns undefined if so, otherwise what is wrong, naming signal, column and row
 */
export function checkRows(signal: Signal, rows: number, memory: Uint8Array, view: DataView, spans: readonly number[]): string | undefined {
  if (scratch.hashes.length < rows && rows <= limits.blockRowsMax) scratch.hashes = new Int32Array(rows);
  const names = { dimensions: nameDimensions(signal), hashes: scratch.hashes };
  const problem =
    checkColumns(signal, rows, memory, view, spans, names) ?? (signal.kind === "histogram" ? checkHistograms(signal, rows, view, spans) : undefined);
  return problem ?? checkNames(signal, rows, memory, spans, names);
}

/** A signal is in one state per window: two would count its time twice. */
function nameDimensions(signal: Signal): number {
  return signal.name === "agent_coverage" ? 1 : signal.dimensions.length;
}

/** Kept between blocks: a block needs some kilobytes of it, and there are thousands of blocks a second. */
const scratch = { hashes: new Int32Array(0), table: new Uint32Array(0) };

/** Bucket indexes beyond the grid would read back as infinite durations; ones out of order as wrong percentiles. */
function checkHistograms(signal: Signal, rows: number, view: DataView, spans: readonly number[]): string | undefined {
  // Behind the dimensions: count, sum, min, max, k, c, as `wireColumns` puts them.
  const first = signal.dimensions.length;
  const startOf = (column: number): number => spans[(first + column) * 2] as number;
  const count = startOf(0);
  const min = startOf(2);
  const max = startOf(3);
  const k = startOf(4);
  const kItems = k + rows * 8;
  const cItems = startOf(5) + rows * 8;
  let item = 0;
  for (let row = 0; row < rows; row++) {
    const end = view.getUint32(k + row * 8, true);
    // Halves of 64-bit sums: at most 512 are added up, so neither leaves the exact integers.
    let low = 0;
    let high = 0;
    for (let last = -1; item < end; item++) {
      const bucket = view.getUint16(kItems + item * 2, true);
      if (bucket >= BUCKET_COUNT) return `${signal.name}.k: bucket ${bucket} is beyond the grid of ${BUCKET_COUNT}`;
      if (bucket <= last) return `${signal.name}.k: row ${row} has bucket ${bucket} behind ${last}; buckets ascend`;
      last = bucket;
      low += view.getUint32(cItems + item * 8, true);
      high += view.getUint32(cItems + item * 8 + 4, true);
    }
    high += Math.floor(low / UINT32);
    low %= UINT32;
    const countLow = view.getUint32(count + row * 8, true);
    const countHigh = view.getUint32(count + row * 8 + 4, true);
    if (low !== countLow || high !== countHigh)
      return `${signal.name}.c: the buckets of row ${row} hold ${BigInt(high) * BigInt(UINT32) + BigInt(low)}, its count is ${view.getBigUint64(count + row * 8, true)}`;
    if (countLow === 0 && countHigh === 0) continue;
    const minHigh = view.getUint32(min + row * 8 + 4, true);
    const maxHigh = view.getUint32(max + row * 8 + 4, true);
    if (minHigh > maxHigh || (minHigh === maxHigh && view.getUint32(min + row * 8, true) > view.getUint32(max + row * 8, true)))
      return `${signal.name}.min: row ${row} has a min above its max`;
  }
  return undefined;
}

const UINT32 = 2 ** 32;

/** Rows of one name would replace each other in storage, and whatever all but one of them counted would be gone without a word. */
function checkNames(
  signal: Signal,
  rows: number,
  memory: Uint8Array,
  spans: readonly number[],
  { dimensions, hashes }: NameHashes,
): string | undefined {
  if (rows < 2) return undefined;
  /** Of the name's columns, where the encoding of each row starts; few blocks need it. */
  let starts: Uint32Array[] | undefined;
  const isSame = (a: number, b: number): boolean => {
    starts ??= Array.from({ length: dimensions }, (_, column) => startsOf(memory, spans[column * 2] as number, rows));
    return starts.every((at) => Buffer.compare(memory.subarray(at[a], at[a + 1]), memory.subarray(at[b], at[b + 1])) === 0);
  };
  // An open table of row + 1, at most half full.
  const size = 2 ** Math.ceil(Math.log2(rows * 2));
  const mask = size - 1;
  if (scratch.table.length < size) scratch.table = new Uint32Array(size);
  else scratch.table.fill(0, 0, size);
  const { table } = scratch;
  for (let row = 0; row < rows; row++) {
    const hash = hashes[row] as number;
    // The last bytes hashed reach only the upper bits.
    let slot = (hash ^ (hash >>> 15)) & mask;
    for (; table[slot] !== 0; slot = (slot + 1) & mask) {
      const other = (table[slot] as number) - 1;
      if (hashes[other] === hash && isSame(other, row))
        return `${signal.name}: rows ${other} and ${row} have the same ${dimensions === 1 ? signal.dimensions[0] : "dimensions"}; each may stand there once`;
    }
    table[slot] = row + 1;
  }
  return undefined;
}

/** Where the strings of a column start, and behind them where the last one ends. */
function startsOf(memory: Uint8Array, start: number, rows: number): Uint32Array {
  const starts = new Uint32Array(rows + 1);
  let at = start;
  for (let row = 0; row < rows; row++) {
    starts[row] = at;
    let length = 0;
    let shift = 0;
    let byte: number;
    do {
      byte = memory[at++] as number;
      length |= (byte & 0x7f) << shift;
      shift += 7;
    } while (byte >= 0x80);
    at += length;
  }
  starts[rows] = at;
  return starts;
}
