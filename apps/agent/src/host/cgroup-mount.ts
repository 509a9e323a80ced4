// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from "node:fs";
import { join } from "node:path";

/** Where the cgroup v2 hierarchy is mounted, or undefined on a host that has v1 only (or no /proc). */
export function findCgroup2Mount(hostRoot: string): string | undefined {
  let text: string;
  try {
    text = readFileSync(join(hostRoot, "proc/self/mountinfo"), "utf8");
  } catch {
    return undefined;
  }
  const mount = parseCgroup2Mount(text);
  return mount === undefined ? undefined : join(hostRoot, mount);
}

/**
 * The mount point of the cgroup2 file system in a mountinfo file (proc_pid_mountinfo(5)): /sys/fs/cgroup on unified hosts,
 * /sys/fs/cgroup/unified on hybrid ones. The whole hierarchy is wanted, so a mount of its root is preferred.
 */
export function parseCgroup2Mount(mountinfo: string): string | undefined {
  const mounts = mountinfo
    .split("\n")
    .map((line) => line.split(" - "))
    .filter(([, type]) => type?.startsWith("cgroup2 "))
    .map(([fields]) => (fields as string).split(" "))
    .map(([, , , root, point]) => ({ root: root as string, point: unescapeOctal(point as string) }));
  return (mounts.find((mount) => mount.root === "/") ?? mounts[0])?.point;
}

/** mountinfo writes space, tab, newline and backslash as `\040`. */
export function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_match, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}
