// SPDX-License-Identifier: Apache-2.0
import type { HourClaim } from "@waggle/proto";

const HOUR_MS = 3_600_000;
/** Hours said behind a Hello. */
const HOURS_KEPT = 48;

interface Hour {
  windows: number;
  rows: number;
  frames: number;
  refused: number;
  isChanged: boolean;
}

/** What a host says it made, by hour of its own clock, as agents do in their Status. */
export class HourClaims {
  readonly #hours = new Map<number, Hour>();

  /** @param windows joined in one frame */
  made(windowStartMs: number, rows: number, windows: number): void {
    const hour = this.#hourOf(windowStartMs);
    hour.windows += windows;
    hour.frames++;
    hour.rows += rows;
  }

  refused(windowStartMs: number, rows: number, windows: number): void {
    const hour = this.#hourOf(windowStartMs);
    hour.frames--;
    hour.rows -= rows;
    hour.refused += windows;
  }

  get hasChanged(): boolean {
    for (const hour of this.#hours.values()) if (hour.isChanged) return true;
    return false;
  }

  /** All of the last days behind a Hello (`all`), later those that changed since they were last said. */
  take(all: boolean): HourClaim[] {
    const claims: HourClaim[] = [];
    for (const [startMs, hour] of this.#hours) {
      if (!all && !hour.isChanged) continue;
      hour.isChanged = false;
      claims.push({
        hourStartMs: BigInt(startMs),
        windows: BigInt(hour.windows),
        rows: BigInt(hour.rows),
        frames: BigInt(hour.frames),
        droppedWindows: 0n,
        refusedWindows: BigInt(hour.refused),
      });
    }
    const newestMs = Math.max(...this.#hours.keys());
    for (const startMs of this.#hours.keys()) if (startMs < newestMs - HOURS_KEPT * HOUR_MS) this.#hours.delete(startMs);
    return claims;
  }

  #hourOf(windowStartMs: number): Hour {
    const startMs = windowStartMs - (windowStartMs % HOUR_MS);
    let hour = this.#hours.get(startMs);
    if (hour === undefined) {
      hour = { windows: 0, rows: 0, frames: 0, refused: 0, isChanged: true };
      this.#hours.set(startMs, hour);
    }
    hour.isChanged = true;
    return hour;
  }
}
