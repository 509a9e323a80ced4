// SPDX-License-Identifier: Apache-2.0
import { type Signal, schemaHash, writeVarint } from "@waggle/signals";
import type { WindowBlocks } from "./workload.ts";

/** The envelope of a snapshot. */
export interface FrameHeader {
  readonly sequence: number;
  /** Unix milliseconds on the host's clock. */
  readonly windowStartMs: number;
  readonly windowMs: number;
  /** How many of the host's windows it speaks for. */
  readonly windows: number;
  /** What the host adds to its clock to get the API's. */
  readonly clockOffsetMs: number;
  readonly bootId: string;
}

// Field numbers and wire types of ingest.proto.
const VARINT = 0;
const BYTES = 2;
const REQUEST_SNAPSHOT = (2 << 3) | BYTES;
const SEQUENCE = (1 << 3) | VARINT;
const WINDOW_START_MS = (2 << 3) | VARINT;
const WINDOW_MS = (3 << 3) | VARINT;
const CLOCK_OFFSET_MS = (4 << 3) | VARINT;
const BOOT_ID = (5 << 3) | BYTES;
const BLOCK = (6 << 3) | BYTES;
const WINDOWS = (7 << 3) | VARINT;
const BLOCK_SIGNAL = (1 << 3) | BYTES;
const BLOCK_SCHEMA_HASH = (2 << 3) | BYTES;
const BLOCK_ROWS = (3 << 3) | VARINT;
const BLOCK_COLUMN = (4 << 3) | BYTES;

/** Length of a snapshot's length: enough for 2^28 bytes. Written in full, so that the message needs not be measured before it is written. */
const LENGTH_BYTES = 4;

const heads = new Map<Signal, Buffer>();

/** Name and schema hash of a block, encoded. */
function headOf(signal: Signal): Buffer {
  let head = heads.get(signal);
  if (head === undefined) {
    const [name, hash] = [Buffer.from(signal.name), Buffer.from(schemaHash(signal))];
    head = Buffer.concat([Buffer.of(BLOCK_SIGNAL, name.length), name, Buffer.of(BLOCK_SCHEMA_HASH, hash.length), hash]);
    heads.set(signal, head);
  }
  return head;
}

const varintBytes = (value: number): number => (value < 0x80 ? 1 : value < 0x4000 ? 2 : value < 0x200000 ? 3 : value < 0x10000000 ? 4 : 5);

/**
 * Encodes a window as a StreamSnapshotsRequest. The generated codec would first want an object per block and a copy per column; a fleet of ten
 * thousand is sent by one core because this copies each column once, into one buffer.
 */
export class FrameEncoder {
  #scratch = Buffer.alloc(64 * 1024);

  /** The message, in memory of its own. */
  encode(header: FrameHeader, blocks: WindowBlocks): Buffer {
    let capacity = 256;
    for (const { signal, block } of blocks) {
      capacity += headOf(signal).length + 16;
      for (const column of block.columns) capacity += column.length + 6;
    }
    if (capacity > this.#scratch.length) this.#scratch = Buffer.alloc(capacity * 2);
    const out = this.#scratch;
    let at = 1 + LENGTH_BYTES;
    const scalar = (tag: number, value: number): void => {
      out[at++] = tag;
      at = writeVarint(out, at, value);
    };
    scalar(SEQUENCE, header.sequence);
    scalar(WINDOW_START_MS, header.windowStartMs);
    scalar(WINDOW_MS, header.windowMs);
    // sint64 is zigzag-encoded. Offsets stay far below 2^52 ms, so doubles hold them.
    if (header.clockOffsetMs !== 0) scalar(CLOCK_OFFSET_MS, header.clockOffsetMs < 0 ? -2 * header.clockOffsetMs - 1 : 2 * header.clockOffsetMs);
    scalar(BOOT_ID, header.bootId.length);
    at += out.write(header.bootId, at, "latin1");
    scalar(WINDOWS, header.windows);
    for (const { signal, block } of blocks) {
      const head = headOf(signal);
      let length = head.length + 1 + varintBytes(block.rows);
      for (const column of block.columns) length += 1 + varintBytes(column.length) + column.length;
      scalar(BLOCK, length);
      out.set(head, at);
      at += head.length;
      scalar(BLOCK_ROWS, block.rows);
      for (const column of block.columns) {
        scalar(BLOCK_COLUMN, column.length);
        out.set(column, at);
        at += column.length;
      }
    }
    out[0] = REQUEST_SNAPSHOT;
    let length = at - 1 - LENGTH_BYTES;
    for (let byte = 0; byte < LENGTH_BYTES; byte++) {
      out[1 + byte] = (length & 0x7f) | (byte < LENGTH_BYTES - 1 ? 0x80 : 0);
      length >>>= 7;
    }
    return Buffer.from(out.subarray(0, at));
  }
}
