// SPDX-License-Identifier: Apache-2.0

const ENTRIES_MIN = 64;

/**
 * Values by 64-bit ids that lie in maps as two halves. A Map would need a bigint for each look-up, which costs more than all the rest of reading an entry.
 */
export class IdMap<Value> {
  /** Halves of the ids, and the values, in the order they came; undefined: deleted. */
  #low = new Uint32Array(ENTRIES_MIN);
  #high = new Uint32Array(ENTRIES_MIN);
  #values: (Value | undefined)[] = [];
  /** Positions above, plus 1, where their ids' hashes point to or behind that; 0: free. Half of them at least are. */
  #slots = new Uint32Array(ENTRIES_MIN * 2);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get(low: number, high: number): Value | undefined {
    const position = this.#find(low, high);
    return position < 0 ? undefined : this.#values[position];
  }

  set(low: number, high: number, value: Value): void {
    const position = this.#find(low, high);
    if (position >= 0) {
      if (this.#values[position] === undefined) this.#size++;
      this.#values[position] = value;
      return;
    }
    if (this.#values.length === this.#low.length) this.#rebuild();
    this.#append(low, high, value);
  }

  /** Deletes what the test says no to. */
  keep(test: (value: Value) => boolean): void {
    for (const [position, value] of this.#values.entries()) {
      if (value === undefined || test(value)) continue;
      this.#values[position] = undefined;
      this.#size--;
    }
    this.#rebuild();
  }

  *values(): Generator<Value> {
    for (const value of this.#values) if (value !== undefined) yield value;
  }

  clear(): void {
    this.#values.length = 0;
    this.#size = 0;
    this.#slots.fill(0);
  }

  #append(low: number, high: number, value: Value): void {
    const position = this.#values.push(value) - 1;
    this.#low[position] = low;
    this.#high[position] = high;
    this.#size++;
    const mask = this.#slots.length - 1;
    let slot = hashOf(low, high) & mask;
    while (this.#slots[slot] !== 0) slot = (slot + 1) & mask;
    this.#slots[slot] = position + 1;
  }

  /** -1: it never was here. */
  #find(low: number, high: number): number {
    const mask = this.#slots.length - 1;
    for (let slot = hashOf(low, high) & mask; ; slot = (slot + 1) & mask) {
      const position = (this.#slots[slot] as number) - 1;
      if (position < 0 || (this.#low[position] === low && this.#high[position] === high)) return position;
    }
  }

  /** Without what was deleted, and with room for as much again. */
  #rebuild(): void {
    const [low, high, values] = [this.#low, this.#high, this.#values];
    let room = ENTRIES_MIN;
    while (room < this.#size * 2) room *= 2;
    this.#low = new Uint32Array(room);
    this.#high = new Uint32Array(room);
    this.#slots = new Uint32Array(room * 2);
    this.#values = [];
    this.#size = 0;
    for (const [position, value] of values.entries()) if (value !== undefined) this.#append(low[position] as number, high[position] as number, value);
  }
}

/** Ids are hashes themselves, but for a few small numbers. */
function hashOf(low: number, high: number): number {
  const mixed = Math.imul(low ^ Math.imul(high, 0x9e3779b1), 0x85ebca6b);
  return mixed ^ (mixed >>> 15);
}

/** The halves of an id. */
export function halvesOf(id: bigint): readonly [low: number, high: number] {
  return [Number(id & 0xffff_ffffn), Number(id >> 32n)];
}
