// SPDX-License-Identifier: Apache-2.0
import { errnoTable } from "./errno-table.ts";

/** Symbolic name of a positive error number, such as `ECONNREFUSED`; `errno_<n>` for one that Linux does not define. */
export function errnoName(errno: number): string {
  return errnoTable[errno] ?? `errno_${errno}`;
}
