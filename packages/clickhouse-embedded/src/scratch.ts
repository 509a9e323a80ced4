// SPDX-License-Identifier: Apache-2.0
import { statfsSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

const MEMORY = "/dev/shm";
/** Some files' stores at a time, with what aborted runs left. */
const FREE_BYTES_MIN = 4 * 1024 ** 3;

/** Where tests put their stores: in memory where there is room, as making and removing a thousand files takes seconds on a disk that others use too. */
export function scratchRoot(): string {
  try {
    const { bavail, bsize } = statfsSync(MEMORY);
    return bavail * bsize >= FREE_BYTES_MIN ? MEMORY : tmpdir();
  } catch {
    return tmpdir();
  }
}

/** A new directory there. Whoever asks removes it. */
export function makeScratch(prefix: string): Promise<string> {
  return mkdtemp(join(scratchRoot(), prefix));
}
