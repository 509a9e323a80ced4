// SPDX-License-Identifier: Apache-2.0
import type { Frame } from "./frame.ts";

/** What became of a frame: stored for good, or impossible to store. Storage that fails has no outcome; the frame waits. */
export type FrameOutcome = { readonly result: "stored" } | { readonly result: "refused"; readonly reason: string };

export interface QueueEntry {
  readonly frame: Frame;
  readonly isLive: boolean;
  readonly done: (outcome: FrameOutcome) => void;
}

/** Frames in the order they came. */
export class FrameQueue {
  private entries: QueueEntry[] = [];
  private head = 0;
  private heldBytes = 0;

  get length(): number {
    return this.entries.length - this.head;
  }

  get bytes(): number {
    return this.heldBytes;
  }

  push(entry: QueueEntry): void {
    this.entries.push(entry);
    this.heldBytes += entry.frame.memory.length;
  }

  /** Removes the oldest frames up to these bounds; at least one if there is one and `bytesMax` is more than 0. */
  take(bytesMax: number, framesMax: number): QueueEntry[] {
    const taken: QueueEntry[] = [];
    let bytes = 0;
    while (this.head < this.entries.length && taken.length < framesMax && bytes < bytesMax) {
      const entry = this.entries[this.head] as QueueEntry;
      if (taken.length > 0 && bytes + entry.frame.memory.length > bytesMax) break;
      this.head++;
      bytes += entry.frame.memory.length;
      taken.push(entry);
    }
    this.heldBytes -= bytes;
    if (this.head === this.entries.length) {
      this.entries = [];
      this.head = 0;
    } else if (this.head > 1_024 && this.head * 2 > this.entries.length) {
      this.entries = this.entries.slice(this.head);
      this.head = 0;
    }
    return taken;
  }
}
