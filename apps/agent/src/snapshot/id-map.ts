// SPDX-License-Identifier: Apache-2.0

const ENTRIES_MIN = 64;

/**
 * Values by 64-bit ids that lie in maps as two halves. A Map would need a bigint for each look-up, which costs more than all the rest of reading an entry. Halves may be
 * read as signed or unsigned numbers; signed ones (`readInt32LE`) are cheaper, as V8 makes an object of each number from 2^31 on that is handed to a function.
 */
export class IdMap<Value> {
  /** Halves of the ids, and the values, in the order they came; undefined: deleted, or not used (any more). */
  #low = new Int32Array(ENTRIES_MIN);
  #high = new Int32Array(ENTRIES_MIN);
  #values = new Array<Value | undefined>(ENTRIES_MIN).fill(undefined);
  #used = 0;
  /** Positions above, plus 1, where their ids' hashes point to or behind that; 0: free. Half of them at least are. */
  #slots = new Uint32Array(ENTRIES_MIN * 2);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get(low: number, high: number): Value | undefined {
    const position = this.#find(low | 0, high | 0);
    return position < 0 ? undefined : this.#values[position];
  }

  set(low: number, high: number, value: Value): void {
    const position = this.#find(low | 0, high | 0);
    if (position >= 0) {
      if (this.#values[position] === undefined) this.#size++;
      this.#values[position] = value;
      return;
    }
    if (this.#used === this.#low.length) this.#rebuild();
    this.#append(low | 0, high | 0, value);
  }

  /** Deletes what the test says no to. */
  keep(test: (value: Value) => boolean): void {
    for (let position = 0; position < this.#used; position++) {
      const value = this.#values[position];
      if (value === undefined || test(value)) continue;
      this.#values[position] = undefined;
      this.#size--;
    }
    this.#rebuild();
  }

  *values(): Generator<Value> {
    for (let position = 0; position < this.#used; position++) {
      const value = this.#values[position];
      if (value !== undefined) yield value;
    }
  }

  clear(): void {
    // Not by its length: an array without elements gives up its room, and grows anew in every window.
    this.#values.fill(undefined, 0, this.#used);
    this.#used = 0;
    this.#size = 0;
    this.#slots.fill(0);
  }

  #append(low: number, high: number, value: Value): void {
    const position = this.#used++;
    this.#values[position] = value;
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
    const [low, high, values, used] = [this.#low, this.#high, this.#values, this.#used];
    let room = ENTRIES_MIN;
    while (room < this.#size * 2) room *= 2;
    this.#low = new Int32Array(room);
    this.#high = new Int32Array(room);
    this.#slots = new Uint32Array(room * 2);
    this.#values = new Array<Value | undefined>(room).fill(undefined);
    this.#used = 0;
    this.#size = 0;
    for (let position = 0; position < used; position++) {
      const value = values[position];
      if (value !== undefined) this.#append(low[position] as number, high[position] as number, value);
    }
  }
}

/** Ids are hashes themselves, but for a few small numbers. */
function hashOf(low: number, high: number): number {
  const mixed = Math.imul(low ^ Math.imul(high, 0x9e3779b1), 0x85ebca6b);
  return mixed ^ (mixed >>> 15);
}

/** The halves of an id, as signed numbers. */
export function halvesOf(id: bigint): readonly [low: number, high: number] {
  return [Number(BigInt.asIntN(32, id)), Number(BigInt.asIntN(32, id >> 32n))];
}
