// SPDX-License-Identifier: Apache-2.0
import { BUCKET_COUNT, type Signal, wireColumns } from "@waggle/signals";

/**
 * Checks what the rows of a block say, once `checkBlock` has found their encoding good: no two rows have the same name, and the
 * buckets of every histogram add up to its count.
 * @returns undefined if so, otherwise what is wrong, naming signal, column and row
 */
export function checkRows(signal: Signal, rows: number, columns: readonly Uint8Array[]): string | undefined {
  return (signal.kind === "histogram" ? checkHistograms(signal, rows, columns) : undefined) ?? checkNames(signal, rows, columns);
}

/** Bucket indexes beyond the grid would read back as infinite durations; ones out of order as wrong percentiles. */
function checkHistograms(signal: Signal, rows: number, columns: readonly Uint8Array[]): string | undefined {
  const at = (name: string): DataView => {
    const bytes = columns[wireColumns(signal).findIndex((column) => column.name === name)] as Uint8Array;
    return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  };
  const [count, min, max, k, c] = [at("count"), at("min"), at("max"), at("k"), at("c")];
  const items = rows * 8;
  let item = 0;
  for (let row = 0; row < rows; row++) {
    const end = k.getUint32(row * 8, true);
    const expected = count.getBigUint64(row * 8, true);
    let total = 0n;
    for (let last = -1; item < end; item++) {
      const bucket = k.getUint16(items + item * 2, true);
      if (bucket >= BUCKET_COUNT) return `${signal.name}.k: bucket ${bucket} is beyond the grid of ${BUCKET_COUNT}`;
      if (bucket <= last) return `${signal.name}.k: row ${row} has bucket ${bucket} behind ${last}; buckets ascend`;
      last = bucket;
      total += c.getBigUint64(items + item * 8, true);
    }
    if (total !== expected) return `${signal.name}.c: the buckets of row ${row} hold ${total}, its count is ${expected}`;
    if (expected > 0n && min.getBigUint64(row * 8, true) > max.getBigUint64(row * 8, true))
      return `${signal.name}.min: row ${row} has a min above its max`;
  }
  return undefined;
}

/** Rows of one name would replace each other in storage, and whatever all but one of them counted would be gone without a word. */
function checkNames(signal: Signal, rows: number, columns: readonly Uint8Array[]): string | undefined {
  if (rows < 2) return undefined;
  // A signal is in one state per window: two would count its time twice.
  const named = signal.name === "agent_coverage" ? 1 : signal.dimensions.length;
  const names = columns.slice(0, named);
  const starts = names.map(() => new Uint32Array(rows + 1));
  // FNV-1a over the encoded strings; equal names have equal encodings, as `checkBlock` takes the shortest length only.
  const hashes = new Uint32Array(rows).fill(0x811c9dc5);
  for (const [column, bytes] of names.entries()) {
    const ends = starts[column] as Uint32Array;
    let at = 0;
    for (let row = 0; row < rows; row++) {
      let length = 0;
      let shift = 0;
      let byte: number;
      let hash = hashes[row] as number;
      do {
        byte = bytes[at++] as number;
        length |= (byte & 0x7f) << shift;
        shift += 7;
        hash = Math.imul(hash ^ byte, 0x01000193);
      } while (byte >= 0x80);
      for (const end = at + length; at < end; at++) hash = Math.imul(hash ^ (bytes[at] as number), 0x01000193);
      hashes[row] = hash;
      ends[row + 1] = at;
    }
  }
  const isSame = (a: number, b: number): boolean =>
    names.every((bytes, column) => {
      const bounds = starts[column] as Uint32Array;
      return Buffer.compare(bytes.subarray(bounds[a], bounds[a + 1]), bytes.subarray(bounds[b], bounds[b + 1])) === 0;
    });
  // An open table of row + 1, at most half full.
  const mask = 2 ** Math.ceil(Math.log2(rows * 2)) - 1;
  const table = new Uint32Array(mask + 1);
  for (let row = 0; row < rows; row++) {
    let slot = (hashes[row] as number) & mask;
    for (; table[slot] !== 0; slot = (slot + 1) & mask) {
      const other = (table[slot] as number) - 1;
      if (hashes[other] === hashes[row] && isSame(other, row))
        return `${signal.name}: rows ${other} and ${row} have the same ${named === 1 ? signal.dimensions[0] : "dimensions"}; each may stand there once`;
    }
    table[slot] = row + 1;
  }
  return undefined;
}
