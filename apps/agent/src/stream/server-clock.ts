// SPDX-License-Identifier: Apache-2.0
import type { FrameInfo } from "../spool/frame-file.ts";

/** Closer than this the two clocks count as equal; NTP keeps a healthy host far below. */
export const clockOffsetToleratedMs = 2_000;

/** A new measurement within this of the old one is the network's jitter; adopting it would shift windows against each other. */
const jitterMs = 250;

/**
 * The API's clock, held against the host's time since boot rather than its wall clock: so the offset of a window follows from when it was
 * measured, however often the wall clock was stepped since, and in either direction.
 */
export class ServerClock {
  readonly #bootTag: bigint;
  /** Server's Unix time minus this host's time since boot, milliseconds. */
  #shiftMs: number | undefined;
  /** How far from the truth that may be. */
  #errorMs = 0;

  constructor(bootTag: bigint) {
    this.#bootTag = bootTag;
  }

  get isKnown(): boolean {
    return this.#shiftMs !== undefined;
  }

  /**
   * Takes in a server time that was read at some moment between two of this host (milliseconds since boot).
   *
   * What was sent may have waited anywhere for seconds, so each time bounds the shift and does not tell it: from above by the moment of the question, from
   * below by the moment of the answer. A shift that lies within the bounds is kept.
   * @param askedElapsedMs undefined: nothing was asked, and how long the message was under way is not known
   */
  observe(serverTimeMs: number, askedElapsedMs: number | undefined, receivedElapsedMs: number): void {
    const least = serverTimeMs - receivedElapsedMs;
    const most = askedElapsedMs === undefined ? Number.POSITIVE_INFINITY : serverTimeMs - askedElapsedMs;
    const known = this.#shiftMs;
    if (known !== undefined && known >= least - jitterMs && known <= most + jitterMs) {
      this.#errorMs = Math.min(this.#errorMs, Math.max(most - known, known - least));
      return;
    }
    if (askedElapsedMs !== undefined) {
      this.#shiftMs = (least + most) / 2;
      this.#errorMs = (most - least) / 2;
    } else if (known === undefined || known < least) {
      // It is at least this much, and nobody knows how much more: enough to say by how much the clocks differ at the least.
      this.#shiftMs = least;
      this.#errorMs = 0;
    }
  }

  /** What to add to the host's wall clock now to get the server's; 0 while unknown or within what is tolerated. Milliseconds. */
  offsetNowMs(wallMs: number, elapsedMs: number): number {
    return this.#toleratedAsZero(wallMs - elapsedMs);
  }

  /** What to add to the start of a window of this boot; undefined while the server's clock is unknown. Milliseconds. */
  offsetOfWindowMs(shiftMs: number): number | undefined {
    return this.#shiftMs === undefined ? undefined : this.#toleratedAsZero(shiftMs);
  }

  /**
   * The offset to send a frame with. A frame that was sent before keeps its offset, as a copy with another one would be stored beside
   * the first. A frame of an earlier boot has only what was known then, or else the hope that the clock is off by as much as it is now.
   */
  offsetOfFrameMs(frame: FrameInfo, wallMs: number, elapsedMs: number): number {
    if (frame.sentOffsetMs !== undefined) return frame.sentOffsetMs;
    if (frame.bootTag !== this.#bootTag && frame.knownOffsetMs !== undefined) return frame.knownOffsetMs;
    return this.correctedOffsetMs(frame, wallMs, elapsedMs);
  }

  /** The offset by what is known now alone, for a frame that was refused for the one it had. */
  correctedOffsetMs(frame: FrameInfo, wallMs: number, elapsedMs: number): number {
    return frame.bootTag === this.#bootTag ? this.#toleratedAsZero(frame.shiftMs) : this.offsetNowMs(wallMs, elapsedMs);
  }

  #toleratedAsZero(hostShiftMs: number): number {
    if (this.#shiftMs === undefined) return 0;
    const offsetMs = Math.round(this.#shiftMs - hostShiftMs);
    // Only a difference that is certain: a window moved for a delay of the network would no longer line up with any other.
    return Math.abs(offsetMs) > clockOffsetToleratedMs + this.#errorMs ? offsetMs : 0;
  }
}
