// SPDX-License-Identifier: Apache-2.0
import type { BufferPool } from "../common/buffer-pool.ts";

/** What a flow-control window holds: as much as one that sends without pause has outstanding. */
const WINDOW_BYTES = 64 * 1_024;
/** Above this it is of somebody who sends much. */
const SMALL_BYTES = 4 * 1_024;
/** Of the smallest memory taken. */
export const UNREAD_BYTES_MIN = 1_024;

/** What has come of a call that nobody reads at the moment, in memory that is used again. */
export class UnreadBytes {
  private memory: Buffer | undefined;
  private start = 0;
  private end = 0;

  constructor(private readonly pool: BufferPool) {}

  get length(): number {
    return this.end - this.start;
  }

  /** All of it, until the next call of another method. */
  view(): Buffer {
    return this.memory === undefined ? Buffer.alloc(0) : this.memory.subarray(this.start, this.end);
  }

  /** Copies what `chunk` holds from `at` on. */
  append(chunk: Buffer, at: number): void {
    const more = chunk.length - at;
    if (more === 0) return;
    if (this.memory === undefined || this.end + more > this.memory.length) this.makeRoom(more);
    chunk.copy(this.memory as Buffer, this.end, at);
    this.end += more;
  }

  /** The first so many bytes were read. */
  skip(bytes: number): void {
    this.start += bytes;
    if (this.start === this.end) this.clear();
  }

  clear(): void {
    this.start = 0;
    this.end = 0;
    if (this.memory === undefined) return;
    this.pool.give(this.memory);
    this.memory = undefined;
  }

  private makeRoom(more: number): void {
    const { memory, start, end } = this;
    const needed = end - start + more;
    this.start = 0;
    this.end = end - start;
    if (memory !== undefined && needed <= memory.length) {
      memory.copyWithin(0, start, end);
      return;
    }
    const larger = this.pool.take(needed <= SMALL_BYTES ? roundUp(needed) : Math.max(WINDOW_BYTES, roundUp(needed)));
    if (memory !== undefined) {
      memory.copy(larger, 0, start, end);
      this.pool.give(memory);
    }
    this.memory = larger;
  }
}

function roundUp(bytes: number): number {
  return Math.max(UNREAD_BYTES_MIN, 2 ** Math.ceil(Math.log2(bytes)));
}
