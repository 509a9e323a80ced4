// SPDX-License-Identifier: Apache-2.0

/** An event's place in the feed: later first, then the greater id. */
export interface EventPosition {
  readonly atMs: number;
  readonly id: string;
}

/** Newest first; of one moment the greater id first. */
export function comparePositions(a: EventPosition, b: EventPosition): number {
  return b.atMs - a.atMs || (a.id < b.id ? 1 : a.id > b.id ? -1 : 0);
}
