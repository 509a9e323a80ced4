// SPDX-License-Identifier: Apache-2.0
import type { QuantityName } from "@waggle/signals";

/** Where the agent's own figure of a quantity comes from. */
export type Counted =
  | {
      /** Signal it belongs to: a window in which that is not measured has no row of the quantity. */
      readonly signal: string;
      /** Field of `struct accounting` (packages/bpf/include/maps.bpf.h), for what is counted in the agent's network namespace only. */
      readonly counter: string;
    }
  | {
      readonly signal: string;
      /** Measures of the signal (`count` or `sum` of a histogram) that are added over all rows of the window. */
      readonly measures: readonly string[];
      /** Values that dimensions of the rows must have. What went to `~other` in the kernel has none, and is missing. */
      readonly where?: Readonly<Record<string, string>>;
      /** How many of the quantity's units one of the signal's is: 1 if left out. */
      readonly times?: bigint;
    };

/**
 * The quantities of one of the kernel's files. To hold something else against the kernel: describe it in
 * packages/signals/src/quantities.ts, write a source in this folder, and add that to `quantitySources`.
 */
export interface QuantitySource {
  /**
   * The kernel's cumulative figures now, at least of the quantities in `counted`. Called once or twice per window, right after the maps were
   * flipped, so it has to be quick. A figure that falls (a device went away) leaves its quantity out of that window. What it throws leaves all out.
   */
  read(): ReadonlyMap<string, bigint>;
  readonly counted: Readonly<Partial<Record<QuantityName, Counted>>>;
}
