// SPDX-License-Identifier: Apache-2.0
import { existsSync, mkdirSync, statSync } from "node:fs";
import { dirname } from "node:path";

/**
 * `mkdir -p`, each directory it makes with `mode`. Not `mkdirSync(…, { recursive: true })`: where the file system answers ENOENT for a directory whose parent
 * exists, as in `/proc`, Node tries again for ever, and no signal is heard meanwhile (seen with 24.21).
 */
export function makeDirectory(path: string, mode: number): void {
  try {
    mkdirSync(path, { mode });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const parent = dirname(path);
    if (code === "ENOENT" && parent !== path && !existsSync(parent)) {
      makeDirectory(parent, mode);
      mkdirSync(path, { mode });
    } else if (code !== "EEXIST" || !statSync(path).isDirectory()) {
      throw error;
    }
  }
}
