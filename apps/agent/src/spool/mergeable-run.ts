// SPDX-License-Identifier: Apache-2.0

/** How long merged windows may become, finest first: what the store keeps beside single windows, and a step between. Milliseconds. */
export const coarseLengthsMs = [60_000, 300_000, 3_600_000] as const;

/** What of a spooled frame decides whether it can be merged with the one before. */
export interface MergeCandidate {
  readonly windowStartMs: number;
  readonly windowMs: number;
  readonly bytes: number;
  readonly bootTag: bigint;
  /** What was to be added to the host's clock, as far as known; 0 if it agreed or was not known. Milliseconds. */
  readonly knownOffsetMs: number;
  /** Never sent: what may be stored already would count twice inside a longer window. */
  readonly isUnsent: boolean;
  /** It was found not to go together with the frame before it. */
  readonly startsAnew: boolean;
}

/** Differences of offsets and shifts below this are the slewing of a clock, not another setting of it. Milliseconds. */
export const slewMsMax = 250;

const hourMs = 3_600_000;

/** Bounds of one merge, so that its memory and time stay small whatever is waiting; two frames may always be merged. */
const runFramesMax = 12;
const runBytesMax = 2 * 1024 * 1024;

/**
 * The oldest frames that follow each other without a gap within one stretch of `lengthMs` on the API's clock and one hour of the host's, at least two;
 * empty if there are none. Only frames of the running boot: whether one of an earlier boot was sent just before a power failure, its file may not
 * know any more.
 * @param frames ascending
 */
export function findMergeableRun<T extends MergeCandidate>(
  frames: Iterable<readonly [number, T]>,
  lengthMs: number,
  bootTag: bigint,
): [sequence: number, frame: T][] {
  let run: [number, T][] = [];
  let bytes = 0;
  for (const [sequence, frame] of frames) {
    const isMergeable = frame.isUnsent && frame.bootTag === bootTag;
    const first = run[0]?.[1];
    const previous = run.at(-1)?.[1];
    const follows =
      first !== undefined &&
      previous !== undefined &&
      isMergeable &&
      !frame.startsAnew &&
      previous.windowStartMs + previous.windowMs === frame.windowStartMs &&
      Math.abs(first.knownOffsetMs - frame.knownOffsetMs) <= slewMsMax &&
      stretch(first.windowStartMs + first.knownOffsetMs, lengthMs) === stretch(frame.windowStartMs + first.knownOffsetMs, lengthMs) &&
      stretch(first.windowStartMs, hourMs) === stretch(frame.windowStartMs, hourMs) &&
      run.length < runFramesMax &&
      (run.length < 2 || bytes + frame.bytes <= runBytesMax);
    if (follows) {
      run.push([sequence, frame]);
      bytes += frame.bytes;
      continue;
    }
    if (run.length > 1) return run;
    // A window longer than the stretch has been merged as far as this length goes.
    run = isMergeable && frame.windowMs < lengthMs ? [[sequence, frame]] : [];
    bytes = frame.bytes;
  }
  return run.length > 1 ? run : [];
}

function stretch(ms: number, lengthMs: number): number {
  return Math.floor(ms / lengthMs);
}
