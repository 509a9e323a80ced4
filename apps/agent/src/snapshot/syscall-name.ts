// SPDX-License-Identifier: Apache-2.0
import { arm64, i386, x86_64 } from "./syscall-tables.ts";

/** Set in the key by the probe for a call that came through the 32-bit table (core_compat.bpf.h). */
const COMPAT_MARK = 0x80000000;

/**
 * Name of a system call number; `syscall_<n>` if this build does not know it; prefix `compat:` for a 32-bit call, whose
 * number is of another table.
 * @param architecture as `process.arch` has it
 */
export function syscallName(number: number, architecture: string = process.arch): string {
  const isCompat = number >= COMPAT_MARK;
  const plain = isCompat ? number - COMPAT_MARK : number;
  const table = architecture === "x64" ? (isCompat ? i386 : x86_64) : architecture === "arm64" && !isCompat ? arm64 : {};
  return `${isCompat ? "compat:" : ""}${table[plain] ?? `syscall_${plain}`}`;
}
