// SPDX-License-Identifier: Apache-2.0

interface HostSeries {
  rows: number;
  windowEndMs: number;
}

/** A host that says nothing for longer holds no series any more. */
const FORGET_AFTER_MS = 15 * 60_000;
/** No signal is folded below this: fewer rows than that say little of a host. */
const ROWS_MAX_LEAST = 5;
/** Signals whose rows grow with what runs on a host. */
const GROWING_SIGNALS = 8;

/**
 * How many series an organisation has: the rows of each host's newest window, summed. One host's share is an equal part of the
 * limit; whoever is within it is never refused, so one host full of labels cannot cost the others theirs.
 */
export class SeriesCount {
  private readonly hosts = new Map<string, HostSeries>();
  private sum = 0;
  private cap = 0;

  /** Rows of the newest windows of all hosts. */
  get total(): number {
    return this.sum;
  }

  /** Rows of one signal and window that agents shall stay within; 0: their own setting. */
  get rowsMax(): number {
    return this.cap;
  }

  /**
   * Whether a window may be stored. Only a host's newest counts: what was measured before is not a series that exists now.
   * @param seriesMax of the organisation
   */
  admit(host: string, rows: number, windowEndMs: number, seriesMax: number): boolean {
    const known = this.hosts.get(host);
    if (known !== undefined && windowEndMs < known.windowEndMs) return true;
    const total = this.sum - (known?.rows ?? 0) + rows;
    if (total > seriesMax && rows > seriesMax / (this.hosts.size + (known === undefined ? 1 : 0))) {
      this.tighten(seriesMax);
      return false;
    }
    if (known === undefined) this.hosts.set(host, { rows, windowEndMs });
    else {
      known.rows = rows;
      known.windowEndMs = windowEndMs;
    }
    this.sum = total;
    return true;
  }

  /** Forgets hosts that went silent and eases the cap when there is ample room again. To be called every few seconds. */
  review(seriesMax: number, nowMs: number): void {
    for (const [host, { rows, windowEndMs }] of this.hosts) {
      if (windowEndMs > nowMs - FORGET_AFTER_MS) continue;
      this.hosts.delete(host);
      this.sum -= rows;
    }
    // Well below, or cap and rows would chase each other.
    if (this.cap > 0 && this.sum < seriesMax / 2) {
      const eased = this.cap * 2;
      this.cap = eased * GROWING_SIGNALS >= seriesMax ? 0 : eased;
    }
  }

  private tighten(seriesMax: number): void {
    const fair = Math.max(ROWS_MAX_LEAST, Math.floor(seriesMax / Math.max(1, this.hosts.size) / GROWING_SIGNALS));
    this.cap = this.cap === 0 ? fair : Math.min(this.cap, fair);
  }
}
