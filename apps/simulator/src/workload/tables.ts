// SPDX-License-Identifier: Apache-2.0
import { getSignalOrThrow, type Signal } from "@waggle/signals";
import type { Random } from "../random.ts";
import { CounterColumns, HistogramColumns, type MeasureColumns, type Shape } from "./columns.ts";
import type { NamedRows } from "./named-rows.ts";

/** Rows of one signal in one window, each under a name of the host's list. */
abstract class Table {
  readonly signal: Signal;
  abstract readonly measures: MeasureColumns;
  readonly #picked: Uint32Array;
  rows = 0;
  /** Whether they are the first ones of the list, in its order. */
  #isPrefix = true;

  constructor(signal: Signal, capacity: number) {
    this.signal = signal;
    this.#picked = new Uint32Array(capacity);
  }

  protected pick(name: number): number {
    const row = this.rows++;
    this.#picked[row] = name;
    if (name !== row) this.#isPrefix = false;
    return row;
  }

  begin(): void {
    this.rows = 0;
    this.#isPrefix = true;
  }

  columns(names: NamedRows): Uint8Array[] {
    const { rows } = this;
    return [...(this.#isPrefix ? names.columns(rows) : names.picked(this.#picked, rows)), ...this.measures.bytes(rows)];
  }

  /** What the rows add up to, and how much of it is known to be a process's and a unit's; undefined of a signal that has gauges only. */
  owned(names: NamedRows): { readonly counted: number; readonly withProcess: number; readonly withUnit: number } | undefined {
    const { first } = this.measures;
    if (first === undefined) return undefined;
    let [counted, withProcess, withUnit] = [0, 0, 0];
    for (let row = 0; row < this.rows; row++) {
      const value = first.get(row);
      const owner = names.owners[this.#picked[row] as number] as number;
      counted += value;
      if ((owner & 1) !== 0) withProcess += value;
      if ((owner & 2) !== 0) withUnit += value;
    }
    return { counted, withProcess, withUnit };
  }
}

export class CounterTable extends Table {
  readonly measures: CounterColumns;

  constructor(signal: string, capacity: number) {
    super(getSignalOrThrow(signal), capacity);
    this.measures = new CounterColumns(this.signal.measures, capacity);
  }

  /** @param name position in the host's list; values in the order of the measures, whole and below 2^53 */
  add(name: number, ...values: readonly number[]): void {
    this.measures.set(this.pick(name), ...values);
  }
}

export class HistogramTable extends Table {
  readonly measures: HistogramColumns;

  constructor(signal: string, capacity: number) {
    super(getSignalOrThrow(signal), capacity);
    this.measures = new HistogramColumns(capacity);
  }

  override begin(): void {
    super.begin();
    this.measures.clear();
  }

  /**
   * @param count at least 1
   * @returns sum of the values
   */
  add(name: number, count: number, at: number, shape: Shape, random: Random): number {
    return this.measures.add(this.pick(name), count, at, shape, random);
  }

  /** @param value of each, ns */
  addExactly(name: number, count: number, value: number): void {
    this.measures.addExactly(this.pick(name), count, value);
  }
}

export type SignalTable = CounterTable | HistogramTable;
