// SPDX-License-Identifier: Apache-2.0
import type { CoverageState, WireRow } from "@waggle/signals";

/** What the kernel's side of one window is. */
export interface WindowData {
  /** Wall clock (Unix milliseconds) at which the counters were cut; absent if there were none to cut. */
  readonly endedAtMs?: number;
  /** Rows by signal name, to be walked through once; a signal without rows may be absent. Kernel signals only. */
  readonly rows: Iterable<readonly [signal: string, rows: readonly WireRow[]]>;
  readonly coverage: readonly { readonly signal: string; readonly state: CoverageState; readonly reason: string }[];
  /** Runs and estimated time (ns) of each program in the window. */
  readonly programs: readonly {
    readonly program: string;
    readonly events: bigint;
    readonly kernelNs: bigint;
    readonly attached: boolean;
    readonly reason: string;
  }[];
  /** What the probes counted beside what the kernel counted itself, in the window. */
  readonly accounting: readonly { readonly quantity: string; readonly counted: bigint; readonly kernel: bigint }[];
  /** What maps and storages could not take in the window, by reason. */
  readonly drops: readonly { readonly reason: string; readonly count: bigint }[];
  readonly mapBytes: number;
  readonly readMs: number;
}

/** Where windows come from: the kernel, or on a host where that is impossible, a source that says so. */
export interface WindowSource {
  /**
   * Everything since the previous call (or since opening). Calls must not overlap.
   * @param rowsMax rows of one signal to stay within, the rest summed into `~other`; a source with a lower cap of its own keeps to that
   */
  readWindow(rowsMax?: number): Promise<WindowData>;
  close(): void;
}
