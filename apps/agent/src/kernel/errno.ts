// SPDX-License-Identifier: Apache-2.0
import { errnoTable } from "./errno-table.ts";

/** ERRNO_BLOCK_STATUS in packages/bpf/src/block/block_status.bpf.h. */
const BLOCK_STATUS = 0x8000;

/**
 * Symbolic name of a positive error number, such as `ECONNREFUSED`; `errno_<n>` for one that Linux does not define, `blk_status_<n>` for a status of the
 * block layer that stands for none.
 */
export function errnoName(errno: number): string {
  if (errno >= BLOCK_STATUS) return `blk_status_${errno - BLOCK_STATUS}`;
  return errnoTable[errno] ?? `errno_${errno}`;
}
