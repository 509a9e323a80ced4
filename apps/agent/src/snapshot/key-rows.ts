// SPDX-License-Identifier: Apache-2.0
import { dimensions, foldStepsOf, OTHER, type Signal } from "@waggle/signals";
import type { StructLayout } from "../libbpf/btf.ts";
import { type DimensionNames, type DimensionReader, dimensionReader, isFixedText } from "./dimension-text.ts";
import { KeyTable } from "./key-table.ts";
import { fieldOf } from "./layout.ts";
import type { ProcessName, ProcessRegistry } from "./process-registry.ts";

/** Keys that are remembered before all are let go; where a window has many, twice those of the last one: files and peers that do not come again take memory. */
const KEYS_REMEMBERED_MIN = 2_048;
const KEYS_MIN = 256;

/** Where the parts of a signal's keys lie. Offsets and sizes in bytes. */
interface KeyShape {
  readonly bytes: number;
  /** -1: the signal does not say whose it is. */
  readonly processAt: number;
  readonly bucketAt: number;
}

/** What the keys of one row have in common. */
export interface RowName {
  /** By it rows are told apart; below `KeyRows.rows`. */
  readonly index: number;
  readonly name: ProcessName;
  /** Of the signal's dimensions without process and unit, in their order. */
  readonly texts: readonly string[];
  /** Of `KeyRows.foldedInto`; undefined until it was asked for. */
  foldedInto: number | undefined;
}

/** Nothing is left of a row's name. */
export const NO_ROW = -1;

/** What one window's numbers are added in (`RowAccumulator`), for one window after the other. */
export interface AccumulatorRoom {
  /** Group of each row of the keys; 0: it has none yet. */
  groupOfRow: Uint32Array;
  /** Name of each group; null: of what has no row of its own, and behind the last group. */
  readonly names: (RowName | null)[];
  /** The wanted numbers of each group, the lower half of each first. */
  sums: Uint32Array;
  /** Non-empty buckets of a histogram, in the order they came: group, bucket, and count in two halves. */
  bucketGroup: Uint32Array;
  bucketIndex: Uint16Array;
  bucketCount: Uint32Array;
}

/**
 * Which row each key of a signal's map belongs to. Keys whose dimensions read alike (two process ids with one name, the buckets of a histogram, two files of one
 * path) belong to one row. Most keys come again in each window, so they are remembered by their bytes: what is looked at again, once per window, is what
 * the same bytes may mean by now.
 */
export class KeyRows {
  readonly signal: Signal;
  readonly shape: KeyShape;
  readonly #registry: ProcessRegistry;
  readonly #readers: readonly DimensionReader[];
  /** Those whose text may change while the bytes stay the same. */
  readonly #changing: readonly number[];
  readonly #keys: KeyTable;
  /** By the number of a key: index of its row, and the window in which it was looked at last, or -1 times that: the process was not known. */
  #row = new Uint32Array(KEYS_MIN);
  #seenIn = new Int32Array(KEYS_MIN);
  #window = 0;
  #keysSeen = 0;

  /** Given back by the window that used it last. */
  #room: AccumulatorRoom | undefined;
  readonly #rows: RowName[] = [];
  /** By index of a process, then by the texts. */
  readonly #rowByText = new Map<number, Map<string, RowName>>();
  /** What rows give up, in order: `process`, `unit`, or the place among `texts`. */
  readonly #steps: readonly ("process" | "unit" | number)[];
  /** By unit: its processes that have no row of their own. Their indexes are below 0, so that no process has them. */
  readonly #othersOfUnit = new Map<string, ProcessName>();
  /** By index of a process: the row that its rows become part of without the one text that they have. */
  readonly #textless = new Map<number, number>();

  /** Throws a TypeError if the structs do not fit the signal. */
  constructor(signal: Signal, registry: ProcessRegistry, layouts: ReadonlyMap<string, StructLayout>, dimensionNames: DimensionNames) {
    if (signal.bpf === null) throw new TypeError(`signal ${signal.name} has no BPF map`);
    const key = layouts.get(`${signal.bpf.map}_key`);
    if (key === undefined) throw new TypeError(`no structs of map ${signal.bpf.map}`);
    this.signal = signal;
    this.#registry = registry;
    const processAt = signal.dimensions.some((name) => dimensions[name].field === "process_id") ? fieldOf(key, "process_id").offset : -1;
    this.shape = { bytes: key.size, processAt, bucketAt: signal.bpf.bucketed ? fieldOf(key, "bucket").offset : -1 };
    const names = signal.dimensions.filter((name) => dimensions[name].field !== "process_id");
    const fields = names.map((name) => fieldOf(key, dimensions[name].field ?? name));
    this.#readers = names.map((name, index) => dimensionReader(name, fields[index] as (typeof fields)[number], dimensionNames));
    this.#changing = names.flatMap((name, index) => (isFixedText(name) ? [] : [index]));
    const telling = Buffer.alloc(key.size);
    for (const { offset, size } of fields) telling.fill(0xff, offset, offset + size);
    if (processAt >= 0) telling.fill(0xff, processAt, processAt + 8);
    this.#keys = new KeyTable(telling);
    this.#steps = foldStepsOf(signal).map((name) => (name === "process" || name === "unit" ? name : names.indexOf(name)));
  }

  /** How many rows there are names for. */
  get rows(): number {
    return this.#rows.length;
  }

  /** Starts a window. */
  begin(): void {
    if (Math.max(this.#keys.size, this.#rows.length) > Math.max(KEYS_REMEMBERED_MIN, this.#keysSeen * 2)) this.#forget();
    this.#window++;
    this.#keysSeen = 0;
  }

  /** Room for a window, for the caller to own until it is given back. */
  takeRoom(): AccumulatorRoom {
    const room = this.#room ?? {
      groupOfRow: new Uint32Array(Math.max(64, this.#rows.length * 2)),
      names: [],
      sums: new Uint32Array(128),
      bucketGroup: new Uint32Array(64),
      bucketIndex: new Uint16Array(64),
      bucketCount: new Uint32Array(128),
    };
    this.#room = undefined;
    room.groupOfRow.fill(0);
    return room;
  }

  /** @param groups how many have names */
  giveBackRoom(room: AccumulatorRoom, groups: number): void {
    // Not by its length: an array without elements gives up its room, and grows anew in every window.
    room.names.fill(null, 0, groups);
    this.#room = room;
  }

  /**
   * Number of the key that starts at word `at` of `words`, to be given to `rowAt` and `isProcessUnknown`; good until the next window begins.
   * @param words the same memory as `keys`
   */
  find(keys: Buffer, words: Uint32Array, at: number): number {
    let key = this.#keys.find(words, at);
    if (key < 0) {
      key = this.#keys.add(words, at);
      if (key === this.#row.length) {
        this.#row = doubled(this.#row, Uint32Array);
        this.#seenIn = doubled(this.#seenIn, Int32Array);
      }
      this.#look(key, keys, words, at, undefined);
    } else if (Math.abs(this.#seenIn[key] as number) !== this.#window) this.#look(key, keys, words, at, this.nameOf(this.rowAt(key)));
    return key;
  }

  rowAt(key: number): number {
    return this.#row[key] as number;
  }

  /** The key names a process that never registered. */
  isProcessUnknown(key: number): boolean {
    return (this.#seenIn[key] as number) < 0;
  }

  nameOf(row: number): RowName {
    return this.#rows[row] as RowName;
  }

  /** How many steps there are until nothing is left of a row's name. */
  get foldSteps(): number {
    return this.#steps.length;
  }

  /** Which step takes something from the row next. */
  stepOf(row: RowName): number {
    let step = 0;
    while (step < this.#steps.length - 1 && this.#hasGivenUp(row, step)) step++;
    return step;
  }

  /** Index of the row that the row is part of without what it gives up next; `NO_ROW`: nothing is left of its name. */
  foldedInto(row: RowName): number {
    row.foldedInto ??= this.#foldedInto(row);
    return row.foldedInto;
  }

  #hasGivenUp({ name, texts }: RowName, step: number): boolean {
    const part = this.#steps[step] as "process" | "unit" | number;
    return (typeof part === "number" ? texts[part] : name[part]) === OTHER;
  }

  #foldedInto(row: RowName): number {
    const { name, texts } = row;
    const step = this.stepOf(row);
    if (this.#isLast(row, step)) return NO_ROW;
    const part = this.#steps[step] as "process" | "unit" | number;
    if (typeof part !== "number") return this.#rowOf(this.#othersOf(name.unit), texts).index;
    // Whose file it was is the same for thousands of files.
    const known = texts.length === 1 ? this.#textless.get(name.index) : undefined;
    if (known !== undefined) return known;
    const { index } = this.#rowOf(name, texts.with(part, OTHER));
    if (texts.length === 1) this.#textless.set(name.index, index);
    return index;
  }

  /** Whether all that comes after the step was given up before. */
  #isLast(row: RowName, step: number): boolean {
    for (let other = step + 1; other < this.#steps.length; other++) if (!this.#hasGivenUp(row, other)) return false;
    return true;
  }

  #othersOf(unit: string): ProcessName {
    let name = this.#othersOfUnit.get(unit);
    if (name === undefined) {
      name = { index: -1 - this.#othersOfUnit.size, process: OTHER, unit };
      this.#othersOfUnit.set(unit, name);
    }
    return name;
  }

  /** Finds out what the key means in this window. */
  #look(key: number, keys: Buffer, words: Uint32Array, at: number, before: RowName | undefined): void {
    this.#keysSeen++;
    const { processAt } = this.shape;
    const low = processAt < 0 ? 0 : (words[at + processAt / 4] as number) | 0;
    const high = processAt < 0 ? 0 : (words[at + processAt / 4 + 1] as number) | 0;
    const found = low === 0 && high === 0 ? this.#registry.unknown : this.#registry.find(low, high);
    this.#seenIn[key] = found === undefined ? -this.#window : this.#window;
    const known = found ?? this.#registry.unknown;
    // One that calls itself like that must not be a second row of the same name.
    const name = known.process === OTHER ? this.#othersOf(known.unit) : known;
    if (before?.name === name && this.#readsAs(keys, at * 4, before.texts)) return;
    this.#row[key] = this.#rowOf(name, this.#read(keys, at * 4)).index;
  }

  #read(keys: Buffer, at: number): string[] {
    const readers = this.#readers;
    if (readers.length === 1) return [(readers[0] as DimensionReader)(keys, at)];
    // A list that is pushed to has room for 17, and this one may stay for as long as the row does.
    const texts = new Array<string>(readers.length);
    for (let index = 0; index < readers.length; index++) texts[index] = (readers[index] as DimensionReader)(keys, at);
    return texts;
  }

  /** Whether what may have changed of a key's texts has not. */
  #readsAs(keys: Buffer, at: number, texts: readonly string[]): boolean {
    for (let i = 0; i < this.#changing.length; i++) {
      const index = this.#changing[i] as number;
      if ((this.#readers[index] as DimensionReader)(keys, at) !== texts[index]) return false;
    }
    return true;
  }

  #rowOf(name: ProcessName, texts: readonly string[]): RowName {
    let ofProcess = this.#rowByText.get(name.index);
    if (ofProcess === undefined) {
      ofProcess = new Map();
      this.#rowByText.set(name.index, ofProcess);
    }
    // A file's path is long, and a text that is put together is one more string that has to be hashed.
    const text = texts.length === 1 ? (texts[0] as string) : texts.join("\0");
    let row = ofProcess.get(text);
    if (row === undefined) {
      row = { index: this.#rows.length, name, texts, foldedInto: undefined };
      this.#rows.push(row);
      ofProcess.set(text, row);
    }
    return row;
  }

  #forget(): void {
    this.#keys.clear();
    this.#row = new Uint32Array(KEYS_MIN);
    this.#seenIn = new Int32Array(KEYS_MIN);
    this.#rows.length = 0;
    this.#rowByText.clear();
    this.#othersOfUnit.clear();
    this.#textless.clear();
    // It may be as large as what is forgotten.
    this.#room = undefined;
  }
}

function doubled<T extends Uint32Array | Int32Array>(array: T, make: new (length: number) => T): T {
  const larger = new make(array.length * 2);
  larger.set(array);
  return larger;
}
