// SPDX-License-Identifier: Apache-2.0
import { BUCKET_COUNT, bucketIndex } from "@waggle/signals";
import type { Random } from "../random.ts";

/** Where a bucket's values are taken to lie when a sum is made of them: its geometric middle, ns. */
const middles = Float64Array.from({ length: BUCKET_COUNT }, (_, index) => Math.floor(2 ** ((index + 0.5) / 8)));

/** A distribution around a typical value: how far its buckets lie from that value's, and what share of the values each takes. */
export interface Shape {
  readonly offsets: Int16Array;
  readonly shares: Float64Array;
}

/** @param points ascending offsets, at most 8; their shares add up to 1 */
const shape = (...points: readonly (readonly [offset: number, share: number])[]): Shape => ({
  offsets: Int16Array.from(points, ([offset]) => offset),
  shares: Float64Array.from(points, ([, share]) => share),
});

export const steady = shape([-4, 0.05], [-2, 0.2], [-1, 0.25], [0, 0.22], [2, 0.14], [4, 0.08], [8, 0.04], [12, 0.02]);
export const heavyTail = shape([-3, 0.1], [-1, 0.3], [1, 0.25], [6, 0.14], [14, 0.1], [24, 0.06], [34, 0.03], [44, 0.02]);
export const stalled = shape([6, 0.1], [12, 0.2], [16, 0.25], [18, 0.2], [22, 0.12], [28, 0.08], [36, 0.05]);

/** UInt64 values of one column, written as two 32-bit halves: BigInt would be most of the cost of a row. */
export class NumberColumn {
  readonly #words: Uint32Array;
  readonly #bytes: Uint8Array;

  constructor(capacity: number) {
    this.#words = new Uint32Array(capacity * 2);
    this.#bytes = new Uint8Array(this.#words.buffer);
  }

  /** @param value whole, 0 ≤ value < 2^53 */
  set(row: number, value: number): void {
    this.#words[row * 2] = value;
    this.#words[row * 2 + 1] = value / 2 ** 32;
  }

  get(row: number): number {
    return (this.#words[row * 2] as number) + (this.#words[row * 2 + 1] as number) * 2 ** 32;
  }

  bytes(rows: number): Uint8Array {
    return this.#bytes.subarray(0, rows * 8);
  }
}

/** The measure columns of a signal, filled row by row. */
export interface MeasureColumns {
  /** What its rows are added up by: the first sum, of a histogram the count. undefined: it has gauges only. */
  readonly first: NumberColumn | undefined;
  bytes(rows: number): Uint8Array[];
}

/** Of a counter: a column per measure. */
export class CounterColumns implements MeasureColumns {
  readonly first: NumberColumn | undefined;
  readonly #columns: readonly NumberColumn[];

  constructor(measures: readonly { readonly kind: "sum" | "gauge" }[], capacity: number) {
    this.#columns = measures.map(() => new NumberColumn(capacity));
    this.first = this.#columns[measures.findIndex(({ kind }) => kind === "sum")];
  }

  /** Values in the order of the measures. */
  set(row: number, ...values: readonly number[]): void {
    for (let measure = 0; measure < values.length; measure++) (this.#columns[measure] as NumberColumn).set(row, values[measure] as number);
  }

  get(row: number, measure: number): number {
    return (this.#columns[measure] as NumberColumn).get(row);
  }

  bytes(rows: number): Uint8Array[] {
    return this.#columns.map((column) => column.bytes(rows));
  }
}

/** Of a histogram: count, sum, min, max, k and c. */
export class HistogramColumns implements MeasureColumns {
  readonly first: NumberColumn;
  readonly #sum: NumberColumn;
  readonly #min: NumberColumn;
  readonly #max: NumberColumn;
  readonly #ends: NumberColumn;
  readonly #k: Uint16Array;
  readonly #c: NumberColumn;
  readonly #counts = new Float64Array(8);
  #items = 0;

  constructor(capacity: number) {
    [this.first, this.#sum, this.#min, this.#max, this.#ends] = Array.from({ length: 5 }, () => new NumberColumn(capacity)) as [
      NumberColumn,
      NumberColumn,
      NumberColumn,
      NumberColumn,
      NumberColumn,
    ];
    this.#k = new Uint16Array(capacity * 8);
    this.#c = new NumberColumn(capacity * 8);
  }

  clear(): void {
    this.#items = 0;
  }

  /**
   * Adds `count` values (at least 1) around bucket `at` in this shape. Rows are added in their order.
   * @returns their sum
   */
  add(row: number, count: number, at: number, { offsets, shares }: Shape, random: Random): number {
    const first = this.#items;
    const points = offsets.length;
    let left = count;
    for (let point = 0; point < points; point++) {
      const share = count * (shares[point] as number);
      // Rounded up or down by chance, so that rare values do turn up on quiet hosts.
      const values = point === points - 1 && first === this.#items ? left : Math.min(left, Math.floor(share + random.next()));
      if (values === 0) continue;
      this.#k[this.#items] = Math.min(BUCKET_COUNT - 1, Math.max(0, at + (offsets[point] as number)));
      this.#c.set(this.#items, values);
      this.#counts[this.#items++ - first] = values;
      left -= values;
    }
    // What rounding left over goes to the first bucket that was hit.
    if (left > 0) {
      const values = (this.#counts[0] as number) + left;
      this.#counts[0] = values;
      this.#c.set(first, values);
    }
    let sum = 0;
    for (let item = first; item < this.#items; item++) sum += (this.#counts[item - first] as number) * (middles[this.#k[item] as number] as number);
    this.first.set(row, count);
    this.#sum.set(row, sum);
    this.#min.set(row, middles[this.#k[first] as number] as number);
    this.#max.set(row, middles[this.#k[this.#items - 1] as number] as number);
    this.#ends.set(row, this.#items);
    return sum;
  }

  /** Adds `count` times the same value (ns), as of what a timer ends. Rows are added in their order. */
  addExactly(row: number, count: number, value: number): void {
    this.#k[this.#items] = bucketIndex(BigInt(value));
    this.#c.set(this.#items++, count);
    this.first.set(row, count);
    this.#sum.set(row, count * value);
    this.#min.set(row, value);
    this.#max.set(row, value);
    this.#ends.set(row, this.#items);
  }

  bytes(rows: number): Uint8Array[] {
    const ends = this.#ends.bytes(rows);
    const k = new Uint8Array(this.#k.buffer, 0, this.#items * 2);
    return [
      this.first.bytes(rows),
      this.#sum.bytes(rows),
      this.#min.bytes(rows),
      this.#max.bytes(rows),
      Buffer.concat([ends, k]),
      Buffer.concat([ends, this.#c.bytes(this.#items)]),
    ];
  }
}
