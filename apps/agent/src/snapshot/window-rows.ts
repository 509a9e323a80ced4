// SPDX-License-Identifier: Apache-2.0
import type { WireRow } from "@waggle/signals";
import type { EncodedRows } from "../window/source.ts";

/** Makes one signal's rows of one window. */
export interface RowMaker {
  /** At most `rowsMax` rows (of the first call), made anew at each call; those of watched processes are the last to go into `~other`. */
  rows(rowsMax: number, watched?: ReadonlySet<string>): WireRow[];
  /** The same rows as they go over the wire. Absent of a maker of few rows. */
  encoded?(rowsMax: number, watched?: ReadonlySet<string>): EncodedRows;
  /** Sum of a measure over the rows whose dimensions have these values. To be asked before the rows are. */
  total(measure: string, where?: Readonly<Record<string, string>>): bigint;
  /** Told when its rows were taken for the wire: nobody asks it for anything any more. */
  release?(): void;
  /** How many rows of their own were summed into `~other`. To be asked after the rows were. */
  readonly cut: number;
}

/**
 * The rows of one window by signal, made when they are asked for; walking through them is done once, and the last that is asked of them. As numbers in typed arrays they take a fraction of what they
 * take as JavaScript objects, and whoever walks through signal by signal never holds more than one signal's objects.
 */
export class WindowRows implements Iterable<[signal: string, rows: WireRow[] | EncodedRows]> {
  readonly #rowsMax: (signal: string) => number;
  readonly #watched: ReadonlySet<string>;
  readonly #makers = new Map<string, RowMaker>();
  /** Rows that were summed into `~other`, by signal, of those whose rows were asked for. */
  readonly cuts = new Map<string, number>();

  /**
   * @param rowsMax most rows of a signal; the rest is summed into its `~other` row
   * @param watched names of processes whose rows are summed last
   */
  constructor(rowsMax: (signal: string) => number, watched: ReadonlySet<string> = new Set()) {
    this.#rowsMax = rowsMax;
    this.#watched = watched;
  }

  set(signal: string, maker: RowMaker): void {
    this.#makers.set(signal, maker);
  }

  /** True for a signal that was read, also if nothing was counted. */
  has(signal: string): boolean {
    return this.#makers.has(signal);
  }

  /** Sum of a measure over the signal's rows whose dimensions have these values; undefined if it was not read. To be asked before the rows are. */
  total(signal: string, measure: string, where?: Readonly<Record<string, string>>): bigint | undefined {
    return this.#makers.get(signal)?.total(measure, where);
  }

  /** The signal's rows, made anew at each call; undefined if it was not read. */
  get(signal: string): WireRow[] | undefined {
    const maker = this.#makers.get(signal);
    if (maker === undefined) return undefined;
    const rows = maker.rows(this.#rowsMax(signal), this.#watched);
    this.#noteCut(signal, maker);
    return rows;
  }

  *[Symbol.iterator](): Iterator<[string, WireRow[] | EncodedRows]> {
    for (const [signal, maker] of this.#makers) {
      const rowsMax = this.#rowsMax(signal);
      const rows = maker.encoded?.(rowsMax, this.#watched) ?? maker.rows(rowsMax, this.#watched);
      this.#noteCut(signal, maker);
      yield [signal, rows];
      maker.release?.();
    }
  }

  #noteCut(signal: string, maker: RowMaker): void {
    if (maker.cut > 0) this.cuts.set(signal, maker.cut);
  }
}
