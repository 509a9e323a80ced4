// SPDX-License-Identifier: Apache-2.0
import { encodeStrings, type Signal, wireColumns, writeVarint } from "@waggle/signals";
import { WINDOWS_TABLE } from "../../clickhouse/schema.ts";
import type { BodyMemory } from "./body-arena.ts";
import type { Frame } from "./frame.ts";

/** One insert: a table, the columns in the body's order, and the body in ClickHouse's Native format. */
export interface NativeInsert {
  readonly table: string;
  readonly columns: readonly string[];
  /** In one piece: in many small ones the socket costs more than everything else here. */
  readonly body: Buffer;
  readonly rows: number;
}

/** Rows of one frame in an insert. */
interface Part {
  readonly frame: Frame;
  readonly rows: number;
  /** As in its block; of what `windows` says of it there are none. */
  readonly spans: readonly number[];
}

/** A column of an insert; its values are written straight to where they stay. */
interface Column {
  readonly name: string;
  /** Name and type as they precede the values. */
  readonly head: Uint8Array;
  readonly bytes: number;
  /** @param view of all of `body` */
  write(body: Buffer, at: number, view: DataView): void;
}

/**
 * The inserts that store these frames: one per signal that has rows. Columns of the frames are strung together as they
 * are; only array offsets are rewritten, because they count from the start of the column.
 * @param frames checked by `checkSnapshot`
 */
export function buildInserts(frames: readonly Frame[], memory: BodyMemory): NativeInsert[] {
  const bySignal = new Map<Signal, Part[]>();
  for (const frame of frames) {
    for (const { signal, rows, spans } of frame.blocks) {
      const part = { frame, rows, spans };
      const parts = bySignal.get(signal);
      if (parts === undefined) bySignal.set(signal, [part]);
      else parts.push(part);
    }
  }
  const names = new Names();
  return [...bySignal].map(([signal, parts]) => {
    const payload = wireColumns(signal).map(({ name, type }, index) =>
      type === "Array(UInt16)" || type === "Array(UInt64)"
        ? arrayColumn(name, type, parts, index * 2, type === "Array(UInt16)" ? 2 : 8)
        : plainColumn(name, type, parts, index * 2),
    );
    return assemble(signal.name, parts, payload, names, memory);
  });
}

/** The insert that says which windows are complete; sent after all others of its frames. */
export function buildWindowsInsert(frames: readonly Frame[], memory: BodyMemory): NativeInsert {
  const parts = frames.map((frame) => ({ frame, rows: 1, spans: [] }));
  const payload = [
    bytesColumn("sequence", "UInt64", new Uint8Array(BigUint64Array.from(frames, (frame) => frame.sequence).buffer)),
    bytesColumn("boot_id", "String", encodeStrings(frames.map((frame) => frame.bootId))),
    bytesColumn("clock_offset_ms", "Int64", new Uint8Array(BigInt64Array.from(frames, (frame) => frame.clockOffsetMs).buffer)),
    bytesColumn("windows", "UInt32", new Uint8Array(Uint32Array.from(frames, (frame) => frame.windows).buffer)),
    bytesColumn("rows", "UInt32", new Uint8Array(Uint32Array.from(frames, (frame) => frame.rows).buffer)),
  ];
  return assemble(WINDOWS_TABLE, parts, payload, new Names(), memory);
}

function assemble(table: string, parts: readonly Part[], payload: readonly Column[], names: Names, memory: BodyMemory): NativeInsert {
  let rows = 0;
  for (const part of parts) rows += part.rows;
  const columns = [...envelope(parts, rows, names), ...payload];
  const size = new Uint8Array(16);
  const sizeBytes = writeVarint(size, writeVarint(size, 0, columns.length), rows);
  let bytes = sizeBytes;
  for (const column of columns) bytes += column.head.length + column.bytes;
  const body = memory.take(bytes);
  const view = new DataView(body.buffer, body.byteOffset, body.length);
  body.set(size.subarray(0, sizeBytes));
  let at = sizeBytes;
  for (const column of columns) {
    body.set(column.head, at);
    at += column.head.length;
    column.write(body, at, view);
    at += column.bytes;
  }
  return { table, columns: columns.map((column) => column.name), body, rows };
}

/** tenant, host, ts and window_ms come from the credential and the frame: a block cannot claim another tenant's rows. */
function envelope(parts: readonly Part[], rows: number, names: Names): Column[] {
  return [
    dictionaryColumn("tenant", parts, rows, names.of(parts, "tenant")),
    dictionaryColumn("host", parts, rows, names.of(parts, "host")),
    repeatedColumn("ts", "DateTime64(3, 'UTC')", parts, rows, 8, (part) => (parts[part] as Part).frame.tsMs),
    repeatedColumn("window_ms", "UInt32", parts, rows, 4, (part) => (parts[part] as Part).frame.windowMs),
  ];
}

const heads = new Map<string, Uint8Array>();

function headOf(name: string, type: string): Uint8Array {
  const key = `${name} ${type}`;
  let head = heads.get(key);
  if (head === undefined) {
    head = encodeStrings([name, type]);
    heads.set(key, head);
  }
  return head;
}

function bytesColumn(name: string, type: string, values: Uint8Array): Column {
  return { name, head: headOf(name, type), bytes: values.length, write: (body, at) => body.set(values, at) };
}

/**
 * One value per part, in each of its rows.
 * @param valueIn a whole number that fits; of 8 bytes one that is exact in JavaScript
 */
function repeatedColumn(
  name: string,
  type: string,
  parts: readonly Part[],
  rows: number,
  valueBytes: 2 | 4 | 8,
  valueIn: (part: number) => number,
): Column {
  return {
    name,
    head: headOf(name, type),
    bytes: rows * valueBytes,
    write: (_, at, view) => {
      let to = at;
      for (let part = 0; part < parts.length; part++) {
        const value = valueIn(part);
        const end = to + (parts[part] as Part).rows * valueBytes;
        // Value by value: a part has few rows, and a call into the runtime costs more than writing them.
        if (valueBytes === 2) for (; to < end; to += 2) view.setUint16(to, value, true);
        else if (valueBytes === 4) for (; to < end; to += 4) view.setUint32(to, value, true);
        else {
          const high = Math.floor(value / 2 ** 32);
          for (; to < end; to += 8) {
            view.setUint32(to, value, true);
            view.setUint32(to + 4, high, true);
          }
        }
      }
    },
  };
}

/** A wire column of every part, one behind the other. */
function plainColumn(name: string, type: string, parts: readonly Part[], span: number): Column {
  let bytes = 0;
  for (const { spans } of parts) bytes += (spans[span + 1] as number) - (spans[span] as number);
  return {
    name,
    head: headOf(name, type),
    bytes,
    write: (body, at) => {
      let to = at;
      for (const { frame, spans } of parts) {
        const start = spans[span] as number;
        const end = spans[span + 1] as number;
        copyBytes(frame.memory, body, to, start, end);
        to += end - start;
      }
    },
  };
}

/** As `plainColumn`, of arrays: all offsets first, then all items. */
function arrayColumn(name: string, type: string, parts: readonly Part[], span: number, itemBytes: number): Column {
  const plain = plainColumn(name, type, parts, span);
  return {
    ...plain,
    write: (body, at, out) => {
      let rows = 0;
      for (const part of parts) rows += part.rows;
      let offsetAt = at;
      let itemsAt = at + rows * 8;
      let shift = 0;
      // Frames of one slab share their buffer: a view each would cost more than the offsets.
      let offsets: DataView = new DataView(new ArrayBuffer(0));
      for (const { frame, rows: count, spans } of parts) {
        const { memory } = frame;
        const start = spans[span] as number;
        const end = spans[span + 1] as number;
        if (offsets.buffer !== memory.buffer) offsets = new DataView(memory.buffer);
        const first = memory.byteOffset + start;
        for (let row = 0; row < count; row++, offsetAt += 8) {
          out.setUint32(offsetAt, offsets.getUint32(first + row * 8, true) + shift, true);
          // The upper halves stay 0: `checkBlock` saw to it, and no body comes near 2^32 items.
          out.setUint32(offsetAt + 4, 0, true);
        }
        copyBytes(memory, body, itemsAt, start + count * 8, end);
        itemsAt += end - start - count * 8;
        shift += (end - start - count * 8) / itemBytes;
      }
    },
  };
}

function copyBytes(from: Uint8Array, to: Buffer, at: number, start: number, end: number): void {
  if (start === end) return;
  // Without a view of the source, which would cost more than the copying.
  if (from instanceof Buffer) from.copy(to, at, start, end);
  else to.set(from.subarray(start, end), at);
}

/** Of ClickHouse's SerializationLowCardinality: the version of its keys, and that a block brings its own dictionary. */
const SHARED_DICTIONARIES_WITH_ADDITIONAL_KEYS = 1n;
const HAS_ADDITIONAL_KEYS = 1n << 9n;
const NEEDS_UPDATE_DICTIONARY = 1n << 10n;
const UINT16_INDEXES = 1n;
const UINT32_INDEXES = 2n;

/** The distinct names of some parts, in order, and where each part's name stands among them. */
interface Dictionary {
  readonly size: number;
  readonly keys: Uint8Array;
  readonly indexes: readonly number[];
}

/** Names of the parts of one batch's inserts. Most signals have rows of every frame: then their names need to be collected once only. */
class Names {
  private readonly known: { readonly parts: readonly Part[]; readonly field: "tenant" | "host"; readonly dictionary: Dictionary }[] = [];

  of(parts: readonly Part[], field: "tenant" | "host"): Dictionary {
    const like = this.known.find(
      (other) =>
        other.field === field && other.parts.length === parts.length && other.parts.every(({ frame }, index) => frame === parts[index]?.frame),
    );
    if (like !== undefined) return like.dictionary;
    const indexOf = new Map<string, number>();
    const indexes = parts.map(({ frame }) => {
      const name = frame[field];
      let index = indexOf.get(name);
      if (index === undefined) {
        index = indexOf.size;
        indexOf.set(name, index);
      }
      return index;
    });
    const dictionary = { size: indexOf.size, keys: encodeStrings([...indexOf.keys()]), indexes };
    this.known.push({ parts, field, dictionary });
    return dictionary;
  }
}

/** A column of few distinct values as ClickHouse holds it, so that it need not hash each row's: the values once, then each row's index. */
function dictionaryColumn(name: string, parts: readonly Part[], rows: number, { size, keys, indexes }: Dictionary): Column {
  const isWide = parts.length > 0xffff;
  const flags = HAS_ADDITIONAL_KEYS | NEEDS_UPDATE_DICTIONARY | (isWide ? UINT32_INDEXES : UINT16_INDEXES);
  const before = new Uint8Array(BigUint64Array.of(SHARED_DICTIONARIES_WITH_ADDITIONAL_KEYS, flags, BigInt(size)).buffer);
  const between = new Uint8Array(BigUint64Array.of(BigInt(rows)).buffer);
  const type = "LowCardinality(String)";
  const rowsOf = repeatedColumn(name, type, parts, rows, isWide ? 4 : 2, (part) => indexes[part] as number);
  return {
    name,
    head: rowsOf.head,
    bytes: before.length + keys.length + between.length + rowsOf.bytes,
    write: (body, at, view) => {
      body.set(before, at);
      body.set(keys, at + before.length);
      body.set(between, at + before.length + keys.length);
      rowsOf.write(body, at + before.length + keys.length + between.length, view);
    },
  };
}
