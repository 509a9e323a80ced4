// SPDX-License-Identifier: Apache-2.0

/** The newest windows, which go out before any backlog; as with real agents. */
const LIVE_WINDOWS = 2;

/** A window to send. */
export interface DueWindow {
  readonly startMs: number;
  readonly isLive: boolean;
  /** It was sent before, without an answer. */
  readonly isRetry: boolean;
}

/**
 * The windows that a host still has to send. Those never sent are stretches of time, so a backlog of a day costs as much memory as
 * one of a minute.
 */
export class WindowQueue {
  readonly #windowMs: number;
  /** Stretches [next, end) of windows never sent, oldest first; the last one ends at the newest window. */
  readonly #stretches: { next: number; end: number }[] = [];
  readonly #retries = new Set<number>();
  #newestEndMs: number;

  /** @param fromMs start of the first window */
  constructor(windowMs: number, fromMs: number) {
    this.#windowMs = windowMs;
    this.#newestEndMs = fromMs;
  }

  /** All windows that end at `nowMs` or before are due, unless `isDone` says they were sent in an earlier run. */
  extend(nowMs: number, isDone?: (startMs: number) => boolean): void {
    const endMs = nowMs - (nowMs % this.#windowMs);
    for (; isDone !== undefined && this.#newestEndMs < endMs; this.#newestEndMs += this.#windowMs) {
      if (!isDone(this.#newestEndMs)) this.#append(this.#newestEndMs, this.#newestEndMs + this.#windowMs);
    }
    if (this.#newestEndMs >= endMs) return;
    this.#append(this.#newestEndMs, endMs);
    this.#newestEndMs = endMs;
  }

  retry(startMs: number): void {
    this.#retries.add(startMs);
  }

  get length(): number {
    return this.#stretches.reduce((sum, { next, end }) => sum + (end - next) / this.#windowMs, this.#retries.size);
  }

  /** Gives up the windows never sent; returns how many. */
  clearUnsent(): number {
    const before = this.length;
    this.#stretches.length = 0;
    return before - this.length;
  }

  get isEmpty(): boolean {
    return this.#stretches.length === 0 && this.#retries.size === 0;
  }

  /** Takes the next window out: the newest ones first, then the oldest, if `withBacklog`. */
  take(withBacklog: boolean): DueWindow | undefined {
    const liveFromMs = this.#newestEndMs - LIVE_WINDOWS * this.#windowMs;
    const last = this.#stretches.at(-1);
    if (last !== undefined && last.end > liveFromMs) {
      const startMs = Math.max(last.next, liveFromMs);
      if (startMs === last.next) this.#advance(last);
      else {
        // What lies before stays a stretch of its own.
        this.#stretches.splice(-1, 1, { next: last.next, end: startMs });
        if (startMs + this.#windowMs < last.end) this.#stretches.push({ next: startMs + this.#windowMs, end: last.end });
      }
      return { startMs, isLive: true, isRetry: false };
    }
    for (const startMs of this.#retries) {
      if (!withBacklog && startMs < liveFromMs) continue;
      this.#retries.delete(startMs);
      return { startMs, isLive: startMs >= liveFromMs, isRetry: true };
    }
    const first = this.#stretches[0];
    if (!withBacklog || first === undefined) return undefined;
    const startMs = first.next;
    this.#advance(first);
    return { startMs, isLive: false, isRetry: false };
  }

  #append(startMs: number, endMs: number): void {
    const last = this.#stretches.at(-1);
    if (last?.end === startMs) last.end = endMs;
    else this.#stretches.push({ next: startMs, end: endMs });
  }

  #advance(stretch: { next: number; end: number }): void {
    stretch.next += this.#windowMs;
    if (stretch.next >= stretch.end) this.#stretches.splice(this.#stretches.indexOf(stretch), 1);
  }
}
