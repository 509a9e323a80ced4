// SPDX-License-Identifier: Apache-2.0
import {
  BUCKET_COUNT,
  BUCKET_NONE,
  dimensions,
  encodeStrings,
  type Folding,
  fold,
  OTHER,
  type Signal,
  stringBytesMaxOf,
  WHOLLY_FOLDED,
  type WireRow,
} from "@waggle/signals";
import type { StructLayout } from "../libbpf/btf.ts";
import { truncate } from "../window/assemble.ts";
import type { EncodedRows, Owned } from "../window/source.ts";
import { type AccumulatorRoom, type KeyRows, NO_ROW, type RowName } from "./key-rows.ts";
import { fieldOf } from "./layout.ts";

const WORD = 2 ** 32;
/** Positions of the extremes among a histogram's sums: count, sum, min, max. */
const MIN = 2;
const MAX = 3;
/** The row that takes what has no row of its own. */
const OTHER_GROUP = WHOLLY_FOLDED;

/**
 * Turns map entries (bytes) into rows of one signal in one window. Entries of one row (`KeyRows`) are added up.
 *
 * A busy host has ten thousand entries in a window, so numbers are added in typed arrays, each of 64 bits as its two halves, and go from there to the wire: a
 * bigint per number would cost more than reading the maps.
 */
export class RowAccumulator {
  readonly #signal: Signal;
  readonly #keyRows: KeyRows;
  readonly #isHistogram: boolean;
  /** Size of a value in 32-bit words, and at which of them the numbers are that are wanted. */
  readonly #valueWords: number;
  readonly #wanted: Uint32Array;
  /** How many of them are added up; the others are extremes. */
  readonly #added: number;

  /** Which of them counts events: not bytes or time; -1 if none does, and each entry stands for one. */
  readonly #eventsAt: number;

  /** Where the numbers are added. Its arrays grow, and are those of an earlier window that was given back. */
  readonly #room: AccumulatorRoom;
  readonly #names: (RowName | null)[];
  #groups = 0;
  #isOtherUsed = false;
  #cut: Folding | undefined;
  #buckets = 0;
  /** Events under a process id that never registered; shown as unknown. */
  unregistered = 0n;

  /**
   * Begins a window for the keys: an accumulator that was made of them before takes no more entries, and keeps what it has.
   * Throws a TypeError if the structs do not fit the signal.
   */
  constructor(keyRows: KeyRows, layouts: ReadonlyMap<string, StructLayout>) {
    const { signal } = keyRows;
    const value = signal.bpf === null ? undefined : layouts.get(`${signal.bpf.map}_value`);
    if (value === undefined) throw new TypeError(`no struct of the values of ${signal.name}`);
    this.#signal = signal;
    this.#keyRows = keyRows;
    this.#isHistogram = signal.kind === "histogram";
    this.#valueWords = value.size / 4;
    const bucketedMeasures = this.#isHistogram ? ["count", "sum", "min", "max"] : ["count"];
    const measures = signal.bpf?.bucketed === true ? bucketedMeasures : signal.measures.map((measure) => measure.name);
    this.#wanted = Uint32Array.from(measures, (name) => fieldOf(value, name).offset / 4);
    this.#added = this.#isHistogram ? MIN : this.#wanted.length;
    this.#eventsAt = measures.findIndex((name) => !isAmount(signal, name));
    keyRows.begin();
    this.#room = keyRows.takeRoom();
    this.#names = this.#room.names;
    this.#newGroup(null);
  }

  /** Adds `count` entries as they lie in the map. */
  add(keys: Buffer, values: Buffer, count: number): void {
    const words = wordsOf(values);
    const keyWords = wordsOf(keys);
    const { bytes, bucketAt } = this.#keyRows.shape;
    for (let i = 0; i < count; i++) {
      const bucket = bucketAt < 0 ? 0 : keys.readUInt16LE(i * bytes + bucketAt);
      if (bucket === BUCKET_NONE && this.#isHistogram) continue;
      const key = this.#keyRows.find(keys, keyWords, (i * bytes) / 4);
      const row = this.#keyRows.rowAt(key);
      const { groupOfRow } = this.#room;
      const group = (row < groupOfRow.length ? (groupOfRow[row] as number) : 0) || this.#groupOf(row);
      this.#merge(group, bucket, words, i * this.#valueWords);
      if (this.#keyRows.isProcessUnknown(key)) this.unregistered += this.#eventsOf(words, i * this.#valueWords);
    }
  }

  #eventsOf(words: Uint32Array, at: number): bigint {
    return this.#eventsAt < 0 ? 1n : numberAt(words, at + (this.#wanted[this.#eventsAt] as number));
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
      if (this.#wanted.every((word, index) => index >= this.#added || (words[at + word] === 0 && words[at + word + 1] === 0))) continue;
      this.#isOtherUsed = true;
      this.#merge(OTHER_GROUP, slot, words, at);
    }
  }

  /**
   * The rows, at most `rowsMax` (of the first call); those with the smallest largest measure give up dimensions (`fold` of the catalogue), at last all of them: then they are
   * in the `~other` row, with what had no room in the map. Sums are conserved. To be called when everything was added; each call makes new rows.
   * @param watched names of processes whose rows give up theirs last
   */
  rows(rowsMax: number, watched?: ReadonlySet<string>): WireRow[] {
    this.#cut ??= this.#cutTo(rowsMax, watched);
    const { kept, home } = this.#cut;
    const histograms = this.#isHistogram ? this.#histograms(home) : null;
    return kept.map((group) => this.#row(group, histograms));
  }

  /** Gives the room back for the next window's accumulator of these keys: this one must not be asked for anything any more. */
  release(): void {
    this.#keyRows.giveBackRoom(this.#room, this.#groups);
  }

  /** The rows of `rows()` as they go over the wire: an object and a bigint per number would cost more than all the rest of a window. */
  encoded(rowsMax: number, watched?: ReadonlySet<string>): EncodedRows {
    this.#cut ??= this.#cutTo(rowsMax, watched);
    // Buckets come by group.
    const kept = this.#isHistogram ? this.#cut.kept.toSorted((a, b) => a - b) : this.#cut.kept;
    const columns: Uint8Array[] = this.#signal.dimensions.map((dimension) => {
      const bytesMax = stringBytesMaxOf(dimension);
      const textOf = this.#textsOf(dimension);
      return encodeStrings(kept.map((group) => fitting(textOf(group), bytesMax)));
    });
    for (let index = 0; index < this.#wanted.length; index++) {
      const numbers = new Uint32Array(kept.length * 2);
      for (let row = 0; row < kept.length; row++) {
        const at = this.#sumAt(kept[row] as number, index);
        numbers[row * 2] = this.#room.sums[at] as number;
        numbers[row * 2 + 1] = this.#room.sums[at + 1] as number;
      }
      columns.push(new Uint8Array(numbers.buffer));
    }
    if (this.#isHistogram) columns.push(...this.#encodedHistograms(kept, this.#cut.home));
    const owned = this.#owned(kept);
    return { rows: kept.length, columns, ...(owned === undefined ? {} : { owned }) };
  }

  /** How much of the first measure that adds up is somebody's. */
  #owned(kept: readonly number[]): Owned | undefined {
    const index = this.#isHistogram ? 0 : this.#signal.measures.findIndex(({ kind }) => kind === "sum");
    if (this.#keyRows.shape.processAt < 0 || index < 0) return undefined;
    // Lower and upper halves of all, of what has a process, of what has a unit. Sums of 32-bit halves stay exact over 2^21 groups.
    const halves = new Float64Array(6);
    const { sums } = this.#room;
    for (let row = 0; row < kept.length; row++) {
      const group = kept[row] as number;
      const name = this.#names[group]?.name;
      const at = this.#sumAt(group, index);
      for (let part = 0; part < 3; part++) {
        if ((part === 1 && isNobody(name?.process)) || (part === 2 && isNobody(name?.unit))) continue;
        halves[part * 2] = (halves[part * 2] as number) + (sums[at] as number);
        halves[part * 2 + 1] = (halves[part * 2 + 1] as number) + (sums[at + 1] as number);
      }
    }
    const of = (part: number): bigint => BigInt(halves[part * 2] as number) + (BigInt(halves[part * 2 + 1] as number) << 32n);
    return { counted: of(0), withProcess: of(1), withUnit: of(2) };
  }

  /** Columns k and c: offsets, then values; of groups in ascending order. */
  #encodedHistograms(kept: readonly number[], home: Uint32Array): [Uint8Array, Uint8Array] {
    const order = this.#bucketOrder(home);
    const buckets = new Uint16Array(order.length);
    const counts = new Uint32Array(order.length * 2);
    const offsets = new Uint32Array(kept.length * 2);
    let [filled, at] = [0, 0];
    for (let row = 0; row < kept.length; row++) {
      const group = kept[row] as number;
      const first = filled;
      for (; at < order.length; at++) {
        const entry = order[at] as number;
        if (home[this.#room.bucketGroup[entry] as number] !== group) break;
        const bucket = this.#room.bucketIndex[entry] as number;
        if (filled === first || buckets[filled - 1] !== bucket) buckets[filled++] = bucket;
        addTo(counts, (filled - 1) * 2, this.#room.bucketCount, entry * 2);
      }
      offsets[row * 2] = filled;
    }
    const column = (values: Uint16Array | Uint32Array): Uint8Array =>
      Buffer.concat([new Uint8Array(offsets.buffer), new Uint8Array(values.buffer, 0, values.byteLength)]);
    return [column(buckets.subarray(0, filled)), column(counts.subarray(0, filled * 2))];
  }

  /**
   * Sum of a measure (of a histogram: `count` or `sum`) over everything that was added; with `where`, over what has these dimension values.
   * Before the rows are made: a cut to `rowsMax` sums groups into another one.
   */
  total(measure: string, where: Readonly<Record<string, string>> = {}): bigint {
    if (this.#cut !== undefined) throw new Error("total() was called after rows()");
    const index = (this.#isHistogram ? ["count", "sum"] : this.#signal.measures.map(({ name }) => name)).indexOf(measure);
    if (index < 0) throw new TypeError(`signal ${this.#signal.name} has no sum "${measure}"`);
    const wanted = Object.entries(where).map(([dimension, value]) => [this.#textsOf(dimension), value] as const);
    const groups: number[] = [];
    for (let group = OTHER_GROUP; group < this.#groups; group++) if (wanted.every(([textOf, value]) => textOf(group) === value)) groups.push(group);
    return this.#totalOf(index, groups);
  }

  #totalOf(index: number, groups: readonly number[]): bigint {
    // Sums of 32-bit halves stay exact over 2^21 groups.
    let [low, high] = [0, 0];
    for (const group of groups) {
      const at = this.#sumAt(group, index);
      low += this.#room.sums[at] as number;
      high += this.#room.sums[at + 1] as number;
    }
    return BigInt(low) + (BigInt(high) << 32n);
  }

  /** Groups that have no row as they were; 0 before the rows were made. */
  get cut(): number {
    return this.#cut?.cut ?? 0;
  }

  /** Which groups keep a row, and for each group the one its counts are in. Adds up the others' sums. */
  #cutTo(rowsMax: number, watched: ReadonlySet<string> = new Set()): Folding {
    const keyRows = this.#keyRows;
    const nameOf = (group: number): RowName => this.#names[group] as RowName;
    return fold(
      {
        count: this.#groups,
        isOtherUsed: this.#isOtherUsed,
        steps: keyRows.foldSteps,
        rankOf: (group) => this.#rank(group),
        ...(watched.size === 0 ? {} : { isWatched: (group) => watched.has(nameOf(group).name.process) }),
        stepOf: (group) => keyRows.stepOf(nameOf(group)),
        into: (group) => {
          const into = keyRows.foldedInto(nameOf(group));
          return into === NO_ROW ? OTHER_GROUP : this.#groupOf(into);
        },
        add: (group, into) => {
          this.#fold(into, this.#room.sums, this.#sumAt(group, 0), null);
        },
      },
      rowsMax,
    );
  }

  /** The group of a row, made if it has none yet. */
  #groupOf(row: number): number {
    if (row >= this.#room.groupOfRow.length) this.#room.groupOfRow = grown(this.#room.groupOfRow, Uint32Array, row + 1);
    const known = this.#room.groupOfRow[row] as number;
    if (known !== 0) return known;
    const group = this.#newGroup(this.#keyRows.nameOf(row));
    this.#room.groupOfRow[row] = group;
    return group;
  }

  #newGroup(name: RowName | null): number {
    const group = this.#groups++;
    this.#names[group] = name;
    const end = this.#sumAt(group + 1, 0);
    if (end > this.#room.sums.length) this.#room.sums = grown(this.#room.sums, Uint32Array, end);
    const { sums } = this.#room;
    for (let at = this.#sumAt(group, 0); at < end; at++) sums[at] = 0;
    if (this.#isHistogram) {
      sums[this.#sumAt(group, MIN)] = WORD - 1;
      sums[this.#sumAt(group, MIN) + 1] = WORD - 1;
    }
    return group;
  }

  #sumAt(group: number, index: number): number {
    return (group * this.#wanted.length + index) * 2;
  }

  #merge(group: number, bucket: number, words: Uint32Array, at: number): void {
    this.#fold(group, words, at, this.#wanted);
    if (!this.#isHistogram) return;
    const room = this.#room;
    if (this.#buckets === room.bucketGroup.length) {
      room.bucketGroup = grown(room.bucketGroup, Uint32Array);
      room.bucketIndex = grown(room.bucketIndex, Uint16Array);
      room.bucketCount = grown(room.bucketCount, Uint32Array);
    }
    const count = at + (this.#wanted[0] as number);
    room.bucketGroup[this.#buckets] = group;
    room.bucketIndex[this.#buckets] = bucket;
    room.bucketCount[this.#buckets * 2] = words[count] as number;
    room.bucketCount[this.#buckets * 2 + 1] = words[count + 1] as number;
    this.#buckets++;
  }

  /** @param wanted words at which the numbers are, from `at` on; null: one after another */
  #fold(group: number, words: Uint32Array, at: number, wanted: Uint32Array | null): void {
    const { sums } = this.#room;
    let to = this.#sumAt(group, 0);
    for (let index = 0; index < this.#wanted.length; index++, to += 2) {
      const from = at + (wanted === null ? index * 2 : (wanted[index] as number));
      if (index < this.#added) {
        addTo(sums, to, words, from);
        continue;
      }
      const high = words[from + 1] as number;
      const seenHigh = sums[to + 1] as number;
      const difference = high === seenHigh ? (words[from] as number) - (sums[to] as number) : high - seenHigh;
      if (index === MIN ? difference < 0 : difference > 0) {
        sums[to] = words[from] as number;
        sums[to + 1] = high;
      }
    }
  }

  /** How large the group is; of a size beyond 2^53 the last digits do not count. */
  #rank(group: number): number {
    let most = 0;
    for (let index = 0; index < (this.#isHistogram ? 1 : this.#wanted.length); index++) {
      const at = this.#sumAt(group, index);
      most = Math.max(most, (this.#room.sums[at] as number) + (this.#room.sums[at + 1] as number) * WORD);
    }
    return most;
  }

  /** Buckets of each group in ascending order; `home` says which group each one's buckets go to. */
  #histograms(home: Uint32Array): Map<number, { k: number[]; c: bigint[] }> {
    const histograms = new Map<number, { k: number[]; c: bigint[] }>();
    for (const i of this.#bucketOrder(home)) {
      const group = home[this.#room.bucketGroup[i] as number] as number;
      const bucket = this.#room.bucketIndex[i] as number;
      const count = numberAt(this.#room.bucketCount, i * 2);
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

  /** Positions of entries by group, and by bucket in each: sorted by counting, first by the one, then by the other, as either is a small number. */
  #bucketOrder(home: Uint32Array): Uint32Array {
    const { bucketGroup, bucketIndex } = this.#room;
    const byBucket = new Uint32Array(this.#buckets);
    const nextOfBucket = startsOf(this.#buckets, BUCKET_COUNT, (i) => bucketIndex[i] as number);
    for (let i = 0; i < this.#buckets; i++) {
      const bucket = bucketIndex[i] as number;
      byBucket[nextOfBucket[bucket] as number] = i;
      nextOfBucket[bucket] = (nextOfBucket[bucket] as number) + 1;
    }
    const order = new Uint32Array(this.#buckets);
    const nextOfGroup = startsOf(this.#buckets, home.length, (i) => home[bucketGroup[i] as number] as number);
    for (let at = 0; at < byBucket.length; at++) {
      const i = byBucket[at] as number;
      const group = home[bucketGroup[i] as number] as number;
      order[nextOfGroup[group] as number] = i;
      nextOfGroup[group] = (nextOfGroup[group] as number) + 1;
    }
    return order;
  }

  /** What a dimension's value of a group is. */
  #textsOf(dimension: string): (group: number) => string {
    if (dimension === "process" || dimension === "unit") return (group) => this.#names[group]?.name[dimension] ?? OTHER;
    const others = this.#signal.dimensions.filter((name) => dimensions[name].field !== "process_id");
    const index = (others as readonly string[]).indexOf(dimension);
    return (group) => (group === OTHER_GROUP ? OTHER : (this.#names[group]?.texts[index] as string));
  }

  #row(group: number, histograms: ReadonlyMap<number, { k: number[]; c: bigint[] }> | null): WireRow {
    const row: Record<string, WireRow[string]> = {};
    for (const dimension of this.#signal.dimensions) row[dimension] = this.#textsOf(dimension)(group);
    const number = (index: number): bigint => numberAt(this.#room.sums, this.#sumAt(group, index));
    if (histograms !== null) {
      row.count = number(0);
      row.sum = number(1);
      row.min = number(MIN);
      row.max = number(MAX);
      row.k = histograms.get(group)?.k ?? [];
      row.c = histograms.get(group)?.c ?? [];
    } else {
      this.#signal.measures.forEach((measure, index) => {
        row[measure.name] = number(index);
      });
    }
    return row;
  }
}

/** The value of an owner that is not known, or that a row has given up. */
function isNobody(value: string | undefined): boolean {
  return value === undefined || value === "" || value === OTHER;
}

/** Few are too long, so that most are not measured. */
function fitting(text: string, bytesMax: number): string {
  return text.length * 3 > bytesMax ? truncate(text, bytesMax) : text;
}

/** A buffer's bytes as words of 32 bits; copied if they do not lie on a boundary of such. */
function wordsOf(buffer: Buffer): Uint32Array {
  const aligned = buffer.byteOffset % 4 === 0 ? buffer : Uint8Array.from(buffer);
  return new Uint32Array(aligned.buffer, aligned.byteOffset, Math.floor(aligned.byteLength / 4));
}

/** Adds one number of 64 bits to another, modulo 2^64. */
function addTo(sums: Uint32Array, at: number, words: Uint32Array, from: number): void {
  const low = (sums[at] as number) + (words[from] as number);
  sums[at] = low;
  sums[at + 1] = (sums[at + 1] as number) + (words[from + 1] as number) + (low >= WORD ? 1 : 0);
}

/** Where things of each kind (below `kinds`) begin, if all are put in the order of their kinds. */
function startsOf(things: number, kinds: number, kindOf: (thing: number) => number): Uint32Array {
  const starts = new Uint32Array(kinds + 1);
  for (let thing = 0; thing < things; thing++) {
    const after = kindOf(thing) + 1;
    starts[after] = (starts[after] as number) + 1;
  }
  for (let kind = 1; kind < kinds; kind++) starts[kind] = (starts[kind] as number) + (starts[kind - 1] as number);
  return starts;
}

/** A measure that says how much and not how often; what a histogram keeps beside the catalogue's measures (`sum`, `min`, `max`) is behind its count. */
function isAmount(signal: Signal, name: string): boolean {
  const unit = signal.measures.find((measure) => measure.name === name)?.unit;
  return unit === "bytes" || unit === "ns";
}

function numberAt(words: Uint32Array, at: number): bigint {
  return BigInt(words[at] as number) + (BigInt(words[at + 1] as number) << 32n);
}

function grown<T extends Uint16Array | Uint32Array>(array: T, make: new (length: number) => T, lengthMin = 0): T {
  const larger = new make(Math.max(array.length * 2, lengthMin));
  (larger as { set(from: T): void }).set(array);
  return larger;
}
