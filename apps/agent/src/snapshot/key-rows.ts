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
  /** Of `KeyRows.foldOf`, once it was asked for. */
  fold?: RowFold;
}

/** What becomes of a row when it gives up its least important dimension (`fold` of the catalogue). */
export interface RowFold {
  readonly step: number;
  /** Index of the row that then reads alike; undefined: nothing is left of its name. */
  readonly into: number | undefined;
}

/** What one window's numbers are added in (`RowAccumulator`), for one window after the other. */
export interface AccumulatorRoom {
  /** Group of each row of the keys; 0: it has none yet. */
  groupOfRow: Uint32Array;
  /** Name of each group; null: of what has no row of its own. */
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
  readonly #rowByText = new Map<string, RowName>();
  /** What rows give up, in order: `process`, `unit`, or the place among `texts`. */
  readonly #steps: readonly ("process" | "unit" | number)[];
  /** By unit: its processes that have no row of their own. Their indexes are below 0, so that no process has them. */
  readonly #othersOfUnit = new Map<string, ProcessName>();
  /** By index of a process: what becomes of its rows without the one text that they have. */
  readonly #textless = new Map<number, RowFold>();

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
    room.names.length = 0;
    return room;
  }

  giveBackRoom(room: AccumulatorRoom): void {
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

  /** What the row gives up next, and the row that it then is part of. */
  foldOf(row: RowName): RowFold {
    row.fold ??= this.#foldOf(row);
    return row.fold;
  }

  #foldOf({ name, texts }: RowName): RowFold {
    const isGivenUp = (part: "process" | "unit" | number): boolean => (typeof part === "number" ? texts[part] : name[part]) === OTHER;
    let step = 0;
    while (step < this.#steps.length - 1 && isGivenUp(this.#steps[step] as "process" | "unit" | number)) step++;
    const part = this.#steps[step] as "process" | "unit" | number;
    if (this.#steps.every((other, index) => index <= step || isGivenUp(other))) return { step, into: undefined };
    // Whose file it was is the same for thousands of files.
    const isOnlyText = typeof part === "number" && texts.length === 1;
    const known = isOnlyText ? this.#textless.get(name.index) : undefined;
    if (known !== undefined) return known;
    const row = typeof part === "number" ? this.#rowOf(name, texts.with(part, OTHER)) : this.#rowOf(this.#othersOf(name.unit), texts);
    const fold = { step, into: row.index };
    if (isOnlyText) this.#textless.set(name.index, fold);
    return fold;
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
    const low = processAt < 0 ? 0 : (words[at + processAt / 4] as number);
    const high = processAt < 0 ? 0 : (words[at + processAt / 4 + 1] as number);
    const found = low === 0 && high === 0 ? this.#registry.unknown : this.#registry.find(low, high);
    this.#seenIn[key] = found === undefined ? -this.#window : this.#window;
    const known = found ?? this.#registry.unknown;
    // One that calls itself like that must not be a second row of the same name.
    const name = known.process === OTHER ? this.#othersOf(known.unit) : known;
    if (before?.name === name && this.#readsAs(keys, at * 4, before.texts)) return;
    this.#row[key] = this.#rowOf(
      name,
      this.#readers.map((read) => read(keys, at * 4)),
    ).index;
  }

  /** Whether what may have changed of a key's texts has not. */
  #readsAs(keys: Buffer, at: number, texts: readonly string[]): boolean {
    for (const index of this.#changing) if (this.#readers[index]?.(keys, at) !== texts[index]) return false;
    return true;
  }

  #rowOf(name: ProcessName, texts: readonly string[]): RowName {
    const text = [name.index, ...texts].join("\0");
    let row = this.#rowByText.get(text);
    if (row === undefined) {
      row = { index: this.#rows.length, name, texts };
      this.#rows.push(row);
      this.#rowByText.set(text, row);
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
