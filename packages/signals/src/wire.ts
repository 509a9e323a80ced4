// SPDX-License-Identifier: Apache-2.0
import { isUtf8 } from "node:buffer";
import { createHash } from "node:crypto";
import { type Dimension, dimensions } from "./dimensions.ts";
import type { Signal } from "./signal.ts";

/** Column types that travel between agent and API, in ClickHouse's Native encoding. */
export type WireType = "String" | "UInt64" | "Array(UInt16)" | "Array(UInt64)";

export interface WireColumn {
  readonly name: string;
  readonly type: WireType;
}

const columnsOf = new WeakMap<Signal, readonly WireColumn[]>();

/**
 * The columns of a signal's block on the wire, in order: its dimensions, then its measures (or count, sum, min, max, k, c).
 * Tenant, host and window are not among them: the API knows those from the credential and the frame.
 * @returns the same array whenever the same signal is asked for: it is asked for every block of every frame
 */
export function wireColumns(signal: Signal): readonly WireColumn[] {
  let columns = columnsOf.get(signal);
  if (columns === undefined) {
    columns = makeWireColumns(signal);
    columnsOf.set(signal, columns);
  }
  return columns;
}

function makeWireColumns(signal: Signal): readonly WireColumn[] {
  const columns: WireColumn[] = signal.dimensions.map((name) => ({ name, type: "String" }));
  if (signal.kind === "histogram") {
    for (const name of ["count", "sum", "min", "max"]) columns.push({ name, type: "UInt64" });
    columns.push({ name: "k", type: "Array(UInt16)" }, { name: "c", type: "Array(UInt64)" });
  } else {
    for (const measure of signal.measures) columns.push({ name: measure.name, type: "UInt64" });
  }
  return columns;
}

const hashesOf = new WeakMap<Signal, string>();

/** 16 hex digits that change whenever a signal's wire columns change; both sides must agree on it before rows flow. Computed once per signal. */
export function schemaHash(signal: Signal): string {
  let hash = hashesOf.get(signal);
  if (hash === undefined) {
    const text = [signal.name, signal.kind, ...wireColumns(signal).map((column) => `${column.name} ${column.type}`)].join("\n");
    hash = createHash("sha256").update(text).digest("hex").slice(0, 16);
    hashesOf.set(signal, hash);
  }
  return hash;
}

/** Rows of one signal for one window, ready for the wire: one buffer per column of `wireColumns(signal)`. */
export interface ColumnBlock {
  readonly rows: number;
  readonly columns: readonly Uint8Array[];
}

/** One row, by column name. Integers may be number or bigint. */
export type WireRow = Readonly<Record<string, string | number | bigint | readonly number[] | readonly bigint[]>>;

/** Encodes rows into column buffers. Throws a TypeError that names the column and row of a value that does not fit. */
export function encodeBlock(signal: Signal, rows: readonly WireRow[]): ColumnBlock {
  const columns = wireColumns(signal).map((column) => encodeColumn(signal, column, rows));
  return { rows: rows.length, columns };
}

function encodeColumn(signal: Signal, column: WireColumn, rows: readonly WireRow[]): Uint8Array {
  const fail = (row: number, why: string): never => {
    throw new TypeError(`${signal.name}.${column.name}, row ${row}: ${why}`);
  };
  const integer = (value: unknown, row: number): bigint => {
    if (typeof value === "bigint" && value >= 0n && value < 1n << 64n) return value;
    if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0) return BigInt(value);
    return fail(row, `expected a whole number from 0 to 2^64-1, got ${String(value)}`);
  };
  switch (column.type) {
    case "String":
      return encodeStrings(
        rows.map((row, index) => {
          const value = row[column.name];
          return typeof value === "string" ? value : fail(index, `expected a string, got ${typeof value}`);
        }),
      );
    case "UInt64": {
      const out = new BigUint64Array(rows.length);
      rows.forEach((row, index) => {
        out[index] = integer(row[column.name], index);
      });
      return new Uint8Array(out.buffer);
    }
    case "Array(UInt16)":
    case "Array(UInt64)": {
      const offsets = new BigUint64Array(rows.length);
      const values: bigint[] = [];
      rows.forEach((row, index) => {
        const list = row[column.name];
        if (!Array.isArray(list)) fail(index, `expected an array, got ${typeof list}`);
        for (const value of list as unknown[]) values.push(integer(value, index));
        offsets[index] = BigInt(values.length);
      });
      const flat = column.type === "Array(UInt16)" ? Uint16Array.from(values, Number) : BigUint64Array.from(values);
      return Buffer.concat([new Uint8Array(offsets.buffer), new Uint8Array(flat.buffer)]);
    }
  }
}

/** Bytes that a length below 2^35 may need. */
const LENGTH_BYTES_MAX = 5;

/** Strings in Native encoding: LEB128 byte length, then UTF-8 bytes, one after another. */
export function encodeStrings(values: readonly string[]): Uint8Array {
  let capacity = 0;
  for (let row = 0; row < values.length; row++) capacity += (values[row] as string).length * 3 + LENGTH_BYTES_MAX;
  const out = Buffer.allocUnsafe(capacity);
  let at = 0;
  for (let row = 0; row < values.length; row++) {
    const value = values[row] as string;
    // Nearly every length takes one byte: the text is written behind that, and once more where it takes more.
    const text = at + 1;
    const bytes = out.write(value, text);
    at = writeVarint(out, at, bytes);
    if (at > text) out.write(value, at);
    at += bytes;
  }
  return new Uint8Array(out.subarray(0, at));
}

/** Writes an unsigned LEB128 integer at `at`; returns the position behind it. */
export function writeVarint(out: Uint8Array, at: number, value: number): number {
  let rest = value;
  while (rest >= 0x80) {
    out[at++] = (rest & 0x7f) | 0x80;
    rest = Math.floor(rest / 128);
  }
  out[at++] = rest;
  return at;
}

/**
 * The rows of a block, integers of 64 bits as bigint and buckets as number: what `encodeBlock` was given. Throws a TypeError that says what is
 * wrong with a block that `checkBlock` does not accept.
 */
export function decodeBlock(signal: Signal, block: ColumnBlock): Record<string, WireRow[string]>[] {
  const problem = checkBlock(signal, block);
  if (problem !== undefined) throw new TypeError(problem);
  const rows: Record<string, WireRow[string]>[] = Array.from({ length: block.rows }, () => ({}));
  for (const [index, { name, type }] of wireColumns(signal).entries()) {
    const bytes = block.columns[index] as Uint8Array;
    const values =
      type === "String" ? decodeStrings(bytes, block.rows) : type === "UInt64" ? decodeIntegers(bytes) : decodeArrays(type, bytes, block.rows);
    rows.forEach((row, at) => {
      row[name] = values[at] as WireRow[string];
    });
  }
  return rows;
}

function decodeIntegers(bytes: Uint8Array): bigint[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Array.from({ length: bytes.length / 8 }, (_, index) => view.getBigUint64(index * 8, true));
}

function decodeArrays(type: "Array(UInt16)" | "Array(UInt64)", bytes: Uint8Array, rows: number): (number[] | bigint[])[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const items = rows * 8;
  let at = 0;
  return Array.from({ length: rows }, (_, row) => {
    // checkBlock has seen that offsets stay below 2^32.
    const end = view.getUint32(row * 8, true);
    const from = at;
    at = end;
    return type === "Array(UInt16)"
      ? Array.from({ length: end - from }, (__, index) => view.getUint16(items + (from + index) * 2, true))
      : Array.from({ length: end - from }, (__, index) => view.getBigUint64(items + (from + index) * 8, true));
  });
}

function decodeStrings(bytes: Uint8Array, rows: number): string[] {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  return Array.from({ length: rows }, () => {
    let length = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = buffer[at++] as number;
      length += (byte & 0x7f) * scale;
      if (byte < 0x80) break;
    }
    at += length;
    return buffer.toString("utf8", at - length, at);
  });
}

/** Limits a block has to keep to; the API refuses more. */
export const limits = {
  /** Rows of one signal in one window of one host. */
  blockRowsMax: 20_000,
  /** Bytes of one string value (the kernel's comm has 15, a cgroup path may be long). */
  stringBytesMax: 512,
  /** Non-empty buckets of one histogram row. */
  bucketsPerRowMax: 512,
} as const;

/** Most bytes of one value of the dimension. */
export function stringBytesMaxOf(dimension: string): number {
  return (dimensions as Readonly<Record<string, Dimension>>)[dimension]?.bytesMax ?? limits.stringBytesMax;
}

/** Columns of a block, or of several, in one piece of memory. */
export interface PackedColumns {
  readonly memory: Uint8Array;
  /** First byte of each column and the one behind its last. */
  readonly spans: readonly number[];
}

export function packColumns(columns: readonly Uint8Array[]): PackedColumns {
  const spans: number[] = [];
  let at = 0;
  for (const { length } of columns) {
    spans.push(at, at + length);
    at += length;
  }
  return { memory: Buffer.concat(columns), spans };
}

/** As `checkColumns`, of a block whose columns are buffers of their own. */
export function checkBlock(signal: Signal, block: ColumnBlock): string | undefined {
  const { memory, spans } = packColumns(block.columns);
  return checkColumns(signal, block.rows, memory, new DataView(memory.buffer, memory.byteOffset, memory.byteLength), spans);
}

/** Where `checkColumns` leaves a hash of each row's name, as it goes over those bytes anyway. */
export interface NameHashes {
  /** How many of the dimensions, from the first on, are the name. */
  readonly dimensions: number;
  /** At least one per row. Equal names have equal hashes; names are equal if their encodings are, as only the shortest length is taken. */
  readonly hashes: Int32Array;
}

/**
 * Checks that the columns hold exactly `rows` well-formed values each, so that concatenating them can never shift another
 * host's rows. Returns undefined if so, otherwise what is wrong, naming column and row. Takes the columns as spans, because a view each costs as much
 * as checking it.
 * @param memory holds the columns at `spans`, as in `PackedColumns`
 * @param view of the same memory
 * @param names filled if nothing is wrong
 */
export function checkColumns(
  signal: Signal,
  rows: number,
  memory: Uint8Array,
  view: DataView,
  spans: readonly number[],
  names?: NameHashes,
): string | undefined {
  const expected = wireColumns(signal);
  if (!Number.isInteger(rows) || rows < 0 || rows > limits.blockRowsMax) {
    return `${signal.name}: ${rows} rows, allowed are 0 to ${limits.blockRowsMax}`;
  }
  if (spans.length !== expected.length * 2) {
    return `${signal.name}: ${spans.length / 2} columns, expected ${expected.length}`;
  }
  names?.hashes.fill(FNV_OFFSET, 0, rows);
  let k = -1;
  let c = -1;
  for (let index = 0; index < expected.length; index++) {
    const column = expected[index] as WireColumn;
    const start = spans[index * 2] as number;
    const hashes = names !== undefined && index < names.dimensions ? names.hashes : scratchHashes;
    const problem = checkColumn(column, memory, view, start, spans[index * 2 + 1] as number, rows, hashes);
    if (problem !== undefined) return `${signal.name}.${column.name}: ${problem}`;
    if (column.type === "Array(UInt16)") k = start;
    else if (column.type === "Array(UInt64)") c = start;
  }
  if (k >= 0 && c >= 0) {
    // Lower halves are enough: the upper ones are 0.
    for (let row = 0; row < rows; row++)
      if (view.getUint32(k + row * 8, true) !== view.getUint32(c + row * 8, true))
        return `${signal.name}: k and c have different lengths in some row`;
  }
  return undefined;
}

function checkColumn(
  column: WireColumn,
  memory: Uint8Array,
  view: DataView,
  start: number,
  end: number,
  rows: number,
  hashes: Int32Array,
): string | undefined {
  switch (column.type) {
    case "UInt64":
      return end - start === rows * 8 ? undefined : `${end - start} bytes, expected ${rows * 8}`;
    case "String":
      return checkStrings(memory, view, start, end, rows, stringBytesMaxOf(column.name), hashes);
    case "Array(UInt16)":
      return checkArrays(view, start, end, rows, 2);
    case "Array(UInt64)":
      return checkArrays(view, start, end, rows, 8);
  }
}

const FNV_OFFSET = 0x811c9dc5 | 0;
const FNV_PRIME = 0x01000193;
/** Bytes outside ASCII, of four at once. */
const NOT_ASCII = 0x80808080 | 0;
/** For hashes that nobody asked for: a loop without them would be a second one. */
const scratchHashes = new Int32Array(limits.blockRowsMax);

/** @param hashes FNV-1a of what the columns before hold of each row; goes on from there */
function checkStrings(
  memory: Uint8Array,
  view: DataView,
  start: number,
  end: number,
  rows: number,
  bytesMax: number,
  hashes: Int32Array,
): string | undefined {
  let at = start;
  for (let row = 0; row < rows; row++) {
    if (at >= end) return `ends inside row ${row} of ${rows}`;
    let length = memory[at++] as number;
    if (length >= 0x80) {
      length &= 0x7f;
      for (let scale = 128; ; scale *= 128) {
        if (at >= end) return `ends inside row ${row} of ${rows}`;
        if (scale > 128 ** 3) return `row ${row} has a length of more than 4 bytes`;
        const byte = memory[at++] as number;
        length += (byte & 0x7f) * scale;
        if (byte === 0) return `row ${row} has a length that is not written in its shortest form`;
        if (byte < 0x80) break;
      }
    }
    if (length > bytesMax) return `row ${row} is ${length} bytes long, allowed are ${bytesMax}`;
    const stop = at + length;
    if (stop > end) return `ends inside row ${row} of ${rows}`;
    let hash = Math.imul((hashes[row] as number) ^ length, FNV_PRIME);
    let bits = 0;
    // Four bytes a step: a multiplication each would be most of the work.
    for (; at + 4 <= stop; at += 4) {
      const four = view.getInt32(at, true);
      bits |= four;
      hash = Math.imul(hash ^ four ^ (hash >>> 15), FNV_PRIME);
    }
    if (at < stop) {
      let rest = memory[at++] as number;
      if (at < stop) rest |= (memory[at++] as number) << 8;
      if (at < stop) rest |= (memory[at++] as number) << 16;
      bits |= rest;
      hash = Math.imul(hash ^ rest, FNV_PRIME);
    }
    hashes[row] = hash;
    // Storage would keep the bytes; JSON has no way to give them back, so nobody could ever ask for this row by name.
    if ((bits & NOT_ASCII) !== 0 && !isUtf8(memory.subarray(stop - length, stop))) return `row ${row} is not UTF-8`;
  }
  return at === end ? undefined : `${end - at} bytes left over behind ${rows} rows`;
}

function checkArrays(view: DataView, start: number, end: number, rows: number, itemBytes: number): string | undefined {
  const length = end - start;
  if (length < rows * 8) return `${length} bytes cannot hold ${rows} offsets`;
  let last = 0;
  for (let row = 0; row < rows; row++) {
    if (view.getUint32(start + row * 8 + 4, true) !== 0) return `row ${row} has an offset beyond 2^32`;
    const offset = view.getUint32(start + row * 8, true);
    if (offset < last) return `offset of row ${row} runs backwards`;
    if (offset - last > limits.bucketsPerRowMax) return `row ${row} has ${offset - last} items, allowed are ${limits.bucketsPerRowMax}`;
    last = offset;
  }
  const expected = rows * 8 + last * itemBytes;
  return length === expected ? undefined : `${length} bytes, expected ${expected}`;
}
