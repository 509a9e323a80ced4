// SPDX-License-Identifier: Apache-2.0

/**
 * Names of ranges of addresses, found so far: what was looked up once is not looked up again. Ranges do not overlap. Full, it starts over.
 */
export class RangeTable {
  readonly #rangesMax: number;
  /** Ascending. */
  #starts: number[] = [];
  #ends: number[] = [];
  #names: string[] = [];

  constructor(rangesMax: number) {
    this.#rangesMax = rangesMax;
  }

  get size(): number {
    return this.#starts.length;
  }

  /** Name of the range that holds the address; undefined if none is known. */
  get(address: number): string | undefined {
    const index = this.#at(address);
    return index >= 0 && address < (this.#ends[index] as number) ? this.#names[index] : undefined;
  }

  /** Adds [start, end); parts of it that are known already keep their names. */
  add(start: number, end: number, name: string): void {
    if (this.#starts.length >= this.#rangesMax) this.clear();
    const before = this.#at(start);
    const from = before >= 0 ? Math.max(start, this.#ends[before] as number) : start;
    const to = Math.min(end, this.#starts[before + 1] ?? end);
    if (from >= to) return;
    this.#starts.splice(before + 1, 0, from);
    this.#ends.splice(before + 1, 0, to);
    this.#names.splice(before + 1, 0, name);
  }

  clear(): void {
    this.#starts = [];
    this.#ends = [];
    this.#names = [];
  }

  /** Position of the last range that starts at or before the address; -1 if there is none. */
  #at(address: number): number {
    let low = 0;
    let high = this.#starts.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#starts[middle] as number) <= address) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }
}

/** Position of the first of ascending numbers that is not below `value`. */
export function lowerBound(ascending: Float64Array, value: number): number {
  let low = 0;
  let high = ascending.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((ascending[middle] as number) < value) low = middle + 1;
    else high = middle;
  }
  return low;
}
