// SPDX-License-Identifier: Apache-2.0
import { closeSync, mkdirSync, openSync, renameSync, statSync, writeSync } from "node:fs";
import { dirname } from "node:path";

/** A log file that keeps at most two files of `bytesMax` each, so that no component can fill the disk with words. */
export class RotatingLog {
  readonly path: string;
  readonly #bytesMax: number;
  #descriptor: number;
  #bytes: number;

  constructor(path: string, bytesMax = 8 * 1024 * 1024) {
    mkdirSync(dirname(path), { recursive: true });
    this.path = path;
    this.#bytesMax = bytesMax;
    this.#descriptor = openSync(path, "a", 0o640);
    this.#bytes = statSync(path).size;
  }

  /** Appends; a full disk loses log lines, never the process that logs. */
  write(chunk: Uint8Array): void {
    try {
      if (this.#bytes + chunk.length > this.#bytesMax) {
        closeSync(this.#descriptor);
        renameSync(this.path, `${this.path}.1`);
        this.#descriptor = openSync(this.path, "a", 0o640);
        this.#bytes = 0;
      }
      this.#bytes += writeSync(this.#descriptor, chunk);
    } catch {
      // Nowhere left to say it.
    }
  }
}
