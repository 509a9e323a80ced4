// SPDX-License-Identifier: Apache-2.0

/** Mixes whole numbers into 32 bits, so that neighbouring hosts and windows get unrelated numbers (the finaliser of MurmurHash3). */
export function mix(...parts: readonly number[]): number {
  let hash = 0x9e3779b9;
  for (const part of parts) {
    hash = finalise(hash ^ (part >>> 0));
    hash = finalise(hash ^ Math.floor(part / 2 ** 32));
  }
  return hash >>> 0;
}

function finalise(value: number): number {
  let hash = value;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) | 0;
}

/** `mix` as a fraction, 0 ≤ fraction < 1. */
export function fractionOf(...parts: readonly number[]): number {
  return mix(...parts) / 2 ** 32;
}

/** A stream of fractions from a 32-bit seed (mulberry32): a few instructions each, as a window of a large fleet takes a million of them. */
export class Random {
  #state = 0;

  seed(value: number): void {
    this.#state = value | 0;
  }

  /** 0 ≤ fraction < 1 */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }
}
