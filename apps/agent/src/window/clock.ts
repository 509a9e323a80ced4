// SPDX-License-Identifier: Apache-2.0

/** A window that has ended. */
export interface ClosedWindow {
  /** Start on the host's timeline, Unix milliseconds. Larger than that of every earlier window of this host. */
  readonly startMs: number;
  /** True length by a clock that does not step, 1 to `windowLengthMsMax`. */
  readonly lengthMs: number;
  /**
   * startMs minus the time since boot at which the window started. Two windows with the same shift were measured by the same setting
   * of the wall clock, so that a later correction can be told apart from a later window.
   */
  readonly shiftMs: number;
  /** How far the wall clock was stepped during the window; 0 if it was not. */
  readonly steppedMs: number;
}

/** The wire's bound on window_ms. */
export const windowLengthMsMax = 3_600_000;

/** Both clocks are read together, so all that may part them between two readings is slewing: 500 ppm of a minute is 30 ms. */
const stepMsMin = 50;

/** What is left of a window that was ended early ends where that one was to end, unless less is left than this. */
const restMsMin = 500;

export interface WindowClockOptions {
  readonly windowMs: number;
  readonly wallMs: number;
  readonly elapsedMs: number;
  /** Start of the newest window this host ever recorded, also in an earlier run. */
  readonly lastStartMs?: number | undefined;
}

/**
 * Cuts time into windows that follow each other without gap or overlap and end at wall-clock multiples of their length.
 *
 * Rows are stored by host and start of window, so starts must rise whatever the wall clock does. A step forward leaves a gap. A step back that
 * stays behind the start of the last window goes on from the new time. After a larger one, starts only creep on by a millisecond per window until the
 * wall clock has caught up; `shiftMs` tells the sender by how much such a window is off, and the clock offset on the wire puts it right.
 */
export class WindowClock {
  #windowMs: number;
  #nextWindowMs: number;
  #startMs: number;
  /** The wall clock when the window started; differs from #startMs only while the wall clock is behind what was already recorded. */
  #startWallMs: number;
  #startElapsedMs: number;
  /** What is left before a boundary is left to the next window if it is shorter than this. */
  #sliverMs: number;

  constructor(options: WindowClockOptions) {
    this.#windowMs = options.windowMs;
    this.#nextWindowMs = options.windowMs;
    this.#startWallMs = Math.round(options.wallMs);
    this.#startMs = Math.max(this.#startWallMs, (options.lastStartMs ?? 0) + 1);
    this.#startElapsedMs = options.elapsedMs;
    this.#sliverMs = options.windowMs / 10;
  }

  get windowMs(): number {
    return this.#nextWindowMs;
  }

  /** Takes effect when the current window ends: where it ends was decided when it began, and that boundary is to be recorded. */
  set windowMs(value: number) {
    this.#nextWindowMs = value;
  }

  /**
   * Milliseconds from `wallMs` to the next multiple of the window's length. A window shorter than a tenth is left to the next one, but not
   * what is left of a window that was ended early.
   */
  delayMs(wallMs: number): number {
    const delay = this.#windowMs - (wallMs % this.#windowMs);
    return delay < this.#sliverMs ? delay + this.#windowMs : delay;
  }

  /** From the start of the current window to the boundary that `delayMs` speaks of. */
  lengthMs(wallMs: number): number {
    return Math.max(0, wallMs - this.#startWallMs) + this.delayMs(wallMs);
  }

  /**
   * Ends the current window now and starts the next.
   * @param isEarly it was not to end at a multiple of its length, but at a second
   */
  close(wallMs: number, elapsedMs: number, isEarly = false): ClosedWindow {
    const trueLengthMs = Math.max(1, Math.round(elapsedMs - this.#startElapsedMs));
    const differenceMs = Math.round(wallMs - (this.#startWallMs + trueLengthMs));
    const steppedMs = Math.abs(differenceMs) > stepMsMin ? differenceMs : 0;
    const followsWall = steppedMs === 0 && this.#startMs === this.#startWallMs;
    const endMs = followsWall ? this.#snap(wallMs, isEarly ? 1_000 : this.#windowMs) : this.#startMs + trueLengthMs;
    // Longer than the wire can say means that the host slept; what was counted was counted around the sleep.
    const lengthMs = Math.min(endMs - this.#startMs, windowLengthMsMax);
    const startMs = endMs - lengthMs;
    const window = { startMs, lengthMs, shiftMs: Math.round(this.#startMs - this.#startElapsedMs), steppedMs };
    this.#startWallMs = followsWall ? endMs : Math.round(wallMs);
    this.#startElapsedMs = elapsedMs - (followsWall ? wallMs - endMs : 0);
    this.#startMs = Math.max(this.#startWallMs, startMs + 1);
    this.#windowMs = this.#nextWindowMs;
    this.#sliverMs = isEarly ? Math.min(restMsMin, this.#windowMs / 2) : this.#windowMs / 10;
    return window;
  }

  /** A timer is a few milliseconds late; hosts line up only if the boundary that was meant is the one recorded. */
  #snap(wallMs: number, gridMs: number): number {
    const rounded = Math.max(Math.round(wallMs), this.#startMs + 1);
    const boundary = rounded - (rounded % gridMs);
    return rounded - boundary <= this.#windowMs / 100 && boundary > this.#startMs ? boundary : rounded;
  }
}
