// SPDX-License-Identifier: Apache-2.0

/** The newest windows, which go out before any backlog; as with real agents. */
const LIVE_WINDOWS = 2;

/** What decides what a window is like, besides host, start and length. */
export interface WindowForm {
  /** Rows of one signal; 0: no limit. */
  readonly rowsMax: number;
  readonly signalsOff: ReadonlySet<string>;
}

/** A window to send. */
export interface DueWindow {
  readonly startMs: number;
  readonly lengthMs: number;
  /** As it was sent before: sent again it must be the same. undefined: not sent yet. */
  readonly form: WindowForm | undefined;
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
  readonly #stretches: Stretch[] = [];
  readonly #retries = new Map<number, SentBefore>();
  readonly #untilMs: number;
  #lengthMs: number;
  #newestEndMs: number;

  /**
   * @param fromMs start of the first window
   * @param untilMs end of the last
   */
  constructor(windowMs: number, fromMs: number, untilMs = Number.POSITIVE_INFINITY) {
    this.#windowMs = windowMs;
    this.#lengthMs = windowMs;
    this.#newestEndMs = fromMs;
    this.#untilMs = untilMs;
  }

  /** Length of the windows that become due from now on, ms, a multiple of the first length; what is due already stays as it is. */
  set lengthMs(lengthMs: number) {
    this.#lengthMs = lengthMs;
  }

  /** All windows that end at `nowMs` or before are due, unless `isDone` says they were sent in an earlier run. */
  extend(nowMs: number, isDone?: (startMs: number) => boolean): void {
    // At the end the last window is as long as what is left.
    const gridMs = nowMs >= this.#untilMs ? this.#windowMs : this.#lengthMs;
    const endMs = nowMs - (nowMs % gridMs);
    for (; isDone !== undefined && this.#newestEndMs < endMs; this.#newestEndMs += this.#windowMs) {
      if (!isDone(this.#newestEndMs)) this.#append(this.#newestEndMs, this.#newestEndMs + this.#windowMs, this.#windowMs);
    }
    while (this.#newestEndMs < endMs) {
      const startMs = this.#newestEndMs;
      const offsetMs = startMs % this.#lengthMs;
      // Up to the next boundary of the present length, then all whole ones, then what is left.
      const wholeMs = endMs - (endMs % this.#lengthMs);
      const stopMs = offsetMs > 0 ? Math.min(endMs, startMs - offsetMs + this.#lengthMs) : wholeMs > startMs ? wholeMs : endMs;
      this.#append(startMs, stopMs, Math.min(this.#lengthMs, stopMs - startMs));
      this.#newestEndMs = stopMs;
    }
  }

  retry({ startMs, lengthMs, form }: { readonly startMs: number } & SentBefore): void {
    this.#retries.set(startMs, { lengthMs, form });
  }

  get length(): number {
    return this.#stretches.reduce((sum, { next, end, lengthMs }) => sum + (end - next) / lengthMs, this.#retries.size);
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
    const liveFromMs = (lengthMs: number): number => this.#newestEndMs - LIVE_WINDOWS * lengthMs;
    const last = this.#stretches.at(-1);
    const startOfLive = ({ next, lengthMs }: Stretch): number => next + Math.ceil(Math.max(0, liveFromMs(lengthMs) - next) / lengthMs) * lengthMs;
    if (last !== undefined && startOfLive(last) < last.end) {
      const { lengthMs } = last;
      const startMs = startOfLive(last);
      if (startMs === last.next) this.#advance(last);
      else {
        // What lies before stays a stretch of its own.
        this.#stretches.splice(-1, 1, { next: last.next, end: startMs, lengthMs });
        if (startMs + lengthMs < last.end) this.#stretches.push({ next: startMs + lengthMs, end: last.end, lengthMs });
      }
      return { startMs, lengthMs, form: undefined, isLive: true, isRetry: false };
    }
    for (const [startMs, sent] of this.#retries) {
      const isLive = startMs >= liveFromMs(sent.lengthMs);
      if (!withBacklog && !isLive) continue;
      this.#retries.delete(startMs);
      return { startMs, ...sent, isLive, isRetry: true };
    }
    const first = this.#stretches[0];
    if (!withBacklog || first === undefined) return undefined;
    const { next: startMs, lengthMs } = first;
    this.#advance(first);
    return { startMs, lengthMs, form: undefined, isLive: false, isRetry: false };
  }

  #append(startMs: number, endMs: number, lengthMs: number): void {
    const last = this.#stretches.at(-1);
    if (last?.end === startMs && last.lengthMs === lengthMs) last.end = endMs;
    else this.#stretches.push({ next: startMs, end: endMs, lengthMs });
  }

  #advance(stretch: Stretch): void {
    stretch.next += stretch.lengthMs;
    if (stretch.next >= stretch.end) this.#stretches.splice(this.#stretches.indexOf(stretch), 1);
  }
}

/** Windows [next, end) of one length, never sent. */
interface Stretch {
  next: number;
  end: number;
  readonly lengthMs: number;
}

interface SentBefore {
  readonly lengthMs: number;
  readonly form: WindowForm | undefined;
}
