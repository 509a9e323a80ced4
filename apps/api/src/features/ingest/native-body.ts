// SPDX-License-Identifier: Apache-2.0
import { encodeStrings, type Signal, type WireType, wireColumns, writeVarint } from "@waggle/signals";
import { WINDOWS_TABLE } from "../../clickhouse/schema.ts";
import type { BufferPool } from "./buffer-pool.ts";
import type { Frame } from "./frame.ts";

/** One insert: a table, the columns in the body's order, and the body in ClickHouse's Native format. */
export interface NativeInsert {
  readonly table: string;
  readonly columns: readonly string[];
  /** In one piece: in many small ones the socket costs more than everything else here. Of the pool; to be given back. */
  readonly body: Buffer;
  readonly rows: number;
}

interface Part {
  readonly frame: Frame;
  readonly rows: number;
  readonly columns: readonly Uint8Array[];
}

/**
 * The inserts that store these frames: one per signal that has rows. Column buffers of the frames are strung together as they
 * are; only array offsets are rewritten, because they count from the start of the column.
 * @param frames checked by `checkSnapshot`
 */
export function buildInserts(frames: readonly Frame[], pool: BufferPool): NativeInsert[] {
  const bySignal = new Map<Signal, Part[]>();
  for (const frame of frames) {
    for (const block of frame.blocks) {
      const parts = bySignal.get(block.signal) ?? [];
      if (parts.length === 0) bySignal.set(block.signal, parts);
      parts.push({ frame, rows: block.rows, columns: block.columns });
    }
  }
  return [...bySignal].map(([signal, parts]) => {
    const payload = wireColumns(signal).map((column, index) => ({
      name: column.name,
      type: column.type,
      buffers: concatenateColumn(
        column.type,
        parts.map((part) => ({ rows: part.rows, bytes: part.columns[index] as Uint8Array })),
      ),
    }));
    return assemble(signal.name, parts, payload, pool);
  });
}

/** The insert that says which windows are complete; sent after all others of its frames. */
export function buildWindowsInsert(frames: readonly Frame[], pool: BufferPool): NativeInsert {
  const parts = frames.map((frame) => ({ frame, rows: 1, columns: [] }));
  const payload = [
    { name: "sequence", type: "UInt64", buffers: [new Uint8Array(BigUint64Array.from(frames, (frame) => frame.sequence).buffer)] },
    { name: "boot_id", type: "String", buffers: [encodeStrings(frames.map((frame) => frame.bootId))] },
    { name: "clock_offset_ms", type: "Int64", buffers: [new Uint8Array(BigInt64Array.from(frames, (frame) => frame.clockOffsetMs).buffer)] },
    { name: "windows", type: "UInt32", buffers: [new Uint8Array(Uint32Array.from(frames, (frame) => frame.windows).buffer)] },
    { name: "rows", type: "UInt32", buffers: [new Uint8Array(Uint32Array.from(frames, (frame) => frame.rows).buffer)] },
  ];
  return assemble(WINDOWS_TABLE, parts, payload, pool);
}

interface Column {
  readonly name: string;
  readonly type: string;
  readonly buffers: readonly Uint8Array[];
}

function assemble(table: string, parts: readonly Part[], payload: readonly Column[], pool: BufferPool): NativeInsert {
  const rows = parts.reduce((sum, part) => sum + part.rows, 0);
  const columns = [...envelope(parts, rows), ...payload];
  const pieces: Uint8Array[] = [varint(columns.length, rows)];
  for (const column of columns) pieces.push(encodeStrings([column.name, column.type]), ...column.buffers);
  const body = pool.take(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    body.set(piece, at);
    at += piece.length;
  }
  return { table, columns: columns.map((column) => column.name), body, rows };
}

/** tenant, host, ts and window_ms come from the credential and the frame: a block cannot claim another tenant's rows. */
function envelope(parts: readonly Part[], rows: number): Column[] {
  const ts = new BigInt64Array(rows);
  const windowMs = new Uint32Array(rows);
  let at = 0;
  for (const part of parts) {
    ts.fill(BigInt(part.frame.tsMs), at, at + part.rows);
    windowMs.fill(part.frame.windowMs, at, at + part.rows);
    at += part.rows;
  }
  return [
    { name: "tenant", type: "LowCardinality(String)", buffers: dictionary(parts, rows, (frame) => frame.tenant) },
    { name: "host", type: "LowCardinality(String)", buffers: dictionary(parts, rows, (frame) => frame.host) },
    { name: "ts", type: "DateTime64(3, 'UTC')", buffers: [new Uint8Array(ts.buffer)] },
    { name: "window_ms", type: "UInt32", buffers: [new Uint8Array(windowMs.buffer)] },
  ];
}

/** Of ClickHouse's SerializationLowCardinality: the version of its keys, and that a block brings its own dictionary. */
const SHARED_DICTIONARIES_WITH_ADDITIONAL_KEYS = 1n;
const HAS_ADDITIONAL_KEYS = 1n << 9n;
const NEEDS_UPDATE_DICTIONARY = 1n << 10n;
const UINT16_INDEXES = 1n;
const UINT32_INDEXES = 2n;

/** A column of few distinct values as ClickHouse holds it, so that it need not hash each row's: the values once, then each row's index. */
function dictionary(parts: readonly Part[], rows: number, textOf: (frame: Frame) => string): Uint8Array[] {
  const indexOf = new Map<string, number>();
  const isWide = parts.length > 0xffff;
  const indexes = isWide ? new Uint32Array(rows) : new Uint16Array(rows);
  let at = 0;
  for (const part of parts) {
    const value = textOf(part.frame);
    let index = indexOf.get(value);
    if (index === undefined) {
      index = indexOf.size;
      indexOf.set(value, index);
    }
    indexes.fill(index, at, at + part.rows);
    at += part.rows;
  }
  const flags = HAS_ADDITIONAL_KEYS | NEEDS_UPDATE_DICTIONARY | (isWide ? UINT32_INDEXES : UINT16_INDEXES);
  return [
    new Uint8Array(BigUint64Array.of(SHARED_DICTIONARIES_WITH_ADDITIONAL_KEYS, flags, BigInt(indexOf.size)).buffer),
    encodeStrings([...indexOf.keys()]),
    new Uint8Array(BigUint64Array.of(BigInt(rows)).buffer),
    new Uint8Array(indexes.buffer),
  ];
}

function varint(...values: readonly number[]): Uint8Array {
  const out = new Uint8Array(values.length * 8);
  let at = 0;
  for (const value of values) at = writeVarint(out, at, value);
  return out.slice(0, at);
}

/** Strings one column's buffers of several blocks together: all offsets first, then all items. */
export function concatenateColumn(type: WireType, blocks: readonly { readonly rows: number; readonly bytes: Uint8Array }[]): Uint8Array[] {
  if (!type.startsWith("Array")) return blocks.map((block) => block.bytes);
  const itemBytes = type === "Array(UInt16)" ? 2 : 8;
  const rows = blocks.reduce((sum, block) => sum + block.rows, 0);
  // Halves of 64-bit offsets. The upper ones stay 0: `checkBlock` saw to it, and no body comes near 2^32 items.
  const offsets = new Uint32Array(rows * 2);
  const items: Uint8Array[] = [];
  let at = 0;
  let shift = 0;
  for (const block of blocks) {
    const view = new DataView(block.bytes.buffer, block.bytes.byteOffset, block.bytes.byteLength);
    for (let index = 0; index < block.rows; index++, at += 2) offsets[at] = view.getUint32(index * 8, true) + shift;
    const flat = block.bytes.subarray(block.rows * 8);
    shift += flat.length / itemBytes;
    items.push(flat);
  }
  return [new Uint8Array(offsets.buffer), ...items];
}
