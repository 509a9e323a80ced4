// SPDX-License-Identifier: Apache-2.0
import type { ColumnBlock, CoverageState, WireRow } from "@waggle/signals";

/** How much of what rows count stands under a process, and under a unit. */
export interface Owned {
  readonly counted: bigint;
  readonly withProcess: bigint;
  readonly withUnit: bigint;
}

/** A signal's rows as they go over the wire, without an object per row. */
export interface EncodedRows extends ColumnBlock {
  /** Absent of a signal whose rows have no owner. */
  readonly owned?: Owned;
}

/** What the kernel's side of one window is. */
export interface WindowData {
  /** Wall clock (Unix milliseconds) at which the counters were cut; absent if there were none to cut. */
  readonly endedAtMs?: number;
  /** Rows by signal name, to be walked through once; a signal without rows may be absent. Kernel signals only. */
  readonly rows: Iterable<readonly [signal: string, rows: readonly WireRow[] | EncodedRows]>;
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
  /** What maps and storages could not take in the window, by reason (`dropOf` in packages/signals/src/drops.ts). */
  readonly drops: readonly { readonly reason: string; readonly count: bigint }[];
  /** Rows that were summed into `~other` because a signal had too many, by signal; known once `rows` were walked through. */
  readonly cuts?: ReadonlyMap<string, number>;
  readonly mapBytes: number;
  /** The maps of signals: entries read in the window, room for them, and planned bytes. */
  readonly maps?: readonly { readonly map: string; readonly entries: number; readonly entriesMax: number; readonly bytes: number }[];
  /** How full each map was that was emptied in the window: of those with two copies the one that had been written. */
  readonly fills?: readonly MapFill[];
  /** What all maps were planned to take, computed before they were made, and what they may. */
  readonly mapPlan?: { readonly bytes: number; readonly bytesMax: number };
  /** Absent where nothing is governed. */
  readonly governor?: GovernorReport;
  readonly readMs: number;
}

export interface MapFill {
  /** Its name, without the copy's letter. */
  readonly map: string;
  /** null: there is but one. */
  readonly copy: "a" | "b" | null;
  readonly entries: number;
  readonly entriesMax: number;
}

/** How the agent keeps to its CPU budget. All in shares of one core. */
export interface GovernorReport {
  readonly budget: number;
  /** Programs in the kernel, with the price of entering their hooks. */
  readonly kernel: number;
  /** The agent's process, over some windows. */
  readonly agent: number;
  /** What a window costs with the steps in force, by what is known. */
  readonly predicted: number;
  /** What is done to save, from the next window on. */
  readonly steps: readonly { readonly name: string; readonly words: string; readonly saves: number }[];
  /** Nothing that is left to do would bring the cost under the budget. */
  readonly isExhausted: boolean;
  /** Why the window was ended before its time; null if it was not. */
  readonly endedEarly: string | null;
}

/** What was meant when a window began. */
export interface WindowPlan {
  /** From its start to the boundary it is to end at, milliseconds. */
  readonly lengthMs: number;
  /** How long windows are that begin and end at boundaries. */
  readonly regularMs: number;
}

/** Why the window should end now, or after how many milliseconds it should be looked at again at the earliest; Infinity: not at all. */
export type WindowLook = { readonly endNow: string } | { readonly againInMs: number };

/** Where windows come from: the kernel, or on a host where that is impossible, a source that says so. */
export interface WindowSource {
  /**
   * Everything since the previous call (or since opening). Calls must not overlap.
   * @param rowsMax rows of one signal to stay within, the rest summed into `~other`; a source with a lower cap of its own keeps to that
   */
  readWindow(rowsMax?: number): Promise<WindowData>;
  /** Told of each window that begins. Returns after how many milliseconds a look at it is worth while at the earliest; Infinity: none is. */
  beginWindow?(plan: WindowPlan): number;
  /** Looks at the window under way: it should end now, which the next call of `readWindow` is then to bring about, or be looked at again. */
  look?(): WindowLook;
  /** Signals that are not wanted from the next window on, in place of those that were named with the same reason before. */
  setDisabled?(signals: ReadonlySet<string>, reason: string): void;
  /** Share of one core that the agent and its programs may use. */
  setBudget?(share: number): void;
  /** Names of processes whose rows are the last to go into `~other`, from the window on that is under way. */
  setWatched?(processes: ReadonlySet<string>): void;
  close(): void;
}
