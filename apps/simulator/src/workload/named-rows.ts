// SPDX-License-Identifier: Apache-2.0
import { type DimensionName, encodeStrings, OTHER, type Signal } from "@waggle/signals";

/** Values of a row's dimensions; those left out are empty: not known. */
export type RowName = Readonly<Partial<Record<DimensionName, string>>>;

const isKnown = (value: string | undefined): boolean => value !== undefined && value !== "" && value !== OTHER;

/** Names of the rows of one signal, encoded once. */
export class NamedRows {
  readonly signal: Signal;
  readonly capacity: number;
  /** By row: 1 if it names a process, 2 if a unit, 3 if both. */
  readonly owners: Uint8Array;
  readonly #columns: readonly { readonly bytes: Uint8Array; readonly ends: Uint32Array }[];

  constructor(signal: Signal, names: readonly RowName[]) {
    this.signal = signal;
    this.capacity = names.length;
    this.owners = Uint8Array.from(names, ({ process, unit }) => (isKnown(process) ? 1 : 0) + (isKnown(unit) ? 2 : 0));
    this.#columns = signal.dimensions.map((dimension) => {
      const encoded = names.map((name) => encodeStrings([name[dimension] ?? ""]));
      const ends = new Uint32Array(names.length + 1);
      encoded.forEach((bytes, row) => {
        ends[row + 1] = (ends[row] as number) + bytes.length;
      });
      return { bytes: Buffer.concat(encoded), ends };
    });
  }

  /** The dimension columns of the first `rows` rows, in Native encoding; shared, not to be written to. */
  columns(rows: number): Uint8Array[] {
    return this.#columns.map(({ bytes, ends }) => bytes.subarray(0, ends[rows]));
  }

  /** Those of the first `count` rows that `picked` lists. */
  picked(picked: Uint32Array, count: number): Uint8Array[] {
    return this.#columns.map(({ bytes, ends }) => {
      let length = 0;
      for (let at = 0; at < count; at++) length += (ends[(picked[at] as number) + 1] as number) - (ends[picked[at] as number] as number);
      const out = new Uint8Array(length);
      let to = 0;
      for (let at = 0; at < count; at++) {
        const [from, end] = [ends[picked[at] as number] as number, ends[(picked[at] as number) + 1] as number];
        // Names are short: a loop is faster than a view and a copy for each.
        for (let byte = from; byte < end; byte++) out[to++] = bytes[byte] as number;
      }
      return out;
    });
  }
}
