// SPDX-License-Identifier: Apache-2.0
import { open, rename, rm } from "node:fs/promises";

/** Suffix of a file that is still being written. */
export const temporarySuffix = ".tmp";

/** Replaces `path` as a whole: a reader, also one after a crash, finds the old bytes or the new ones, never a part. */
export async function writeDurably(path: string, bytes: Uint8Array | string, mode = 0o600): Promise<void> {
  const temporary = path + temporarySuffix;
  try {
    const file = await open(temporary, "w", mode);
    try {
      await file.writeFile(bytes);
      await file.datasync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    // On a full disk the half-written file is what keeps it full.
    await rm(temporary, { force: true }).catch(() => {});
    throw error;
  }
}
