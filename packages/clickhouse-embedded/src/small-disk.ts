// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from "node:child_process";
import { closeSync, mkdirSync, openSync, rmSync, statSync, truncateSync, writeSync } from "node:fs";
import { join } from "node:path";

const CHUNK = Buffer.alloc(1024 * 1024, 0xa5);

/** A small file system of its own, so that tests can really make it full. Needs root, as mounting does. */
export class SmallDisk {
  readonly directory: string;
  readonly isMounted: boolean;

  /** Without root it is a plain directory, and nothing can fill it. */
  constructor(directory: string, sizeBytes: number) {
    this.directory = directory;
    mkdirSync(directory, { recursive: true });
    this.isMounted = process.getuid?.() === 0;
    if (this.isMounted) execFileSync("mount", ["-t", "tmpfs", "-o", `size=${sizeBytes},mode=0755`, "waggle-small-disk", directory]);
  }

  /** Takes every byte that is left. Throws where nothing is mounted: it would be the machine's own disk. */
  fill(): void {
    if (!this.isMounted) throw new Error(`${this.directory} is no disk of its own: only root can mount one`);
    const file = openSync(this.#ballast, "w");
    try {
      for (;;) writeSync(file, CHUNK);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
    } finally {
      closeSync(file);
    }
  }

  /** Gives back what was taken; so many bytes of it if a number is given. */
  free(bytes?: number): void {
    if (bytes === undefined) rmSync(this.#ballast, { force: true });
    else truncateSync(this.#ballast, statSync(this.#ballast).size - bytes);
  }

  unmount(): void {
    if (this.isMounted) execFileSync("umount", ["--lazy", this.directory]);
  }

  get #ballast(): string {
    return join(this.directory, "ballast");
  }
}
