// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from "node:fs";
import { join } from "node:path";

/** The two clocks a window is measured by. */
export interface HostClock {
  /** Unix milliseconds. People and NTP can step it, in both directions. */
  wallMs(): number;
  /** Milliseconds since boot, suspend included. Never steps. */
  elapsedMs(): number;
}

/**
 * CLOCK_MONOTONIC is what Node.js offers, and it stands still while the machine sleeps; /proc/uptime goes on but has only 10 ms steps.
 * So the fine clock is taken, moved on by what /proc/uptime ran ahead of it.
 */
export class SystemClock implements HostClock {
  readonly #uptimeFile: string;
  #sleptMs: number | undefined;

  constructor(hostRoot = "/") {
    this.#uptimeFile = join(hostRoot, "proc/uptime");
  }

  wallMs(): number {
    return Date.now();
  }

  elapsedMs(): number {
    const monotonicMs = Number(process.hrtime.bigint()) / 1e6;
    const sleptMs = this.#readUptimeMs() - monotonicMs;
    // 10 ms of granularity and the time between the two readings are no sleep.
    if (Number.isFinite(sleptMs) && (this.#sleptMs === undefined || Math.abs(sleptMs - this.#sleptMs) > 100)) this.#sleptMs = sleptMs;
    return monotonicMs + (this.#sleptMs ?? 0);
  }

  #readUptimeMs(): number {
    try {
      return Number.parseFloat(readFileSync(this.#uptimeFile, "latin1")) * 1000;
    } catch {
      return Number.NaN;
    }
  }
}
