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

/** 10 ms of granularity and the time between two readings are no sleep. */
const SLEEP_MS_MIN = 100;
/** How far the wall clock may get off the fine one before it is looked at whether the machine slept. */
const OFF_MS_MAX = 50;

/**
 * CLOCK_MONOTONIC is what Node.js offers, and it stands still while the machine sleeps; /proc/uptime goes on but has only 10 ms steps.
 * So the fine clock is taken, moved on by what /proc/uptime ran ahead of it. That file is read when the wall clock, which does not sleep either, got off the fine
 * one: the time is asked for some hundred times in a window.
 */
export class SystemClock implements HostClock {
  readonly #uptimeFile: string;
  #sleptMs: number | undefined;
  /** The wall clock less the fine one, when the file was read last. */
  #offMs: number | undefined;

  constructor(hostRoot = "/") {
    this.#uptimeFile = join(hostRoot, "proc/uptime");
  }

  wallMs(): number {
    return Date.now();
  }

  elapsedMs(): number {
    const monotonicMs = Number(process.hrtime.bigint()) / 1e6;
    const offMs = Date.now() - monotonicMs;
    if (this.#offMs === undefined || Math.abs(offMs - this.#offMs) > OFF_MS_MAX) {
      this.#offMs = offMs;
      const sleptMs = this.#readUptimeMs() - monotonicMs;
      if (Number.isFinite(sleptMs) && (this.#sleptMs === undefined || Math.abs(sleptMs - this.#sleptMs) > SLEEP_MS_MIN)) this.#sleptMs = sleptMs;
    }
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
