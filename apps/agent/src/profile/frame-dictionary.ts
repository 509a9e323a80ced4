// SPDX-License-Identifier: Apache-2.0
import type { WireRow } from "@waggle/signals";
import { cutFrames } from "./frames-text.ts";

const HOUR_MS = 3_600_000;
/** Stacks that are remembered as sent; beyond it they are sent again. */
const SENT_MAX = 20_000;
/** Bytes of frames in one window, so that they do not crowd out the rest of the frame on the wire; of what waits beyond the second the oldest is let go. */
const WINDOW_BYTES_MAX = 128 * 1024;
const WAITING_BYTES_MAX = 1024 * 1024;

/**
 * Decides when the frames of a stack are sent: with the stack's first use in each hour of the clock, so that whoever has a row finds its frames in the same
 * hour.
 */
export class FrameDictionary {
  readonly #sent = new Set<string>();
  /** Frames that had no room in their window, in the order they are to be sent. */
  #waiting = new Map<string, string>();
  #hour = -1;

  /** Starts a window that began at that time of the wall clock. Returns true if it is the first in its hour. */
  begin(startedAtMs: number): boolean {
    const hour = Math.floor(startedAtMs / HOUR_MS);
    if (hour === this.#hour) return false;
    this.#hour = hour;
    this.#sent.clear();
    this.#waiting.clear();
    return true;
  }

  /** Whether the stack's frames were sent in this hour or will be. */
  has(stack: string): boolean {
    return this.#sent.has(stack) || this.#waiting.has(stack);
  }

  /** Takes the frames of a window's stacks by their names, the heaviest first. They go before what still waits: what waits has been seen less lately. */
  add(texts: Iterable<readonly [stack: string, text: string]>): void {
    const waiting = new Map<string, string>();
    let bytes = 0;
    const keep = (stack: string, frames: string): void => {
      if (bytes >= WAITING_BYTES_MAX) return;
      bytes += Buffer.byteLength(frames);
      waiting.set(stack, frames);
    };
    for (const [stack, text] of texts) if (!this.#sent.has(stack) && !waiting.has(stack)) keep(stack, cutFrames(text));
    for (const [stack, frames] of this.#waiting) if (!waiting.has(stack)) keep(stack, frames);
    this.#waiting = waiting;
  }

  /** The rows of `stack_frames` in this window. */
  take(rowsMax: number): WireRow[] {
    const rows: WireRow[] = [];
    let bytes = 0;
    for (const [stack, frames] of this.#waiting) {
      if (rows.length >= rowsMax || (bytes > 0 && bytes + Buffer.byteLength(frames) > WINDOW_BYTES_MAX)) break;
      bytes += Buffer.byteLength(frames);
      rows.push({ stack, frames, windows: 1n });
      this.#waiting.delete(stack);
      if (this.#sent.size >= SENT_MAX) this.#sent.clear();
      this.#sent.add(stack);
    }
    return rows;
  }
}
