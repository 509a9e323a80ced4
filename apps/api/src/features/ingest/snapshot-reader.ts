// SPDX-License-Identifier: Apache-2.0
import { type Snapshot, StreamSnapshotsRequest } from "@waggle/proto";
import { packColumns } from "@waggle/signals";

/** A snapshot as it came, its columns still in the message. */
export interface WireSnapshot {
  readonly sequence: bigint;
  readonly windowStartMs: bigint;
  readonly windowMs: number;
  readonly clockOffsetMs: bigint;
  readonly bootId: string;
  readonly windows: number;
  readonly blocks: readonly WireBlock[];
  /** Holds the columns. */
  readonly memory: Uint8Array;
}

export interface WireBlock {
  readonly signal: string;
  readonly schemaHash: string;
  readonly rows: number;
  /** Of each column the first byte in `memory` and the one behind its last. Numbers, as a view each would be most of what a frame costs V8. */
  readonly spans: readonly number[];
}

/** A snapshot whose columns are buffers of their own. */
export function packSnapshot(snapshot: Snapshot): WireSnapshot {
  const { memory, spans } = packColumns(snapshot.blocks.flatMap((block) => block.columns));
  let at = 0;
  const blocks = snapshot.blocks.map(({ signal, schemaHash, rows, columns }) => {
    const first = at;
    at += columns.length * 2;
    return { signal, schemaHash, rows, spans: spans.slice(first, at) };
  });
  return { ...snapshot, blocks, memory };
}

/** A message of an agent; a snapshot's columns stay where they are. Throws what the generated decoder throws. */
export type AgentMessage =
  | Exclude<StreamSnapshotsRequest["message"], { readonly $case: "snapshot" } | undefined>
  | { readonly $case: "snapshot"; readonly value: WireSnapshot };

export function readAgentMessage(bytes: Buffer): AgentMessage | undefined {
  const snapshot = bytes[0] === SNAPSHOT_TAG ? new SnapshotReader(bytes).read() : undefined;
  if (snapshot !== undefined) return { $case: "snapshot", value: snapshot };
  // Everything unusual, and whatever is no protobuf, is the generated decoder's to judge.
  const { message } = StreamSnapshotsRequest.decode(bytes);
  return message?.$case === "snapshot" ? { $case: "snapshot", value: packSnapshot(message.value) } : message;
}

/** Field numbers and wire types of packages/proto: number << 3, 0 = varint, 2 = length and bytes. */
const SNAPSHOT_TAG = (2 << 3) | 2;
const SEQUENCE = 1 << 3;
const WINDOW_START_MS = 2 << 3;
const WINDOW_MS = 3 << 3;
const CLOCK_OFFSET_MS = 4 << 3;
const BOOT_ID = (5 << 3) | 2;
const BLOCKS = (6 << 3) | 2;
const WINDOWS = 7 << 3;
const BLOCK_SIGNAL = (1 << 3) | 2;
const BLOCK_SCHEMA_HASH = (2 << 3) | 2;
const BLOCK_ROWS = 3 << 3;
const BLOCK_COLUMNS = (4 << 3) | 2;
const UINT32_MAX = 2 ** 32 - 1;
/** Far beyond any catalogue: empty ones take two bytes of a message and a hundred of memory. */
const BLOCKS_MAX = 1_000;
const COLUMNS_MAX = 1_000;

/** An array that grows leaves its smaller selves behind; a copy of this has the right size at once. */
const spanScratch: number[] = [];

/**
 * Reads the snapshots that agents send: the fields there are, numbers that JavaScript holds exactly. The generated decoder makes an object for every
 * column, which takes as long as checking it and leaves 10 kB of garbage per frame of 300 rows.
 */
class SnapshotReader {
  private readonly bytes: Buffer;
  private at = 1;
  /** Something is not as usual. */
  private isOdd = false;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }

  read(): WireSnapshot | undefined {
    const { bytes } = this;
    const end = this.length();
    if (this.isOdd || end !== bytes.length) return undefined;
    let sequence = 0;
    let windowStartMs = 0;
    let windowMs = 0;
    let clockOffset = 0;
    let bootId = "";
    let windows = 0;
    const blocks: WireBlock[] = [];
    while (this.at < end && !this.isOdd) {
      switch (bytes[this.at++]) {
        case SEQUENCE:
          sequence = this.varint();
          break;
        case WINDOW_START_MS:
          windowStartMs = this.varint();
          break;
        case WINDOW_MS:
          windowMs = this.varint();
          break;
        case CLOCK_OFFSET_MS:
          clockOffset = this.varint();
          break;
        case BOOT_ID:
          bootId = this.text();
          break;
        case BLOCKS:
          if (blocks.length === BLOCKS_MAX) throw new Error(`more than ${BLOCKS_MAX} blocks`);
          blocks.push(this.block());
          break;
        case WINDOWS:
          windows = this.varint();
          break;
        default:
          return undefined;
      }
    }
    if (this.isOdd || this.at !== end || windowMs > UINT32_MAX || windows > UINT32_MAX) return undefined;
    const clockOffsetMs = clockOffset % 2 === 0 ? clockOffset / 2 : -(clockOffset + 1) / 2;
    return {
      sequence: BigInt(sequence),
      windowStartMs: BigInt(windowStartMs),
      windowMs,
      clockOffsetMs: BigInt(clockOffsetMs),
      bootId,
      windows,
      blocks,
      memory: bytes,
    };
  }

  private block(): WireBlock {
    const { bytes } = this;
    const end = this.length();
    let signal = "";
    let schemaHash = "";
    let rows = 0;
    let spanCount = 0;
    while (this.at < end && !this.isOdd) {
      switch (bytes[this.at++]) {
        case BLOCK_SIGNAL:
          signal = this.text();
          break;
        case BLOCK_SCHEMA_HASH:
          schemaHash = this.text();
          break;
        case BLOCK_ROWS:
          rows = this.varint();
          break;
        case BLOCK_COLUMNS: {
          if (spanCount === COLUMNS_MAX * 2) throw new Error(`more than ${COLUMNS_MAX} columns in a block`);
          const columnEnd = this.length();
          spanScratch[spanCount++] = this.at;
          spanScratch[spanCount++] = columnEnd;
          this.at = columnEnd;
          break;
        }
        default:
          this.isOdd = true;
      }
    }
    if (this.at !== end || rows > UINT32_MAX) this.isOdd = true;
    return { signal, schemaHash, rows, spans: spanScratch.slice(0, spanCount) };
  }

  /** Reads a length. @returns where what has it ends */
  private length(): number {
    const end = this.varint() + this.at;
    if (end > this.bytes.length) this.isOdd = true;
    return end;
  }

  private text(): string {
    const end = this.length();
    const start = this.at;
    this.at = end;
    return this.isOdd ? "" : this.bytes.toString("utf8", start, end);
  }

  /** Up to 49 bits; what is longer is odd. */
  private varint(): number {
    const { bytes } = this;
    let value = 0;
    for (let scale = 1; scale < 2 ** 49; scale *= 128) {
      const byte = bytes[this.at++];
      if (byte === undefined) break;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
    }
    this.isOdd = true;
    return 0;
  }
}
