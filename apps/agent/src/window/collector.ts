// SPDX-License-Identifier: Apache-2.0
import type { CoverageState, WireRow } from "@waggle/signals";

/** What a collector has to say of one signal in one window. */
export interface Collected {
  readonly signal: string;
  /** At most `rowsMax` of them; in a state that is no measurement, none. */
  readonly rows: readonly WireRow[];
  readonly state: CoverageState;
  /** Empty when the state is `exact`. */
  readonly reason: string;
}

/** Makes the rows of signals that no BPF map holds: out of /proc and /sys, or out of state of its own. */
export interface Collector {
  /** Signals it answers for, in every window. */
  readonly signals: readonly string[];
  /**
   * The window that just ended, since the previous call (or since the collector was made). Calls do not overlap. What it throws makes its signals
   * `failed`, with the message as the reason.
   * @param rowsMax rows of one signal to stay within
   */
  collect(rowsMax: number): Promise<readonly Collected[]> | readonly Collected[];
  close?(): void;
}
