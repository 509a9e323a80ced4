// SPDX-License-Identifier: Apache-2.0
import { BufferPool } from "../common/buffer-pool.ts";
import { GrpcError, GrpcStatus } from "./grpc-status.ts";

/** Before each message: a flag that it is compressed, and its length in four bytes, big-endian. */
export const PREFIX_BYTES = 5;
/** What a message that has only begun may claim at once: its prefix says nothing about how much will come. */
const FIRST_BYTES_MAX = 64 * 1_024;
const SIZE_MIN = 4 * 1_024;
const POOL_BYTES_MAX = 8 * 1_024 * 1_024;

/** Whoever waits for the rest of a message. */
export interface PartialHolder {
  /** Gives up: others need the memory. */
  dropPartial(): void;
}

/**
 * Memory for messages that have arrived in part, used again and again and shared by all calls. Chunks of the transport are copied out of at once and die young;
 * kept until a message is whole, V8 would count them among the old, which only a walk through the whole heap frees. Whoever waits longest gives way when too
 * much is held.
 */
export class PartialMemory {
  private readonly pool = new BufferPool(POOL_BYTES_MAX, SIZE_MIN);
  private readonly holders = new Map<PartialHolder, Buffer>();
  private held = 0;

  constructor(private readonly bytesMax: number) {}

  get heldBytes(): number {
    return this.held;
  }

  /** A buffer of at least this length that starts with the first `kept` bytes of the holder's last one, which it takes the place of. */
  take(holder: PartialHolder, length: number, kept = 0): Buffer {
    const buffer = this.pool.take(length);
    const last = this.holders.get(holder);
    if (last !== undefined) {
      last.copy(buffer, 0, 0, kept);
      this.held -= last.buffer.byteLength;
      this.pool.give(last);
    }
    // A buffer that grows keeps its place in the order of waiting.
    this.holders.set(holder, buffer);
    this.held += buffer.buffer.byteLength;
    for (const oldest of this.holders.keys()) {
      if (this.held <= this.bytesMax || oldest === holder) break;
      oldest.dropPartial();
    }
    return buffer;
  }

  give(holder: PartialHolder): void {
    const buffer = this.holders.get(holder);
    if (buffer === undefined) return;
    this.holders.delete(holder);
    this.held -= buffer.buffer.byteLength;
    this.pool.give(buffer);
  }
}

/** Finds the messages in what a call sends. */
export class MessageReader {
  private prefixBytes = 0;
  private isCompressed = false;
  private length = 0;
  /** Of a message that has arrived in part; undefined between messages and inside a prefix. */
  private partial: Buffer | undefined;
  private filled = 0;

  /** @param bytesMax of one message */
  constructor(
    private readonly memory: PartialMemory,
    private readonly holder: PartialHolder,
    private readonly bytesMax: number,
  ) {}

  /** Something of a message has come, and not all of it. */
  get isInside(): boolean {
    return this.prefixBytes > 0;
  }

  /**
   * Reads on, up to the end of one message.
   * @param take gets the message when it is whole; the bytes are its own until it returns
   * @returns where the chunk goes on; its length if it is used up
   * @throws GrpcError; the call is over then
   */
  next(chunk: Buffer, at: number, take: (message: Buffer) => void): number {
    let position = at;
    while (this.prefixBytes < PREFIX_BYTES) {
      if (position === chunk.length) return position;
      const byte = chunk[position++] as number;
      if (this.prefixBytes++ === 0) {
        this.isCompressed = byte !== 0;
        this.length = 0;
      } else this.length = this.length * 256 + byte;
      if (this.prefixBytes === PREFIX_BYTES) this.checkPrefix();
    }
    const missing = this.length - this.filled;
    const end = Math.min(chunk.length, position + missing);
    const isWhole = end - position === missing;
    if (this.partial === undefined && isWhole) {
      this.prefixBytes = 0;
      take(chunk.subarray(position, end));
      return end;
    }
    const filled = this.filled + end - position;
    if (this.partial === undefined) this.partial = this.memory.take(this.holder, Math.max(filled, Math.min(this.length, FIRST_BYTES_MAX)));
    else if (filled > this.partial.length) this.partial = this.memory.take(this.holder, Math.min(this.length, filled * 2), this.filled);
    chunk.copy(this.partial, this.filled, position, end);
    this.filled = filled;
    if (isWhole) {
      try {
        take(this.partial.subarray(0, filled));
      } finally {
        this.drop();
      }
    }
    return end;
  }

  /** Forgets what has come of a message. */
  drop(): void {
    this.prefixBytes = 0;
    this.filled = 0;
    if (this.partial === undefined) return;
    this.partial = undefined;
    this.memory.give(this.holder);
  }

  private checkPrefix(): void {
    if (this.isCompressed) throw new GrpcError(GrpcStatus.UNIMPLEMENTED, "the message is compressed; send it as it is (grpc-encoding: identity)");
    if (this.length > this.bytesMax)
      throw new GrpcError(GrpcStatus.RESOURCE_EXHAUSTED, `the message has ${this.length} bytes, allowed are ${this.bytesMax}`);
  }
}

/** A message with its prefix. */
export function frameMessage(message: Uint8Array): Buffer {
  const out = Buffer.allocUnsafe(PREFIX_BYTES + message.length);
  out[0] = 0;
  out.writeUInt32BE(message.length, 1);
  out.set(message, PREFIX_BYTES);
  return out;
}
