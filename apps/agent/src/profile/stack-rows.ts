// SPDX-License-Identifier: Apache-2.0
import { foldRows, OTHER, type Signal, type WireRow } from "@waggle/signals";
import type { ProcessName } from "../snapshot/process-registry.ts";

/**
 * Numbers of 64 bits, one per measure, each as the sum of its lower and the sum of its upper halves: exact for two million of them, which is more than a map
 * holds.
 */
type Halves = number[];

type Group = {
  readonly process: string;
  readonly unit: string;
  readonly stack: string;
  sums: Halves;
};

/** Rows of a stack signal in one window: by process, unit and stack. */
export class StackRows {
  readonly #signal: Signal;
  readonly #groups = new Map<string, Group>();
  readonly #other: Halves;
  #isOtherUsed = false;
  #kept: readonly Group[] | undefined;
  #cutRows = 0;

  constructor(signal: Signal) {
    this.#signal = signal;
    this.#other = new Array<number>(signal.measures.length * 2).fill(0);
  }

  /** Adds values that lie at `at`, one per measure, the lower half of each first. */
  add(name: ProcessName, stack: string, values: readonly number[], at = 0): void {
    const key = `${name.index} ${stack}`;
    const known = this.#groups.get(key);
    if (known === undefined)
      this.#groups.set(key, { process: name.process, unit: name.unit, stack, sums: values.slice(at, at + this.#other.length) });
    else addTo(known.sums, values, at);
  }

  /** Adds what had no room in the map. */
  addOther(values: readonly number[]): void {
    if (values.every((value) => value === 0)) return;
    this.#isOtherUsed = true;
    addTo(this.#other, values);
  }

  /** Keeps at most `rowsMax` rows: those with little of the last measure give up the stack, then more (`fold` of the catalogue), those of watched processes last. Once, when all is added. */
  cutTo(rowsMax: number, watched: ReadonlySet<string> = new Set()): void {
    const last = (this.#signal.measures.length - 1) * 2;
    const other: Group = { process: OTHER, unit: OTHER, stack: OTHER, sums: this.#other };
    const folded = foldRows<Group>(this.#signal, [...this.#groups.values(), ...(this.#isOtherUsed ? [other] : [])], rowsMax, {
      rankOf: ({ sums }) => sizeOf(sums, last),
      isWatched: ({ process }) => watched.has(process),
      add: (into, row) => {
        into.sums = [...into.sums];
        addTo(into.sums, row.sums);
      },
    });
    this.#cutRows = folded.cut;
    this.#kept = folded.rows.sort((a, b) => sizeOf(b.sums, last) - sizeOf(a.sums, last));
    this.#groups.clear();
  }

  /** Stacks that rows name, the heaviest first, each with its share of all rows' last measure. */
  stacks(): { readonly stack: string; readonly share: number }[] {
    const last = (this.#signal.measures.length - 1) * 2;
    const kept = this.#kept ?? [];
    const all = kept.reduce((sum, { sums }) => sum + sizeOf(sums, last), 0);
    return kept.flatMap(({ stack, sums }) => (stack === OTHER ? [] : [{ stack, share: all === 0 ? 0 : sizeOf(sums, last) / all }]));
  }

  /** Rows that are part of another one. */
  get cut(): number {
    return this.#cutRows;
  }

  rows(rowsMax: number): WireRow[] {
    if (this.#kept === undefined) this.cutTo(rowsMax);
    return (this.#kept ?? []).map(({ process, unit, stack, sums }) => this.#row(process, unit, stack, sums));
  }

  /** Sum of a measure, over the rows whose dimensions have these values. */
  total(measure: string, where: Readonly<Record<string, string>> = {}): bigint {
    const wanted = Object.entries(where);
    return this.rows(Number.MAX_SAFE_INTEGER)
      .filter((row) => wanted.every(([name, value]) => row[name] === value))
      .reduce((sum, row) => sum + (row[measure] as bigint), 0n);
  }

  #row(process: string, unit: string, stack: string, sums: Halves): WireRow {
    return { process, unit, stack, ...Object.fromEntries(this.#signal.measures.map(({ name }, index) => [name, exactValueOf(sums, index * 2)])) };
  }
}

function addTo(sums: Halves, values: readonly number[], at = 0): void {
  for (let index = 0; index < sums.length; index++) sums[index] = (sums[index] as number) + (values[at + index] as number);
}

/** Beyond 2^53 without the last digits. */
function sizeOf(halves: Halves, at: number): number {
  return (halves[at] as number) + (halves[at + 1] as number) * 2 ** 32;
}

function exactValueOf(halves: Halves, at: number): bigint {
  return BigInt.asUintN(64, BigInt(halves[at] as number) + (BigInt(halves[at + 1] as number) << 32n));
}
