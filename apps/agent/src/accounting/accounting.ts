// SPDX-License-Identifier: Apache-2.0
import type { Counted, QuantitySource } from "./quantity-source.ts";

/** Readings of a file in one window, to find a moment in which the probes' own counters stand still. */
const QUIET_TRIES = 3;

/** Both sides' cumulative figures at one moment. */
export interface Reading {
  /** Fields of `struct accounting`. */
  readonly counters: ReadonlyMap<string, bigint>;
  /** The kernel's figures by quantity. */
  readonly kernel: ReadonlyMap<string, bigint>;
}

/** What the rows of a window say. */
export interface WindowTotals {
  /** Whether the signal was measured in the window, so that a missing row is a zero. */
  isMeasured(signal: string): boolean;
  /** Sum of a measure over the signal's rows whose dimensions have the values; undefined if the signal was not read. */
  total(signal: string, measure: string, where?: Readonly<Record<string, string>>): bigint | undefined;
}

export interface Account {
  readonly quantity: string;
  readonly counted: bigint;
  readonly kernel: bigint;
}

/** Holds what the agent counted in each window against what the kernel counted itself. */
export class Accounting {
  readonly #sources: readonly QuantitySource[];
  readonly #readCounters: () => ReadonlyMap<string, bigint>;
  #last: Reading | null = null;
  /** No whole window has been compared yet: rows may hold what happened before the first reading. */
  #isFirst = true;

  /** @param readCounters the fields of `struct accounting`, cumulative */
  constructor(sources: readonly QuantitySource[], readCounters: () => ReadonlyMap<string, bigint>) {
    this.#sources = sources;
    this.#readCounters = readCounters;
  }

  /** Where the first window starts. */
  start(): void {
    this.#last = this.read();
  }

  /** Both sides as they are now. */
  read(): Reading {
    const counters = new Map<string, bigint>();
    const kernel = new Map<string, bigint>();
    for (const source of this.#sources) {
      try {
        this.#readSource(source, counters, kernel);
      } catch {
        // No such file (a /proc of its own, an old kernel): there is nothing to compare with, and no row claims there is.
      }
    }
    return { counters, kernel };
  }

  /** What falls between the two sides' readings shows as a difference until the next window; on a busy host it evens out. */
  #readSource(source: QuantitySource, counters: Map<string, bigint>, kernel: Map<string, bigint>): void {
    const fields = Object.values(source.counted).flatMap((counted) => ("counter" in counted ? [counted.counter] : []));
    let before = fields.length > 0 ? this.#readCounters() : new Map<string, bigint>();
    let figures = source.read();
    for (let tries = 1; fields.length > 0; tries++) {
      const after = this.#readCounters();
      const isQuiet = fields.every((field) => after.get(field) === before.get(field));
      before = after;
      if (isQuiet || tries === QUIET_TRIES) break;
      figures = source.read();
    }
    for (const field of fields) {
      const value = before.get(field);
      if (value !== undefined) counters.set(field, value);
    }
    for (const quantity of Object.keys(source.counted)) {
      const value = figures.get(quantity);
      if (value !== undefined) kernel.set(quantity, value);
    }
  }

  /** The window between the previous reading and `now`, one entry per quantity that both sides know. */
  compare(now: Reading, window: WindowTotals): Account[] {
    const last = this.#last;
    const isFirst = this.#isFirst;
    this.#last = now;
    this.#isFirst = false;
    if (last === null) return [];
    const accounts: Account[] = [];
    const corrected = new Map(now.counters);
    for (const source of this.#sources) {
      for (const [quantity, side] of Object.entries(source.counted)) {
        const rise = riseOf(last.kernel.get(quantity), now.kernel.get(quantity));
        const counted = "counter" in side ? countedBy(side.counter, last, corrected) : isFirst ? undefined : summed(side, window);
        if (rise === undefined || rise < 0n || counted === undefined || !window.isMeasured(side.signal)) continue;
        accounts.push({ quantity, counted, kernel: rise });
      }
    }
    this.#last = { counters: corrected, kernel: now.kernel };
    return accounts;
  }
}

/**
 * How much a counter rose. Some are taken back when an attempt came to nothing; if that falls into the next window, the counter stays where it was
 * (`corrected`) and catches up in the one after.
 */
function countedBy(field: string, last: Reading, corrected: Map<string, bigint>): bigint | undefined {
  const before = last.counters.get(field);
  const rise = riseOf(before, corrected.get(field));
  if (rise === undefined || before === undefined || rise >= 0n) return rise;
  corrected.set(field, before);
  return 0n;
}

function summed(side: Extract<Counted, { measures: readonly string[] }>, window: WindowTotals): bigint | undefined {
  let sum = 0n;
  for (const measure of side.measures) {
    const total = window.total(side.signal, measure, side.where);
    if (total === undefined) return undefined;
    sum += total;
  }
  return sum * (side.times ?? 1n);
}

/** Difference of two 64-bit counters, with its sign. */
function riseOf(from: bigint | undefined, to: bigint | undefined): bigint | undefined {
  return from === undefined || to === undefined ? undefined : BigInt.asIntN(64, to - from);
}
