// SPDX-License-Identifier: Apache-2.0
import { BUCKET_COUNT, BUCKET_NONE, dimensions, encodeStrings, OTHER, type Signal, stringBytesMaxOf, type WireRow } from "@waggle/signals";
import type { StructLayout } from "../libbpf/btf.ts";
import { truncate } from "../window/assemble.ts";
import type { EncodedRows, Owned } from "../window/source.ts";
import { type DimensionNames, type DimensionReader, dimensionReader } from "./dimension-text.ts";
import { fieldOf } from "./layout.ts";
import type { ProcessName, ProcessRegistry } from "./process-registry.ts";

const UINT64_MAX = (1n << 64n) - 1n;
/** Positions of the extremes among a histogram's sums: count, sum, min, max. */
const MIN = 2;
const MAX = 3;
/** More than a map has entries. */
const POSITIONS = 2 ** 20;
/** The row that takes what has no row of its own. */
const OTHER_GROUP = 0;

/**
 * Turns map entries (bytes) into rows of one signal. Entries whose dimensions read alike (two process ids with one name; the
 * buckets of a histogram) become one row.
 *
 * A busy host has ten thousand entries in a window, so numbers stay in typed arrays until the rows are made: a BigInt per
 * number, or a Map per histogram, would cost more than reading the maps.
 */
export class RowAccumulator {
  readonly #signal: Signal;
  readonly #registry: ProcessRegistry;
  readonly #isHistogram: boolean;
  readonly #keySize: number;
  /** Size of a value in 64-bit words, and which of them are wanted. */
  readonly #valueWords: number;
  readonly #wanted: readonly number[];
  /** -1: the signal does not say whose it is. */
  readonly #processAt: number;
  readonly #bucketAt: number;
  /** The key's bytes that are dimensions, without process and bucket. */
  readonly #dimensionsFrom: number;
  readonly #dimensionsTo: number;
  readonly #readers: readonly DimensionReader[];
  /** Position of each of their texts in `#texts`. */
  readonly #textOf: ReadonlyMap<string, number>;

  /** Groups by process name and dimension bytes: a number where these are 4 bytes, else a string. */
  readonly #groups = new Map<number | string, number>();
  /** The same groups by process name and dimension texts. */
  readonly #groupsByText = new Map<string, number>();
  readonly #names: (ProcessName | null)[] = [];
  readonly #texts: (readonly string[])[] = [];
  /** `#wanted.length` words per group. */
  #sums = new BigUint64Array(64);
  #isOtherUsed = false;
  #cut: { readonly kept: readonly number[]; readonly home: Uint32Array } | undefined;
  /** Non-empty buckets of a histogram, in the order they came. */
  #bucketGroup = new Uint32Array(64);
  #bucketIndex = new Uint16Array(64);
  #bucketCount = new BigUint64Array(64);
  #buckets = 0;
  /** Events under a process id that never registered; shown as unknown. */
  unregistered = 0n;

  /** Throws a TypeError if the structs do not fit the signal. */
  constructor(signal: Signal, registry: ProcessRegistry, layouts: ReadonlyMap<string, StructLayout>, dimensionNames: DimensionNames) {
    if (signal.bpf === null) throw new TypeError(`signal ${signal.name} has no BPF map`);
    const key = layouts.get(`${signal.bpf.map}_key`);
    const value = layouts.get(`${signal.bpf.map}_value`);
    if (key === undefined || value === undefined) throw new TypeError(`no structs of map ${signal.bpf.map}`);
    this.#signal = signal;
    this.#registry = registry;
    this.#isHistogram = signal.kind === "histogram";
    this.#keySize = key.size;
    this.#valueWords = value.size / 8;
    this.#processAt = signal.dimensions.some((name) => dimensions[name].field === "process_id") ? fieldOf(key, "process_id").offset : -1;
    this.#bucketAt = signal.bpf.bucketed ? fieldOf(key, "bucket").offset : -1;
    const names = signal.dimensions.filter((name) => dimensions[name].field !== "process_id");
    const fields = names.map((name) => fieldOf(key, dimensions[name].field ?? name));
    this.#dimensionsFrom = fields.length === 0 ? 0 : Math.min(...fields.map((field) => field.offset));
    this.#dimensionsTo = fields.length === 0 ? 0 : Math.max(...fields.map((field) => field.offset + field.size));
    for (const at of [this.#processAt, this.#bucketAt]) {
      if (at >= 0 && at >= this.#dimensionsFrom && at < this.#dimensionsTo)
        throw new TypeError(`struct ${key.name}: process_id comes first and bucket last`);
    }
    this.#readers = names.map((name, index) => dimensionReader(name, fields[index] as (typeof fields)[number], dimensionNames));
    this.#textOf = new Map(names.map((name, index) => [name, index]));
    const bucketedMeasures = this.#isHistogram ? ["count", "sum", "min", "max"] : ["count"];
    const measures = signal.bpf.bucketed ? bucketedMeasures : signal.measures.map((measure) => measure.name);
    this.#wanted = measures.map((name) => fieldOf(value, name).offset / 8);
    this.#newGroup(null, []);
  }

  /** Adds `count` entries as they lie in the map. */
  add(keys: Buffer, values: Buffer, count: number): void {
    const words = wordsOf(values);
    // A word of an array is a tenth of what readBigUInt64LE() costs, and this is done for every entry.
    const keyWords = this.#keySize % 8 === 0 && this.#processAt % 8 === 0 ? wordsOf(keys) : null;
    const isShort = this.#dimensionsTo - this.#dimensionsFrom === 4;
    for (let i = 0; i < count; i++) {
      const at = i * this.#keySize;
      const bucket = this.#bucketAt < 0 ? 0 : keys.readUInt16LE(at + this.#bucketAt);
      if (bucket === BUCKET_NONE && this.#isHistogram) continue;
      const name =
        this.#processAt < 0
          ? this.#registry.unknown
          : this.#nameOf(
              keyWords === null ? keys.readBigUInt64LE(at + this.#processAt) : (keyWords[(at + this.#processAt) / 8] as bigint),
              words,
              i * this.#valueWords,
            );
      const id = isShort
        ? name.index * 2 ** 32 + keys.readUInt32LE(at + this.#dimensionsFrom)
        : `${name.index} ${keys.toString("latin1", at + this.#dimensionsFrom, at + this.#dimensionsTo)}`;
      let group = this.#groups.get(id);
      if (group === undefined) {
        group = this.#groupOf(
          name,
          this.#readers.map((read) => read(keys, at)),
        );
        this.#groups.set(id, group);
      }
      this.#merge(group, bucket, words, i * this.#valueWords);
    }
  }

  /**
   * Adds the slots of an overflow array: slot i is bucket i of a bucketed map, the last one its BUCKET_NONE; slot 0 is all of
   * another map. Empty slots add nothing.
   */
  addOther(values: Buffer, count: number): void {
    const words = wordsOf(values);
    for (let slot = 0; slot < count; slot++) {
      if (slot === BUCKET_COUNT && this.#isHistogram) continue;
      const at = slot * this.#valueWords;
      if (this.#wanted.every((word, index) => this.#isExtreme(index) || words[at + word] === 0n)) continue;
      this.#isOtherUsed = true;
      this.#merge(OTHER_GROUP, slot, words, at);
    }
  }

  /**
   * The rows, at most `rowsMax` (of the first call); those with the smallest largest measure are summed into the `~other` row,
   * with what had no room in the map. Sums are conserved. To be called when everything was added; each call makes new rows.
   * @param watched names of processes whose rows are summed last
   */
  rows(rowsMax: number, watched?: ReadonlySet<string>): WireRow[] {
    this.#cut ??= this.#cutTo(rowsMax, watched);
    const { kept, home } = this.#cut;
    const histograms = this.#isHistogram ? this.#histograms(home) : null;
    return kept.map((group) => this.#row(group, histograms));
  }

  /** The rows of `rows()` as they go over the wire: an object and a bigint per number would cost more than all the rest of a window. */
  encoded(rowsMax: number, watched?: ReadonlySet<string>): EncodedRows {
    this.#cut ??= this.#cutTo(rowsMax, watched);
    // Buckets come by group.
    const kept = this.#isHistogram ? this.#cut.kept.toSorted((a, b) => a - b) : this.#cut.kept;
    const columns: Uint8Array[] = this.#signal.dimensions.map((dimension) => {
      const bytesMax = stringBytesMaxOf(dimension);
      return encodeStrings(kept.map((group) => fitting(this.#valueOf(group, dimension), bytesMax)));
    });
    for (let index = 0; index < this.#wanted.length; index++) {
      const numbers = new BigUint64Array(kept.length);
      for (let row = 0; row < kept.length; row++) numbers[row] = this.#sums[(kept[row] as number) * this.#wanted.length + index] as bigint;
      columns.push(new Uint8Array(numbers.buffer));
    }
    if (this.#isHistogram) columns.push(...this.#encodedHistograms(kept, this.#cut.home));
    const owned = this.#owned(kept);
    return { rows: kept.length, columns, ...(owned === undefined ? {} : { owned }) };
  }

  /** How much of the first measure that adds up is somebody's. */
  #owned(kept: readonly number[]): Owned | undefined {
    const index = this.#isHistogram ? 0 : this.#signal.measures.findIndex(({ kind }) => kind === "sum");
    if (this.#processAt < 0 || index < 0) return undefined;
    let [counted, withProcess, withUnit] = [0n, 0n, 0n];
    for (const group of kept) {
      const count = this.#sums[group * this.#wanted.length + index] as bigint;
      const name = this.#names[group] ?? null;
      counted += count;
      if (name !== null && name.process !== "") withProcess += count;
      if (name !== null && name.unit !== "") withUnit += count;
    }
    return { counted, withProcess, withUnit };
  }

  /** Columns k and c: offsets, then values; of groups in ascending order. */
  #encodedHistograms(kept: readonly number[], home: Uint32Array): [Uint8Array, Uint8Array] {
    const order = this.#bucketOrder(home);
    const buckets = new Uint16Array(order.length);
    const counts = new BigUint64Array(order.length);
    const offsets = new BigUint64Array(kept.length);
    let [filled, at] = [0, 0];
    kept.forEach((group, row) => {
      const first = filled;
      for (; at < order.length; at++) {
        const entry = (order[at] as number) % POSITIONS;
        if (home[this.#bucketGroup[entry] as number] !== group) break;
        const bucket = this.#bucketIndex[entry] as number;
        const count = this.#bucketCount[entry] as bigint;
        if (filled > first && buckets[filled - 1] === bucket) counts[filled - 1] = (counts[filled - 1] as bigint) + count;
        else {
          buckets[filled] = bucket;
          counts[filled++] = count;
        }
      }
      offsets[row] = BigInt(filled);
    });
    const bytes = (values: Uint16Array | BigUint64Array): Uint8Array =>
      Buffer.concat([new Uint8Array(offsets.buffer), new Uint8Array(values.buffer, 0, filled * values.BYTES_PER_ELEMENT)]);
    return [bytes(buckets), bytes(counts)];
  }

  /**
   * Sum of a measure (of a histogram: `count` or `sum`) over everything that was added; with `where`, over what has these dimension values.
   * Before the rows are made: a cut to `rowsMax` sums groups into another one.
   */
  total(measure: string, where: Readonly<Record<string, string>> = {}): bigint {
    if (this.#cut !== undefined) throw new Error("total() was called after rows()");
    const index = (this.#isHistogram ? ["count", "sum"] : this.#signal.measures.map(({ name }) => name)).indexOf(measure);
    if (index < 0) throw new TypeError(`signal ${this.#signal.name} has no sum "${measure}"`);
    const wanted = Object.entries(where);
    let sum = 0n;
    for (let group = OTHER_GROUP; group < this.#names.length; group++) {
      const hasValues = wanted.every(([dimension, value]) => this.#valueOf(group, dimension) === value);
      if (hasValues) sum += this.#sums[group * this.#wanted.length + index] as bigint;
    }
    return sum;
  }

  /** Groups that were summed into `~other`; 0 before the rows were made. */
  get cut(): number {
    return this.#cut === undefined ? 0 : this.#names.length - 1 - this.#cut.kept.filter((group) => group !== OTHER_GROUP).length;
  }

  /** Which groups keep a row, and for each group the one its counts are in. Folds the others' sums. */
  #cutTo(rowsMax: number, watched: ReadonlySet<string> = new Set()): { kept: number[]; home: Uint32Array } {
    let kept = Array.from({ length: this.#names.length - 1 }, (_, index) => index + 1);
    const home = new Uint32Array(this.#names.length).map((_, group) => group);
    if (kept.length + (this.#isOtherUsed ? 1 : 0) > rowsMax) {
      const ranks = this.#names.map((_, group) => this.#rank(group));
      const isWatched = this.#names.map((name) => (name !== null && watched.has(name.process) ? 1 : 0));
      kept.sort((a, b) => (isWatched[b] as number) - (isWatched[a] as number) || compare(ranks[b] as bigint, ranks[a] as bigint));
      this.#isOtherUsed = true;
      for (const group of kept.slice(rowsMax - 1)) {
        home[group] = OTHER_GROUP;
        for (let index = 0; index < this.#wanted.length; index++)
          this.#fold(OTHER_GROUP, index, this.#sums[group * this.#wanted.length + index] as bigint);
      }
      kept = kept.slice(0, rowsMax - 1);
    }
    if (this.#isOtherUsed) kept.push(OTHER_GROUP);
    return { kept, home };
  }

  #nameOf(processId: bigint, words: BigUint64Array, at: number): ProcessName {
    if (processId === 0n) return this.#registry.unknown;
    const name = this.#registry.get(processId);
    if (name !== undefined) return name;
    this.unregistered += words[at + (this.#wanted[0] as number)] as bigint;
    return this.#registry.unknown;
  }

  /** The group of these dimension values: bytes that differ may read alike, such as two files of one path in two file systems. */
  #groupOf(name: ProcessName, texts: readonly string[]): number {
    const values = `${name.index} ${texts.join("\0")}`;
    let group = this.#groupsByText.get(values);
    if (group === undefined) {
      group = this.#newGroup(name, texts);
      this.#groupsByText.set(values, group);
    }
    return group;
  }

  #newGroup(name: ProcessName | null, texts: readonly string[]): number {
    const group = this.#names.push(name) - 1;
    this.#texts.push(texts);
    const end = (group + 1) * this.#wanted.length;
    if (end > this.#sums.length) this.#sums = grown(this.#sums, BigUint64Array);
    if (this.#isHistogram) this.#sums[group * this.#wanted.length + MIN] = UINT64_MAX;
    return group;
  }

  /** min and max of a histogram are not added. */
  #isExtreme(index: number): boolean {
    return this.#isHistogram && index >= MIN;
  }

  #merge(group: number, bucket: number, words: BigUint64Array, at: number): void {
    for (let index = 0; index < this.#wanted.length; index++) this.#fold(group, index, words[at + (this.#wanted[index] as number)] as bigint);
    if (!this.#isHistogram) return;
    if (this.#buckets === this.#bucketGroup.length) {
      this.#bucketGroup = grown(this.#bucketGroup, Uint32Array);
      this.#bucketIndex = grown(this.#bucketIndex, Uint16Array);
      this.#bucketCount = grown(this.#bucketCount, BigUint64Array);
    }
    this.#bucketGroup[this.#buckets] = group;
    this.#bucketIndex[this.#buckets] = bucket;
    this.#bucketCount[this.#buckets++] = words[at + (this.#wanted[0] as number)] as bigint;
  }

  #fold(group: number, index: number, value: bigint): void {
    const at = group * this.#wanted.length + index;
    const seen = this.#sums[at] as bigint;
    if (!this.#isExtreme(index)) this.#sums[at] = BigInt.asUintN(64, seen + value);
    else if (index === MIN ? value < seen : value > seen) this.#sums[at] = value;
  }

  #rank(group: number): bigint {
    const from = group * this.#wanted.length;
    if (this.#isHistogram) return this.#sums[from] as bigint;
    let largest = 0n;
    for (const value of this.#sums.subarray(from, from + this.#wanted.length)) if (value > largest) largest = value;
    return largest;
  }

  /** Buckets of each group in ascending order; `home` says which group each one's buckets go to. */
  #histograms(home: Uint32Array): Map<number, { k: number[]; c: bigint[] }> {
    const histograms = new Map<number, { k: number[]; c: bigint[] }>();
    for (const packed of this.#bucketOrder(home)) {
      const i = packed % POSITIONS;
      const group = home[this.#bucketGroup[i] as number] as number;
      const bucket = this.#bucketIndex[i] as number;
      const count = this.#bucketCount[i] as bigint;
      let histogram = histograms.get(group);
      if (histogram === undefined) {
        histogram = { k: [], c: [] };
        histograms.set(group, histogram);
      }
      const last = histogram.k.length - 1;
      if (histogram.k[last] === bucket) histogram.c[last] = (histogram.c[last] as bigint) + count;
      else {
        histogram.k.push(bucket);
        histogram.c.push(count);
      }
    }
    return histograms;
  }

  /** Entries by group and bucket, each as its position below `POSITIONS`: sorting numbers that hold all three needs no comparison function. */
  #bucketOrder(home: Uint32Array): Float64Array {
    const order = new Float64Array(this.#buckets);
    for (let i = 0; i < this.#buckets; i++)
      order[i] = ((home[this.#bucketGroup[i] as number] as number) * BUCKET_COUNT + (this.#bucketIndex[i] as number)) * POSITIONS + i;
    return order.sort();
  }

  #valueOf(group: number, dimension: string): string {
    const name = this.#names[group] ?? null;
    if (name === null) return OTHER;
    if (dimension === "process") return name.process;
    if (dimension === "unit") return name.unit;
    return (this.#texts[group] as readonly string[])[this.#textOf.get(dimension) as number] as string;
  }

  #row(group: number, histograms: ReadonlyMap<number, { k: number[]; c: bigint[] }> | null): WireRow {
    const row: Record<string, WireRow[string]> = {};
    for (const dimension of this.#signal.dimensions) row[dimension] = this.#valueOf(group, dimension);
    const from = group * this.#wanted.length;
    if (histograms !== null) {
      row.count = this.#sums[from] as bigint;
      row.sum = this.#sums[from + 1] as bigint;
      row.min = this.#sums[from + MIN] as bigint;
      row.max = this.#sums[from + MAX] as bigint;
      row.k = histograms.get(group)?.k ?? [];
      row.c = histograms.get(group)?.c ?? [];
    } else {
      this.#signal.measures.forEach((measure, index) => {
        row[measure.name] = this.#sums[from + index] as bigint;
      });
    }
    return row;
  }
}

/** Few are too long, so that most are not measured. */
function fitting(text: string, bytesMax: number): string {
  return text.length * 3 > bytesMax ? truncate(text, bytesMax) : text;
}

/** A buffer's bytes as 64-bit words; copied if they do not lie on an 8-byte boundary. */
function wordsOf(buffer: Buffer): BigUint64Array {
  const aligned = buffer.byteOffset % 8 === 0 ? buffer : Uint8Array.from(buffer);
  return new BigUint64Array(aligned.buffer, aligned.byteOffset, Math.floor(aligned.byteLength / 8));
}

function grown<T extends Uint16Array | Uint32Array | BigUint64Array>(array: T, make: new (length: number) => T): T {
  const larger = new make(array.length * 2);
  (larger as { set(from: T): void }).set(array);
  return larger;
}

function compare(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
