// SPDX-License-Identifier: Apache-2.0

const SIZE_MIN_DEFAULT = 64 * 1_024;

/**
 * Buffers that are used again. Garbage of megabytes makes V8 go through its whole heap every 64 MB of it, which at full ingest cost
 * more than everything else the API does.
 */
export class BufferPool {
  /** Free ones by size, which is a power of two. */
  private readonly free = new Map<number, Buffer[]>();
  private readonly bytesMax: number;
  private readonly sizeMin: number;
  private freeBytes = 0;

  /**
   * @param bytesMax what is kept of free ones
   * @param sizeMin of the smallest, a power of two
   */
  constructor(bytesMax: number, sizeMin = SIZE_MIN_DEFAULT) {
    this.bytesMax = bytesMax;
    this.sizeMin = sizeMin;
  }

  /** A buffer of exactly this length with anything in it. */
  take(length: number): Buffer {
    const size = Math.max(this.sizeMin, 2 ** Math.ceil(Math.log2(length)));
    const buffer = this.free.get(size)?.pop();
    if (buffer === undefined) return Buffer.allocUnsafeSlow(size).subarray(0, length);
    this.freeBytes -= size;
    return buffer.subarray(0, length);
  }

  /** Takes back one that nobody will read any more. */
  give(buffer: Buffer): void {
    const size = buffer.buffer.byteLength;
    if (this.freeBytes + size > this.bytesMax) return;
    this.freeBytes += size;
    const whole = Buffer.from(buffer.buffer);
    const list = this.free.get(size);
    if (list === undefined) this.free.set(size, [whole]);
    else list.push(whole);
  }
}
