// SPDX-License-Identifier: Apache-2.0

const slotMs = 5_000;
const slots = 12;

/** How fast the backlog goes, by what went in the last minute. Times are milliseconds of a clock that does not step. */
export class DrainRate {
  readonly #counts = new Array<number>(slots).fill(0);
  #slot = 0;
  #sinceMs: number | undefined;

  /** One more frame was delivered. */
  add(nowMs: number): void {
    this.#advance(nowMs);
    this.#sinceMs ??= nowMs;
    const at = this.#slot % slots;
    this.#counts[at] = (this.#counts[at] as number) + 1;
  }

  /** Frames per second; undefined if none went in the last minute. */
  perSecond(nowMs: number): number | undefined {
    this.#advance(nowMs);
    const total = this.#counts.reduce((sum, count) => sum + count, 0);
    if (total === 0 || this.#sinceMs === undefined) return undefined;
    return (total * 1000) / Math.min(Math.max(1_000, nowMs - this.#sinceMs), slots * slotMs);
  }

  #advance(nowMs: number): void {
    const slot = Math.floor(nowMs / slotMs);
    if (slot - this.#slot >= slots) this.#counts.fill(0);
    else for (let next = this.#slot + 1; next <= slot; next++) this.#counts[next % slots] = 0;
    this.#slot = Math.max(this.#slot, slot);
    if (this.#counts.every((count) => count === 0)) this.#sinceMs = undefined;
  }
}
