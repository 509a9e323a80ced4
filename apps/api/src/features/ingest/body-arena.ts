// SPDX-License-Identifier: Apache-2.0

/** Each body starts at a multiple of this. */
const ALIGNMENT = 64;

/** Where bodies of inserts are written. */
export interface BodyMemory {
  /** A buffer of exactly this length with anything in it. */
  take(length: number): Buffer;
}

/**
 * Memory for the bodies of one batch's inserts, used again by the next. Garbage of megabytes makes V8 go through its whole heap every 64 MB of it,
 * and memory that is new to the process costs more than what is written there.
 */
export class BodyArena implements BodyMemory {
  private readonly memory: Buffer;
  private used = 0;

  constructor(bytes: number) {
    // Pages that were never written to take no room.
    this.memory = Buffer.allocUnsafeSlow(bytes);
  }

  /** Of the arena while there is room, otherwise of its own. */
  take(length: number): Buffer {
    const end = this.used + length;
    if (end > this.memory.length) return Buffer.allocUnsafeSlow(length);
    const buffer = this.memory.subarray(this.used, end);
    this.used = Math.ceil(end / ALIGNMENT) * ALIGNMENT;
    return buffer;
  }

  /** Nobody reads what was taken any more. */
  reset(): void {
    this.used = 0;
  }
}
