// SPDX-License-Identifier: Apache-2.0
import { BUCKET_COUNT, type Signal } from "@waggle/signals";

/**
 * Checks what the rows of a block say, once `checkBlock` has found their encoding good: no two rows have the same name, and the
 * buckets of every histogram add up to its count.
 * @returns undefined if so, otherwise what is wrong, naming signal, column and row
 */
export function checkRows(signal: Signal, rows: number, columns: readonly Uint8Array[]): string | undefined {
  return (signal.kind === "histogram" ? checkHistograms(signal, rows, columns) : undefined) ?? checkNames(signal, rows, columns);
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Bucket indexes beyond the grid would read back as infinite durations; ones out of order as wrong percentiles. */
function checkHistograms(signal: Signal, rows: number, columns: readonly Uint8Array[]): string | undefined {
  // Behind the dimensions: count, sum, min, max, k, c, as `wireColumns` puts them.
  const first = signal.dimensions.length;
  const count = viewOf(columns[first] as Uint8Array);
  const min = viewOf(columns[first + 2] as Uint8Array);
  const max = viewOf(columns[first + 3] as Uint8Array);
  const k = viewOf(columns[first + 4] as Uint8Array);
  const c = viewOf(columns[first + 5] as Uint8Array);
  const items = rows * 8;
  let item = 0;
  for (let row = 0; row < rows; row++) {
    const end = k.getUint32(row * 8, true);
    // Halves of 64-bit sums: at most 512 are added up, so neither leaves the exact integers.
    let low = 0;
    let high = 0;
    for (let last = -1; item < end; item++) {
      const bucket = k.getUint16(items + item * 2, true);
      if (bucket >= BUCKET_COUNT) return `${signal.name}.k: bucket ${bucket} is beyond the grid of ${BUCKET_COUNT}`;
      if (bucket <= last) return `${signal.name}.k: row ${row} has bucket ${bucket} behind ${last}; buckets ascend`;
      last = bucket;
      low += c.getUint32(items + item * 8, true);
      high += c.getUint32(items + item * 8 + 4, true);
    }
    high += Math.floor(low / UINT32);
    low %= UINT32;
    const countLow = count.getUint32(row * 8, true);
    const countHigh = count.getUint32(row * 8 + 4, true);
    if (low !== countLow || high !== countHigh)
      return `${signal.name}.c: the buckets of row ${row} hold ${BigInt(high) * BigInt(UINT32) + BigInt(low)}, its count is ${count.getBigUint64(row * 8, true)}`;
    if (countLow === 0 && countHigh === 0) continue;
    const minHigh = min.getUint32(row * 8 + 4, true);
    const maxHigh = max.getUint32(row * 8 + 4, true);
    if (minHigh > maxHigh || (minHigh === maxHigh && min.getUint32(row * 8, true) > max.getUint32(row * 8, true)))
      return `${signal.name}.min: row ${row} has a min above its max`;
  }
  return undefined;
}

const UINT32 = 2 ** 32;

/** Rows of one name would replace each other in storage, and whatever all but one of them counted would be gone without a word. */
function checkNames(signal: Signal, rows: number, columns: readonly Uint8Array[]): string | undefined {
  if (rows < 2) return undefined;
  // A signal is in one state per window: two would count its time twice.
  const named = signal.name === "agent_coverage" ? 1 : signal.dimensions.length;
  const names = columns.slice(0, named);
  if (scratch.hashes.length < rows) scratch = { hashes: new Int32Array(rows), starts: [], table: scratch.table };
  const { hashes, starts } = scratch;
  hashes.fill(FNV_OFFSET, 0, rows);
  for (let column = 0; column < named; column++) {
    if ((starts[column]?.length ?? 0) <= rows) starts[column] = new Uint32Array(hashes.length + 1);
    hashStrings(names[column] as Uint8Array, rows, hashes, starts[column] as Uint32Array);
  }
  const isSame = (a: number, b: number): boolean =>
    names.every((bytes, column) => {
      const bounds = starts[column] as Uint32Array;
      return Buffer.compare(bytes.subarray(bounds[a], bounds[a + 1]), bytes.subarray(bounds[b], bounds[b + 1])) === 0;
    });
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
 * FNV-1a over the encoded strings, on from what the columns before have left in `hashes`; equal names have equal encodings, as `checkBlock`
 * takes the shortest length only.
 */
function hashStrings(bytes: Uint8Array, rows: number, hashes: Int32Array, starts: Uint32Array): void {
  const view = viewOf(bytes);
  let at = 0;
  starts[0] = 0;
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
