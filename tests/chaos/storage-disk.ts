// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from "node:child_process";
import { closeSync, mkdirSync, openSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";

const CHUNK = Buffer.alloc(1024 * 1024, 0xa5);

/** A small file system of its own, so that it can really be full. Needs root, as mounting does. */
export class StorageDisk {
  readonly directory: string;
  readonly isMounted: boolean;

  /** Without root it is a plain directory, and nothing can fill it. */
  constructor(directory: string, sizeBytes: number) {
    this.directory = directory;
    mkdirSync(directory, { recursive: true });
    this.isMounted = process.getuid?.() === 0;
    if (this.isMounted) execFileSync("mount", ["-t", "tmpfs", "-o", `size=${sizeBytes},mode=0755`, "waggle-chaos", directory]);
  }

  /** Takes every byte that is left. */
  fill(): void {
    const file = openSync(this.#ballast, "w");
    try {
      for (;;) writeSync(file, CHUNK);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
    } finally {
      closeSync(file);
    }
  }

  free(): void {
    rmSync(this.#ballast, { force: true });
  }

  unmount(): void {
    if (this.isMounted) execFileSync("umount", ["--lazy", this.directory]);
  }

  get #ballast(): string {
    return join(this.directory, "ballast");
  }
}
