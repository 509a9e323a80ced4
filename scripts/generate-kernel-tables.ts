// SPDX-License-Identifier: Apache-2.0
/**
 * Writes the tables of system call and error names that the agent carries, out of the kernel headers of this machine:
 *
 *   node scripts/generate-kernel-tables.ts        (needs cc and linux-libc-dev)
 */
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../", import.meta.url));

/** Calls newer than the headers of Debian 12; since 403 a new call has the same number everywhere. Source: scripts/syscall.tbl of Linux 6.18. */
const newer: Record<number, string> = {
  451: "cachestat",
  452: "fchmodat2",
  453: "map_shadow_stack",
  454: "futex_wake",
  455: "futex_wait",
  456: "futex_requeue",
  457: "statmount",
  458: "listmount",
  459: "lsm_get_self_attr",
  460: "lsm_set_self_attr",
  461: "lsm_list_modules",
  462: "mseal",
  463: "setxattrat",
  464: "getxattrat",
  465: "listxattrat",
  466: "removexattrat",
  467: "open_tree_attr",
  468: "file_getattr",
  469: "file_setattr",
};

/** Error numbers of include/linux/errno.h: the kernel's own, which a traced call may return before user space sees EINTR. */
const kernelErrors: Record<number, string> = {
  512: "ERESTARTSYS",
  513: "ERESTARTNOINTR",
  514: "ERESTARTNOHAND",
  515: "ENOIOCTLCMD",
  516: "ERESTART_RESTARTBLOCK",
  517: "EPROBE_DEFER",
  518: "EOPENSTALE",
  521: "EBADHANDLE",
  524: "ENOTSUPP",
  529: "EIOCBQUEUED",
};

function macros(header: string, defines: string[]): Map<string, string> {
  const text = execFileSync("cc", ["-E", "-dM", ...defines.map((name) => `-D${name}`), "-x", "c", "-"], {
    input: `#include <${header}>\n`,
    encoding: "utf8",
  });
  return new Map([...text.matchAll(/^#define (\w+) (\S+)$/gm)].map((match) => [match[1] as string, match[2] as string]));
}

function numbersOf(table: Map<string, string>, prefix: string): Map<number, string> {
  const resolve = (value: string, depth = 0): number | undefined => {
    if (/^\d+$/.test(value)) return Number(value);
    const next = table.get(value);
    return next === undefined || depth > 4 ? undefined : resolve(next, depth + 1);
  };
  const names = new Map<number, string>();
  for (const [name, value] of table) {
    const number = name.startsWith(prefix) ? resolve(value) : undefined;
    // An alias (EWOULDBLOCK is defined as EAGAIN) does not win over the name that holds the number.
    if (number !== undefined && (!names.has(number) || /^\d+$/.test(value))) names.set(number, name.slice(prefix === "E" ? 0 : prefix.length));
  }
  return names;
}

function syscalls(header: string, defines: string[] = []): Map<number, string> {
  const names = numbersOf(macros(header, defines), "__NR_");
  for (const [number, name] of [...names]) if (/^(syscalls|arch_specific_syscall|3264_)/.test(name)) names.delete(number);
  for (const [number, name] of Object.entries(newer)) if (!names.has(Number(number))) names.set(Number(number), name);
  return names;
}

function literal(name: string, help: string, table: Map<number, string>): string {
  const rows = [...table].sort(([a], [b]) => a - b).map(([number, text]) => `  ${number}: "${text}",`);
  return `/** ${help} */\nexport const ${name}: Readonly<Record<number, string>> = {\n${rows.join("\n")}\n};\n`;
}

const head = "// SPDX-License-Identifier: Apache-2.0\n// Written by scripts/generate-kernel-tables.ts; not edited by hand.\n\n";

const arm64 = syscalls("asm-generic/unistd.h", [
  "__BITS_PER_LONG=64",
  "__ARCH_WANT_RENAMEAT",
  "__ARCH_WANT_NEW_STAT",
  "__ARCH_WANT_SET_GET_RLIMIT",
  "__ARCH_WANT_SYS_CLONE3",
  "__ARCH_WANT_MEMFD_SECRET",
]);
// asm-generic/unistd.h names these through __NR3264_<name> (64-bit: the plain name).
const shared3264 = {
  25: "fcntl",
  43: "statfs",
  44: "fstatfs",
  45: "truncate",
  46: "ftruncate",
  62: "lseek",
  71: "sendfile",
  79: "newfstatat",
  80: "fstat",
  222: "mmap",
  223: "fadvise64",
};
for (const [number, name] of Object.entries(shared3264)) arm64.set(Number(number), name);
const x86 = syscalls("asm/unistd_64.h");
x86.set(335, "uretprobe").set(336, "uprobe");

writeFileSync(
  `${root}apps/agent/src/snapshot/syscall-tables.ts`,
  `${head}${literal("x86_64", "Calls of x86_64.", x86)}\n${literal("i386", "Calls of 32-bit x86 programs.", syscalls("asm/unistd_32.h"))}\n${literal("arm64", "Calls of arm64.", arm64)}`,
);
const errors = numbersOf(macros("errno.h", []), "E");
for (const [number, name] of Object.entries(kernelErrors)) errors.set(Number(number), name);
writeFileSync(
  `${root}apps/agent/src/kernel/errno-table.ts`,
  head + literal("errnoTable", "Error numbers of Linux, as x86 and arm64 have them.", errors),
);
