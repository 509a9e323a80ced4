// SPDX-License-Identifier: Apache-2.0
import { OTHER, type Signal, type WireRow } from "@waggle/signals";
import type { ProcessName } from "../snapshot/process-registry.ts";

interface Group {
  readonly name: ProcessName;
  readonly stack: string;
  readonly sums: bigint[];
}

/** Rows of a stack signal in one window: by process, unit and stack. */
export class StackRows {
  readonly #signal: Signal;
  readonly #groups = new Map<string, Group>();
  readonly #other: bigint[];
  #isOtherUsed = false;
  #kept: readonly Group[] | undefined;
  #cutRows = 0;

  constructor(signal: Signal) {
    this.#signal = signal;
    this.#other = signal.measures.map(() => 0n);
  }

  /** Adds values, one per measure. */
  add(name: ProcessName, stack: string, values: readonly bigint[]): void {
    const key = `${name.index} ${stack}`;
    const known = this.#groups.get(key);
    if (known === undefined) this.#groups.set(key, { name, stack, sums: [...values] });
    else addTo(known.sums, values);
  }

  /** Adds what had no room in the map. */
  addOther(values: readonly bigint[]): void {
    if (values.every((value) => value === 0n)) return;
    this.#isOtherUsed = true;
    addTo(this.#other, values);
  }

  /** Keeps at most `rowsMax` rows, those with the most of the last measure; the others are summed into `~other`, watched processes last. Once, when all is added. */
  cutTo(rowsMax: number, watched: ReadonlySet<string> = new Set()): void {
    let groups = [...this.#groups.values()];
    const last = this.#signal.measures.length - 1;
    groups.sort((a, b) => compare(b.sums[last] as bigint, a.sums[last] as bigint));
    if (groups.length + (this.#isOtherUsed ? 1 : 0) > rowsMax) {
      const [first, second] = [true, false].map((isWatched) => groups.filter(({ name }) => watched.has(name.process) === isWatched));
      groups = [...(first as Group[]), ...(second as Group[])];
      this.#isOtherUsed = true;
      this.#cutRows = groups.length - (rowsMax - 1);
      for (const { sums } of groups.slice(rowsMax - 1)) addTo(this.#other, sums);
      groups = groups.slice(0, rowsMax - 1);
    }
    this.#kept = groups;
    this.#groups.clear();
  }

  /** Stacks that rows name, the heaviest first. */
  stacks(): string[] {
    return (this.#kept ?? []).map(({ stack }) => stack);
  }

  /** Rows that were summed into `~other`. */
  get cut(): number {
    return this.#cutRows;
  }

  rows(rowsMax: number): WireRow[] {
    if (this.#kept === undefined) this.cutTo(rowsMax);
    const rows = (this.#kept ?? []).map(({ name, stack, sums }) => this.#row(name.process, name.unit, stack, sums));
    if (this.#isOtherUsed) rows.push(this.#row(OTHER, OTHER, OTHER, this.#other));
    return rows;
  }

  /** Sum of a measure, over the rows whose dimensions have these values. */
  total(measure: string, where: Readonly<Record<string, string>> = {}): bigint {
    const wanted = Object.entries(where);
    return this.rows(Number.MAX_SAFE_INTEGER)
      .filter((row) => wanted.every(([name, value]) => row[name] === value))
      .reduce((sum, row) => sum + (row[measure] as bigint), 0n);
  }

  #row(process: string, unit: string, stack: string, sums: readonly bigint[]): WireRow {
    return { process, unit, stack, ...Object.fromEntries(this.#signal.measures.map(({ name }, index) => [name, sums[index] as bigint])) };
  }
}

function addTo(sums: bigint[], values: readonly bigint[]): void {
  values.forEach((value, index) => {
    sums[index] = (sums[index] as bigint) + value;
  });
}

function compare(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
