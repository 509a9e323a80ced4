// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from "node:fs";
import { join } from "node:path";

/** Text of a file below the host's root. Throws an Error that names the file. */
export function readHostFile(hostRoot: string, path: string): string {
  return readFileSync(join(hostRoot, path), "latin1");
}

/** The same, undefined if it is not there or closed to this process. */
export function tryReadHostFile(hostRoot: string, path: string): string | undefined {
  try {
    return readHostFile(hostRoot, path);
  } catch {
    return undefined;
  }
}

/**
 * How much counters rose since they were read last. A counter that went back (a device that came anew, a 32-bit counter that wrapped) counts from 0; one that
 * is new adds nothing, as what it counted before is not known to belong to the window.
 */
export class Increase {
  #last: ReadonlyMap<string, bigint> | undefined;

  /** The increase by name; undefined at the first call. */
  since(now: ReadonlyMap<string, bigint>): Map<string, bigint> | undefined {
    const last = this.#last;
    this.#last = now;
    if (last === undefined) return undefined;
    return new Map(
      [...now].map(([name, value]) => {
        const before = last.get(name) ?? value;
        return [name, value >= before ? value - before : value];
      }),
    );
  }
}
