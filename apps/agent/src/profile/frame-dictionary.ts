// SPDX-License-Identifier: Apache-2.0
import type { WireRow } from "@waggle/signals";
import { cutFrames } from "./frames-text.ts";

const HOUR_MS = 3_600_000;
/** Stacks that are remembered as sent; beyond it they are sent again. */
const SENT_MAX = 20_000;
/**
 * Bytes of frames in one window, so that they do not crowd out the rest of the frame on the wire. What windows leave of it is there for later ones, up to the second number: in
 * the first of each hour everything is to be sent again. Of what waits beyond the third what brings least is let go.
 */
const WINDOW_BYTES = 128 * 1024;
const BURST_BYTES_MAX = 512 * 1024;
const WAITING_BYTES_MAX = 1024 * 1024;

/** A stack of a window. */
export interface StackUse {
  readonly stack: string;
  /** Absent if it is remembered under its name. */
  readonly text: string | undefined;
  /** How much of the window it is, in what its signal measures: 1 is all. */
  readonly share: number;
}

interface Waiting {
  readonly stack: string;
  readonly frames: string;
  readonly bytes: number;
  /** Sum of its shares in the windows of the hour: what is known to have been there is named in all of them at once. */
  share: number;
}

/** What rows name whose frames are not sent. */
export interface UnsentStacks {
  /** Stacks of the window whose frames may come with a later one. */
  readonly late: number;
  /** Stacks, of whichever windows of the hour, whose frames were given up since the last window. */
  readonly letGo: number;
}

/**
 * Decides when the frames of a stack are sent: with the stack's first use in each hour of the clock, so that whoever has a row finds its frames in the same
 * hour. Where there are too many, those go first that name most of what was measured for their bytes.
 */
export class FrameDictionary {
  readonly #sent = new Set<string>();
  readonly #waiting = new Map<string, Waiting>();
  /** Stacks of the window. */
  readonly #used = new Set<string>();
  #hour = -1;
  #bytes = BURST_BYTES_MAX - WINDOW_BYTES;
  #letGo = 0;

  /** Starts a window that began at that time of the wall clock. Returns true if it is the first in its hour. */
  begin(startedAtMs: number): boolean {
    this.#used.clear();
    this.#bytes = Math.min(BURST_BYTES_MAX, this.#bytes + WINDOW_BYTES);
    const hour = Math.floor(startedAtMs / HOUR_MS);
    this.#letGo = 0;
    if (hour === this.#hour) return false;
    this.#hour = hour;
    this.#letGo = this.#waiting.size;
    this.#sent.clear();
    this.#waiting.clear();
    return true;
  }

  /** Whether the stack's frames were sent in this hour or will be. */
  has(stack: string): boolean {
    return this.#sent.has(stack) || this.#waiting.has(stack);
  }

  /** Takes the stacks that the window's rows name; one may come several times. */
  add(uses: Iterable<StackUse>): void {
    for (const { stack, text, share } of uses) {
      this.#used.add(stack);
      if (this.#sent.has(stack)) continue;
      const known = this.#waiting.get(stack);
      if (known !== undefined) known.share += share;
      else if (text !== undefined) {
        const frames = cutFrames(text);
        this.#waiting.set(stack, { stack, frames, bytes: Buffer.byteLength(frames), share });
      }
    }
  }

  /** The rows of `stack_frames` in this window. */
  take(rowsMax: number): WireRow[] {
    const rows: WireRow[] = [];
    const order = [...this.#waiting.values()].sort((a, b) => b.share * a.bytes - a.share * b.bytes);
    let kept = 0;
    for (const { stack, frames, bytes } of order) {
      if (rows.length < rowsMax && bytes <= this.#bytes) {
        this.#bytes -= bytes;
        rows.push({ stack, frames, windows: 1n });
        this.#waiting.delete(stack);
        if (this.#sent.size >= SENT_MAX) this.#sent.clear();
        this.#sent.add(stack);
      } else if (kept + bytes <= WAITING_BYTES_MAX) kept += bytes;
      else {
        this.#waiting.delete(stack);
        this.#letGo++;
      }
    }
    return rows;
  }

  /** To be asked when the window's rows were taken. */
  get unsent(): UnsentStacks {
    let late = 0;
    for (const stack of this.#used) if (!this.#sent.has(stack)) late++;
    return { late, letGo: this.#letGo };
  }
}
