// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from "node:fs";
import { HourClaims } from "./hour-claims.ts";

/** A merge that is announced before it is done, so that a kill in between leaves no doubt which of the two the claims speak of. */
export interface AnnouncedMerge {
  readonly sequence: number;
  readonly throughSequence: number;
  readonly windowStartMs: number;
  /** What the merge takes from the hour's frames and rows. */
  readonly framesLess: number;
  readonly rowsLess: number;
}

/** What the spool has to remember besides its frames. Written after each frame; what a kill prevented from being written follows from the files. */
export interface Progress {
  /** Of the newest frame ever spooled. */
  readonly sequence: number;
  /** Start of its window. */
  readonly windowStartMs: number;
  /** Frames up to here were given up. Their files are deleted afterwards. */
  readonly droppedThrough: number;
  readonly merge: AnnouncedMerge | undefined;
  /** Frames in `refused/` and `corrupt/` that the claims know of; undefined if none are kept track of (an older version's file, or none). */
  readonly setAside: readonly number[] | undefined;
  readonly hours: HourClaims;
}

/** Of a spool that never held anything. */
export function newProgress(): Progress {
  return { sequence: 0, windowStartMs: 0, droppedThrough: 0, merge: undefined, setAside: undefined, hours: new HourClaims() };
}

export function encodeProgress(progress: Progress): string {
  return `${JSON.stringify(progress)}\n`;
}

/** Reads progress.json; undefined if there is none. Throws an Error in words if it is unreadable. */
export function readProgress(path: string): Progress | undefined {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
  const value = JSON.parse(text) as Partial<Record<keyof Progress, unknown>>;
  const { sequence, windowStartMs, droppedThrough = 0 } = value;
  if (!isCount(sequence) || !Number.isSafeInteger(windowStartMs) || !isCount(droppedThrough))
    throw new Error("sequence, windowStartMs or droppedThrough is no whole number");
  return {
    sequence,
    windowStartMs: windowStartMs as number,
    droppedThrough,
    merge: isMerge(value.merge) ? value.merge : undefined,
    setAside: Array.isArray(value.setAside) && value.setAside.every(isCount) ? value.setAside : undefined,
    hours: value.hours === undefined ? new HourClaims() : HourClaims.fromJSON(value.hours),
  };
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isMerge(value: unknown): value is AnnouncedMerge {
  if (typeof value !== "object" || value === null) return false;
  const merge = value as Record<string, unknown>;
  return ["sequence", "throughSequence", "windowStartMs", "framesLess", "rowsLess"].every((name) => Number.isSafeInteger(merge[name]));
}
