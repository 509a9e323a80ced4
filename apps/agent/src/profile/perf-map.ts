// SPDX-License-Identifier: Apache-2.0
import { constants, existsSync } from "node:fs";
import { type FileHandle, open, readFile } from "node:fs/promises";
import { join } from "node:path";
import { lowerBound } from "./range-table.ts";

/**
 * Names of code that a runtime generates, as it writes them to /tmp/perf-<pid>.map when asked to (Node.js: --perf-basic-prof): lines of start,
 * size (both hexadecimal) and name. Anyone may put a file there, so it counts only if it is the process's user's or root's.
 */

/** A map that is larger is not read. */
export const PERF_MAP_BYTES_MAX = 64 * 1024 * 1024;
const CHUNK_BYTES = 256 * 1024;
const NAME_BYTES_MAX = 256;

export interface GeneratedRange {
  readonly start: number;
  readonly end: number;
  readonly name: string;
}

/** What of a process decides where its map is and whose it has to be. */
export interface MapOwner {
  readonly uid: number;
  /** Its number in its own pid namespace. */
  readonly innerPid: number;
}

/** Opens the process's map; null if there is none, or none that can be trusted. */
export async function openPerfMap(hostRoot: string, pid: number, owner: MapOwner): Promise<FileHandle | null> {
  const name = `tmp/perf-${owner.innerPid}.map`;
  // The second needs the right to trace the process; it is where a container's map is.
  for (const path of [join(hostRoot, name), join(hostRoot, `proc/${pid}/root`, name)]) {
    // Most processes have none, and an exception takes longer than all the rest.
    if (!existsSync(path)) continue;
    let file: FileHandle | undefined;
    try {
      file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
      const found = await file.stat();
      if (found.isFile() && found.size <= PERF_MAP_BYTES_MAX && (found.uid === owner.uid || found.uid === 0)) return file;
    } catch {
      // Not there, a link, or not for this user.
    }
    await file?.close();
  }
  return null;
}

/** Null if the process is gone. */
export async function readMapOwner(hostRoot: string, pid: number): Promise<MapOwner | null> {
  try {
    const status = await readFile(join(hostRoot, `proc/${pid}/status`), "latin1");
    const uid = /^Uid:\s+\d+\s+(\d+)/m.exec(status)?.[1];
    const innerPid = /^NSpid:.*?(\d+)$/m.exec(status)?.[1];
    return uid === undefined ? null : { uid: Number(uid), innerPid: innerPid === undefined ? pid : Number(innerPid) };
  } catch {
    return null;
  }
}

/** The ranges that the addresses lie in. Where two lines cover an address, the later one counts: the place was used again. */
export async function findGenerated(file: FileHandle, addresses: Iterable<number>): Promise<GeneratedRange[]> {
  const wanted = Float64Array.from(new Set(addresses)).sort();
  const found = new Map<number, GeneratedRange>();
  const buffer = Buffer.allocUnsafe(CHUNK_BYTES);
  let kept = 0;
  for (let position = 0; position < PERF_MAP_BYTES_MAX; ) {
    const { bytesRead } = await file.read(buffer, kept, CHUNK_BYTES - kept, position);
    if (bytesRead === 0) break;
    position += bytesRead;
    const end = kept + bytesRead;
    const lastBreak = buffer.lastIndexOf(10, end - 1);
    if (lastBreak < 0) {
      // No line is that long: pass over it.
      kept = 0;
      continue;
    }
    takeLines(buffer.subarray(0, lastBreak + 1), wanted, found);
    buffer.copyWithin(0, lastBreak + 1, end);
    kept = end - lastBreak - 1;
    if (kept === CHUNK_BYTES) kept = 0;
  }
  return [...new Set(found.values())];
}

function takeLines(bytes: Buffer, wanted: Float64Array, found: Map<number, GeneratedRange>): void {
  const lowest = wanted[0] ?? 0;
  const highest = wanted.at(-1) ?? 0;
  for (let at = 0; at < bytes.length; ) {
    const lineEnd = bytes.indexOf(10, at);
    const start = parseHex(bytes, at);
    const size = start === null ? null : parseHex(bytes, start.next);
    if (start !== null && size !== null && start.value <= highest && start.value + size.value > lowest) {
      const end = start.value + size.value;
      let range: GeneratedRange | undefined;
      for (let index = lowerBound(wanted, start.value); index < wanted.length && (wanted[index] as number) < end; index++) {
        range ??= { start: start.value, end, name: bytes.toString("utf8", size.next, Math.min(lineEnd, size.next + NAME_BYTES_MAX)) };
        found.set(wanted[index] as number, range);
      }
    }
    at = lineEnd + 1;
  }
}

/** A hexadecimal number that a space ends. */
function parseHex(bytes: Buffer, from: number): { value: number; next: number } | null {
  let value = 0;
  let at = from;
  if (bytes[at] === 0x30 && bytes[at + 1] === 0x78) at += 2;
  for (; ; at++) {
    const byte = bytes[at] as number;
    const digit =
      byte >= 0x30 && byte <= 0x39 ? byte - 0x30 : byte >= 0x61 && byte <= 0x66 ? byte - 0x57 : byte >= 0x41 && byte <= 0x46 ? byte - 0x37 : -1;
    if (digit < 0) break;
    value = value * 16 + digit;
  }
  return bytes[at] === 0x20 && at > from && Number.isSafeInteger(value) ? { value, next: at + 1 } : null;
}

/** `function [file:line:column]` out of what V8 writes (`JS:*function file:line:column`), whatever compiler made the code; others stay as they are. */
export function generatedName(text: string): { readonly name: string; readonly module: string } {
  const script = /^(?:JS|LazyCompile|Function|Script|Eval|RegExp):([*~^+'"]*)(.*)$/su.exec(text);
  if (script === null) return { name: text, module: "jit" };
  const rest = script[2] as string;
  const split = rest.lastIndexOf(" ");
  if (split < 0) return { name: rest === "" ? "(anonymous)" : rest, module: "jit" };
  return { name: rest.slice(0, split) || "(anonymous)", module: rest.slice(split + 1) };
}
