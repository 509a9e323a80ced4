// SPDX-License-Identifier: Apache-2.0

interface Entry<T> {
  readonly answer: T;
  readonly version: string;
  readonly bytes: number;
}

/** Answers that stay right until what they were made of changes; the ones not asked for longest go first when there is no more room. */
export class KeptAnswers<T> {
  private readonly entries = new Map<string, Entry<T>>();
  private bytes = 0;

  constructor(private readonly bytesMax: number) {}

  /** Bytes that are held. */
  get size(): number {
    return this.bytes;
  }

  /**
   * @param key names everything the answer depends on, the tenant included
   * @param version of what it is made of, now
   */
  get(key: string, version: string): T | undefined {
    const entry = this.entries.get(key);
    if (entry === undefined) return undefined;
    this.entries.delete(key);
    if (entry.version !== version) {
      this.bytes -= entry.bytes;
      return undefined;
    }
    this.entries.set(key, entry);
    return entry.answer;
  }

  /** @param version of what it was made of, from before it was read */
  put(key: string, version: string, answer: T, bytes: number): void {
    const known = this.entries.get(key);
    if (known !== undefined) {
      this.entries.delete(key);
      this.bytes -= known.bytes;
    }
    // One that takes a large part of the room would push out everything else.
    if (bytes > this.bytesMax / 8) return;
    this.entries.set(key, { answer, version, bytes });
    this.bytes += bytes;
    for (const [oldest, entry] of this.entries) {
      if (this.bytes <= this.bytesMax) break;
      this.entries.delete(oldest);
      this.bytes -= entry.bytes;
    }
  }
}
