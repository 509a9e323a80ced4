// SPDX-License-Identifier: Apache-2.0
import { AppError } from "../../common/app-error.ts";

/** An event's place in the feed: later first, then the greater id. */
export interface EventPosition {
  readonly atMs: number;
  readonly id: string;
}

export function writeCursor({ atMs, id }: EventPosition): string {
  return Buffer.from(JSON.stringify([atMs, id])).toString("base64url");
}

/** Throws VALIDATION_FAILED for what no page has handed out. */
export function readCursor(cursor: string): EventPosition {
  try {
    const [atMs, id] = JSON.parse(Buffer.from(cursor, "base64url").toString()) as [unknown, unknown];
    if (Number.isSafeInteger(atMs) && Math.abs(atMs as number) < 8.64e15 && typeof id === "string" && /^[a-z]-[0-9a-f-]{1,64}$/.test(id))
      return { atMs: atMs as number, id };
  } catch {
    // As below.
  }
  const detail = "The cursor is not the `meta.nextCursor` of a page.";
  throw new AppError("VALIDATION_FAILED", `/cursor: ${detail}`, { errors: [{ pointer: "/cursor", detail }] });
}

/** Newest first; of one moment the greater id first. */
export function comparePositions(a: EventPosition, b: EventPosition): number {
  return b.atMs - a.atMs || (a.id < b.id ? 1 : a.id > b.id ? -1 : 0);
}
