// SPDX-License-Identifier: Apache-2.0
import type { DimensionName } from "./dimensions.ts";
import type { Signal } from "./signal.ts";

/**
 * How many rows of one window and host are worth their bytes, by what tells them apart; beyond, small ones give up what they say (`fold`), who last. Values that a
 * closed set has (states, errors, devices, processes of a host) stay far below any cap; these do not:
 *
 * - Names of files and of DNS have no end: a backup, a package manager or a crawler touches thousands in a window, each once, and a row is mostly its name (100 bytes and more).
 *   Whoever asks which file is busy looks at the first dozens.
 * - Stacks: below the first hundreds each has a sample or two, and its frames go over the wire once more.
 * - Peers of a proxy or a database: some thousand in 10 s. Retransmits and round trips are asked for by peer, so they keep more.
 * - System calls: a process makes 10 to 30 different ones, so this is a host of some 60 busy processes.
 */
const capsByDimension: Partial<Record<DimensionName, number>> = {
  file: 300,
  query_name: 300,
  stack: 500,
  frames: 500,
  peer: 1_000,
  syscall: 1_000,
};

/** Where nothing of that kind tells rows apart. */
const CAP = 1_000;

/** Most rows of the signal in one window of one host, unless less is asked for (WAGGLE_AGENT_ROWS_MAX, the server's settings). */
export function rowsMaxOf(signal: Pick<Signal, "dimensions">): number {
  return Math.min(...signal.dimensions.map((name) => capsByDimension[name] ?? CAP), CAP);
}
