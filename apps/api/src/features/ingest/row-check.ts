// SPDX-License-Identifier: Apache-2.0
import { BUCKET_COUNT, type Signal } from "@waggle/signals";

/**
 * Checks what the rows of a block say, once `checkColumns` has found their encoding good: no two rows have the same name, and the
 * buckets of every histogram add up to its count.
 * @param memory holds the columns at `spans`, as in `PackedColumns`
 * @param view of the same memory
 * @returns undefined if so, otherwise what is wrong, naming signal, column and row
 */
export function checkRows(signal: Signal, rows: number, memory: Uint8Array, view: DataView, spans: readonly number[]): string | undefined {
  return (signal.kind === "histogram" ? checkHistograms(signal, rows, view, spans) : undefined) ?? checkNames(signal, rows, memory, view, spans);
}

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
function checkNames(signal: Signal, rows: number, memory: Uint8Array, view: DataView, spans: readonly number[]): string | undefined {
  if (rows < 2) return undefined;
  // A signal is in one state per window: two would count its time twice.
  const named = signal.name === "agent_coverage" ? 1 : signal.dimensions.length;
  if (scratch.hashes.length < rows) scratch = { hashes: new Int32Array(rows), starts: [], table: scratch.table };
  const { hashes, starts } = scratch;
  hashes.fill(FNV_OFFSET, 0, rows);
  for (let column = 0; column < named; column++) {
    if ((starts[column]?.length ?? 0) <= rows) starts[column] = new Uint32Array(hashes.length + 1);
    hashStrings(memory, view, spans[column * 2] as number, rows, hashes, starts[column] as Uint32Array);
  }
  const isSame = (a: number, b: number): boolean => {
    for (let column = 0; column < named; column++) {
      const bounds = starts[column] as Uint32Array;
      if (Buffer.compare(memory.subarray(bounds[a], bounds[a + 1]), memory.subarray(bounds[b], bounds[b + 1])) !== 0) return false;
    }
    return true;
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
        return `${signal.name}: rows ${other} and ${row} have the same ${named === 1 ? signal.dimensions[0] : "dimensions"}; each may stand there once`;
    }
    table[slot] = row + 1;
  }
  return undefined;
}

const FNV_OFFSET = 0x811c9dc5 | 0;
const FNV_PRIME = 0x01000193;

/** Kept between blocks: a block needs some kilobytes of it, and there are thousands of blocks a second. */
let scratch: { hashes: Int32Array; readonly starts: Uint32Array[]; table: Uint32Array } = {
  hashes: new Int32Array(0),
  starts: [],
  table: new Uint32Array(0),
};

/**
 * FNV-1a over the encoded strings, on from what the columns before have left in `hashes`; equal names have equal encodings, as `checkColumns`
 * takes the shortest length only.
 */
function hashStrings(bytes: Uint8Array, view: DataView, start: number, rows: number, hashes: Int32Array, starts: Uint32Array): void {
  let at = start;
  starts[0] = start;
  for (let row = 0; row < rows; row++) {
    let length = 0;
    let shift = 0;
    let byte: number;
    let hash = hashes[row] as number;
    do {
      byte = bytes[at++] as number;
      length |= (byte & 0x7f) << shift;
      shift += 7;
      hash = Math.imul(hash ^ byte, FNV_PRIME);
    } while (byte >= 0x80);
    const end = at + length;
    // Four bytes a step: a multiplication each would be most of the work.
    for (; at + 4 <= end; at += 4) hash = Math.imul(hash ^ view.getInt32(at, true) ^ (hash >>> 15), FNV_PRIME);
    for (; at < end; at++) hash = Math.imul(hash ^ (bytes[at] as number), FNV_PRIME);
    hashes[row] = hash;
    starts[row + 1] = at;
  }
}
