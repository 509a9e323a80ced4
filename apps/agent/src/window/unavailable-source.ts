// SPDX-License-Identifier: Apache-2.0
import { type CoverageState, hostSignals } from "@waggle/signals";
import type { WindowData, WindowSource } from "./source.ts";

/**
 * Stands in where BPF cannot be used at all: each window says of every signal but the agent's own that it is absent, and why. The host is then seen as
 * reporting without these signals, not as silent, and not as idle.
 */
export class UnavailableSource implements WindowSource {
  readonly #data: WindowData;

  constructor(state: Extract<CoverageState, "unsupported" | "failed">, reason: string) {
    this.#data = {
      rows: new Map(),
      coverage: hostSignals.filter((signal) => signal.family !== "agent").map((signal) => ({ signal: signal.name, state, reason })),
      programs: [],
      accounting: [],
      drops: [],
      mapBytes: 0,
      readMs: 0,
    };
  }

  async readWindow(): Promise<WindowData> {
    return this.#data;
  }

  close(): void {}
}
