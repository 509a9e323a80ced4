// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from "node:fs";
import { getLibc } from "./symbols.ts";

/** include/uapi/asm-generic/mman-common.h */
const MADV_DONTNEED = 4;

/** Figures that are 0 where all pages are as in the file. */
const OWN_PAGES: ReadonlySet<string> = new Set(["Private_Dirty", "Shared_Dirty", "Anonymous", "Swap", "Locked"]);

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
  // Line by line and without patterns for all but the first of each mapping: the text has some thousand lines.
  let mapping: { start: bigint; end: bigint; residentBytes: number } | undefined;
  let zeros = 0;
  const keep = (): void => {
    // A kernel that does not say all of it says nothing.
    if (mapping !== undefined && zeros === OWN_PAGES.size) mappings.push(mapping);
    mapping = undefined;
    zeros = 0;
  };
  for (let at = 0; at < smaps.length; ) {
    const lineEnd = smaps.indexOf("\n", at);
    const end = lineEnd < 0 ? smaps.length : lineEnd;
    const first = smaps.charCodeAt(at);
    // Lines of figures begin with a capital letter, the first of a mapping with an address.
    if (first < 0x41 || first > 0x5a) {
      keep();
      const [, from, to, mode, inode] = /^([0-9a-f]+)-([0-9a-f]+) (\S{4}) [0-9a-f]+ [0-9a-f]+:[0-9a-f]+ (\d+) +\//.exec(smaps.slice(at, end)) ?? [];
      if (from !== undefined && to !== undefined && inode !== "0" && (mode === "r-xp" || mode === "r--p"))
        mapping = { start: BigInt(`0x${from}`), end: BigInt(`0x${to}`), residentBytes: 0 };
    } else if (mapping !== undefined) {
      const colon = smaps.indexOf(":", at);
      const field = smaps.slice(at, colon);
      if (field === "Rss") mapping.residentBytes = Number.parseInt(smaps.slice(colon + 1, end), 10) * 1_024;
      else if (OWN_PAGES.has(field) && Number.parseInt(smaps.slice(colon + 1, end), 10) === 0) zeros++;
    }
    at = end + 1;
  }
  keep();
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
