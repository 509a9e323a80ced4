// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from "node:fs";
import { getLibc } from "./symbols.ts";

/** include/uapi/asm-generic/mman-common.h */
const MADV_DONTNEED = 4;

export interface FileMapping {
  readonly start: bigint;
  readonly end: bigint;
  readonly residentBytes: number;
}

/**
 * Mappings in /proc/self/smaps (proc_pid_smaps(5)) whose pages are nothing but what their files hold: private, not writable, and without a page of the
 * process's own. The last condition leaves out what a loader wrote into and closed afterwards (RELRO), and code that a debugger has put a breakpoint into.
 */
export function parseFileMappings(smaps: string): FileMapping[] {
  const mappings: FileMapping[] = [];
  for (const text of smaps.split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m)) {
    const [, start, end, mode, inode, path] = /^([0-9a-f]+)-([0-9a-f]+) (\S{4}) [0-9a-f]+ [0-9a-f]+:[0-9a-f]+ (\d+) +(\/.*)$/m.exec(text) ?? [];
    if (start === undefined || end === undefined || path === undefined || inode === "0") continue;
    if (mode !== "r-xp" && mode !== "r--p") continue;
    const kilobytes = (field: string): number | undefined => {
      const value = new RegExp(`^${field}: +(\\d+) kB$`, "m").exec(text)?.[1];
      return value === undefined ? undefined : Number(value);
    };
    const ownPages = ["Private_Dirty", "Shared_Dirty", "Anonymous", "Swap", "Locked"].map(kilobytes);
    if (ownPages.some((value) => value !== 0)) continue;
    mappings.push({ start: BigInt(`0x${start}`), end: BigInt(`0x${end}`), residentBytes: (kilobytes("Rss") ?? 0) * 1_024 });
  }
  return mappings;
}

/**
 * Takes the pages of files out of the process's page tables: of the Node.js binary alone some 50 MB were touched at the start and not since. They stay in the
 * page cache as long as the host has room, and one that is used again costs a minor fault, 16 pages at a time. Returns the bytes that were resident.
 */
export function giveBackFilePages(): number {
  let bytes = 0;
  for (const { start, end, residentBytes } of parseFileMappings(readFileSync("/proc/self/smaps", "latin1"))) {
    if (residentBytes > 0 && getLibc().madvise(start, end - start, MADV_DONTNEED) === 0) bytes += residentBytes;
  }
  return bytes;
}
