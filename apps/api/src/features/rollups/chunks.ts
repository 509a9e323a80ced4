// SPDX-License-Identifier: Apache-2.0
import type { Behind } from "./rollups.repository.ts";
import { type RollupStep, stepShapes } from "./steps.ts";

/**
 * Source rows of all signals that one round of statements reads: some seconds of work, and little enough memory, whatever the size of the
 * fleet.
 */
const ROWS_PER_CHUNK = 2_000_000;
/** A parameter may have 128 KiB, and a host's id takes 39 bytes of it. */
const HOSTS_PER_CHUNK = 2_500;
/** Rows of a frame that does not say how many it had. */
const ROWS_PER_FRAME = 100;
/** Host hours are made of 60 minutes' rows; 100 rows a minute are usual. */
const HOSTS_PER_HOUR_CHUNK = 500;

/** Cuts what is behind into parts that are rolled up and noted one after another. @param scale of their size, at most 1 */
export function chunksOf(step: RollupStep, behind: readonly Behind[], scale: number): Behind[][] {
  const hostsMax = Math.max(1, Math.floor(scale * (stepShapes[step].from === null ? HOSTS_PER_CHUNK : HOSTS_PER_HOUR_CHUNK)));
  const rowsMax = scale * ROWS_PER_CHUNK;
  const chunks: Behind[][] = [];
  let rows = Number.POSITIVE_INFINITY;
  for (const host of behind) {
    const hostRows = stepShapes[step].from === null ? host.rows || host.frames * ROWS_PER_FRAME : 0;
    const chunk = chunks.at(-1);
    if (chunk === undefined || chunk.length >= hostsMax || rows + hostRows > rowsMax) {
      chunks.push([host]);
      rows = hostRows;
    } else {
      chunk.push(host);
      rows += hostRows;
    }
  }
  return chunks;
}
