// SPDX-License-Identifier: Apache-2.0

const ROOM_MIN = 256;

/** Numbers keys of a BPF map by the bytes of theirs that matter, in the order they are added. A Map would need a string for each look-up. */
export class KeyTable {
  /** The words (of 4 bytes) of a key that matter, and which of their bits. */
  readonly #wordAt: Uint32Array;
  readonly #mask: Uint32Array;
  /** Numbers of keys, plus 1, where their hashes point to or behind that; 0: free. Half of them at least are. */
  #slots = new Uint32Array(ROOM_MIN * 2);
  #words: Int32Array;
  #size = 0;

  /** @param mask a key's length; bits that are set matter. Throws a TypeError if that is no whole number of words. */
  constructor(mask: Buffer) {
    if (mask.length % 4 !== 0) throw new TypeError(`${mask.length} bytes are no whole words`);
    const words = Array.from({ length: mask.length / 4 }, (_, word) => mask.readUInt32LE(word * 4));
    this.#wordAt = Uint32Array.from(words.keys()).filter((word) => words[word] !== 0);
    this.#mask = this.#wordAt.map((word) => words[word] as number);
    this.#words = new Int32Array(ROOM_MIN * this.#wordAt.length);
  }

  /** Keys that were added; they are numbered from 0. */
  get size(): number {
    return this.#size;
  }

  /** Number of the key that starts at word `at`; -1 if it was not added. */
  find(words: Uint32Array, at: number): number {
    const mask = this.#slots.length - 1;
    for (let slot = this.#hashOf(words, at) & mask; ; slot = (slot + 1) & mask) {
      const number = (this.#slots[slot] as number) - 1;
      if (number < 0 || this.#isKey(number, words, at)) return number;
    }
  }

  /** Adds a key that `find` does not know; returns its number. */
  add(words: Uint32Array, at: number): number {
    if (this.#size * 2 >= this.#slots.length) this.#grow();
    const number = this.#size++;
    const count = this.#wordAt.length;
    for (let i = 0; i < count; i++) this.#words[number * count + i] = (words[at + (this.#wordAt[i] as number)] as number) & (this.#mask[i] as number);
    this.#place(number, this.#hashOf(words, at));
    return number;
  }

  clear(): void {
    this.#slots = new Uint32Array(ROOM_MIN * 2);
    this.#words = new Int32Array(ROOM_MIN * this.#wordAt.length);
    this.#size = 0;
  }

  #hashOf(words: Uint32Array, at: number): number {
    let hash = 0;
    for (let i = 0; i < this.#wordAt.length; i++) hash = mixed(hash, (words[at + (this.#wordAt[i] as number)] as number) & (this.#mask[i] as number));
    return hash;
  }

  #isKey(number: number, words: Uint32Array, at: number): boolean {
    const count = this.#wordAt.length;
    for (let i = 0; i < count; i++)
      if (((words[at + (this.#wordAt[i] as number)] as number) & (this.#mask[i] as number)) !== this.#words[number * count + i]) return false;
    return true;
  }

  #place(number: number, hash: number): void {
    const mask = this.#slots.length - 1;
    let slot = hash & mask;
    while (this.#slots[slot] !== 0) slot = (slot + 1) & mask;
    this.#slots[slot] = number + 1;
  }

  #grow(): void {
    const count = this.#wordAt.length;
    const words = new Int32Array(this.#words.length * 2);
    words.set(this.#words);
    this.#words = words;
    this.#slots = new Uint32Array(this.#slots.length * 2);
    for (let number = 0; number < this.#size; number++) {
      let hash = 0;
      for (let i = 0; i < count; i++) hash = mixed(hash, words[number * count + i] as number);
      this.#place(number, hash);
    }
  }
}

function mixed(hash: number, word: number): number {
  const product = Math.imul(hash ^ word, 0x9e3779b1);
  return product ^ (product >>> 15);
}
