// SPDX-License-Identifier: Apache-2.0

/** What became of the windows that started in one hour of the host's clock. */
export interface HourFigures {
  /** Made, whatever became of them. */
  readonly windows: number;
  /** Rows and frames that were not given up. */
  readonly rows: number;
  readonly frames: number;
  /** Given up: the spool was full, or a file was unreadable. */
  readonly droppedWindows: number;
  /** Refused for good by the API. */
  readonly refusedWindows: number;
}

export interface HourClaim extends HourFigures {
  /** Unix milliseconds on the host's clock, a multiple of an hour. */
  readonly hourStartMs: number;
}

const hourMs = 3_600_000;
/** Hours that are remembered after the last of their frames is gone. */
const hoursKept = 48;
const zero: HourFigures = { windows: 0, rows: 0, frames: 0, droppedWindows: 0, refusedWindows: 0 };

/** The agent's own count of what it made, by hour; held against what is stored. */
export class HourClaims {
  readonly #hours = new Map<number, { figures: HourFigures; revision: number }>();
  #revision = 0;

  /** Rises with every change. */
  get revision(): number {
    return this.#revision;
  }

  /** Adds to the figures of the hour in which a window started. */
  add(windowStartMs: number, change: Partial<HourFigures>): void {
    const hourStartMs = windowStartMs - (((windowStartMs % hourMs) + hourMs) % hourMs);
    const figures = { ...(this.#hours.get(hourStartMs)?.figures ?? zero) };
    // More can only be given up than is known to have been made if progress.json was lost; never less than nothing is claimed.
    for (const [name, value] of Object.entries(change) as [keyof HourFigures, number][]) figures[name] = Math.max(0, figures[name] + value);
    this.#hours.set(hourStartMs, { figures, revision: ++this.#revision });
  }

  /** Forgets hours that are long over and of which nothing waits any more. */
  forget(oldestWaitingMs: number): void {
    if (this.#hours.size <= hoursKept) return;
    const starts = [...this.#hours.keys()].sort((a, b) => a - b);
    const newest = starts.at(-1) as number;
    for (const start of starts) if (start <= newest - hoursKept * hourMs && start + hourMs <= oldestWaitingMs) this.#hours.delete(start);
  }

  /** The newest two hours, those that start at or after `fromMs`, and those that changed after `revision` (default: all), oldest first. */
  list({ fromMs = Number.POSITIVE_INFINITY, revision = -1 }: { readonly fromMs?: number; readonly revision?: number } = {}): HourClaim[] {
    const starts = [...this.#hours.keys()].sort((a, b) => a - b);
    const newest = new Set(starts.slice(-2));
    return starts
      .filter((start) => newest.has(start) || start >= fromMs || (this.#hours.get(start)?.revision as number) > revision)
      .map((start) => ({ hourStartMs: start, ...(this.#hours.get(start)?.figures as HourFigures) }));
  }

  /** As it is kept in a file. */
  toJSON(): number[][] {
    return this.list().map((hour) => [hour.hourStartMs, hour.windows, hour.rows, hour.frames, hour.droppedWindows, hour.refusedWindows]);
  }

  /** Takes over what `toJSON` made. Throws a TypeError if it is something else. */
  static fromJSON(value: unknown): HourClaims {
    const claims = new HourClaims();
    if (!Array.isArray(value)) throw new TypeError("hours is no list");
    for (const entry of value as unknown[]) {
      if (!Array.isArray(entry) || entry.length !== 6 || !entry.every((number) => Number.isSafeInteger(number)))
        throw new TypeError("an hour is not six whole numbers");
      const [start, windows, rows, frames, droppedWindows, refusedWindows] = entry as number[] & { length: 6 };
      claims.add(start as number, { windows, rows, frames, droppedWindows, refusedWindows } as HourFigures);
    }
    return claims;
  }
}
