// SPDX-License-Identifier: Apache-2.0
import type { WireRow } from "@waggle/signals";
import type { RowAccumulator } from "./row-accumulator.ts";

/**
 * The rows of one window by signal, made when they are asked for. As numbers in typed arrays they take a fraction of what they
 * take as JavaScript objects, and whoever walks through signal by signal never holds more than one signal's objects.
 */
export class WindowRows implements Iterable<[signal: string, rows: WireRow[]]> {
  readonly #rowsMax: number;
  readonly #accumulators = new Map<string, RowAccumulator>();

  /** @param rowsMax most rows of one signal; the rest is summed into its `~other` row */
  constructor(rowsMax: number) {
    this.#rowsMax = rowsMax;
  }

  set(signal: string, accumulator: RowAccumulator): void {
    this.#accumulators.set(signal, accumulator);
  }

  /** True for a signal that was read, also if nothing was counted. */
  has(signal: string): boolean {
    return this.#accumulators.has(signal);
  }

  /** Sum of a measure over the signal's rows whose dimensions have these values; undefined if it was not read. To be asked before the rows are. */
  total(signal: string, measure: string, where?: Readonly<Record<string, string>>): bigint | undefined {
    return this.#accumulators.get(signal)?.total(measure, where);
  }

  /** The signal's rows, made anew at each call; undefined if it was not read. */
  get(signal: string): WireRow[] | undefined {
    return this.#accumulators.get(signal)?.rows(this.#rowsMax);
  }

  *[Symbol.iterator](): Iterator<[string, WireRow[]]> {
    for (const [signal, accumulator] of this.#accumulators) yield [signal, accumulator.rows(this.#rowsMax)];
  }
}
