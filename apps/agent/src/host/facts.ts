// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from "node:fs";
import { hostname, machine, release } from "node:os";
import { join } from "node:path";
import type { HostFacts } from "@waggle/proto";
import { agentVersion } from "../version.ts";

/** What uname knows; given apart so that fixtures can stand for another machine. */
export interface KernelName {
  readonly nodename: string;
  readonly release: string;
  readonly machine: string;
}

/** Facts that rarely change, for the Hello. A fact that cannot be read is empty or 0, which means unknown. */
export function readHostFacts(
  hostRoot: string,
  tags: Readonly<Record<string, string>>,
  name: KernelName = { nodename: hostname(), release: release(), machine: machine() },
): HostFacts {
  const readText = (path: string) => {
    try {
      return readFileSync(join(hostRoot, path), "utf8");
    } catch {
      return "";
    }
  };
  return {
    name: name.nodename.slice(0, 253) || "localhost",
    kernelRelease: name.release,
    architecture: name.machine,
    distribution: parsePrettyName(readText("etc/os-release") || readText("usr/lib/os-release")),
    cpuCount: countCpus(readText("sys/devices/system/cpu/online")),
    memoryBytes: BigInt(/^MemTotal:\s+(\d+) kB$/m.exec(readText("proc/meminfo"))?.[1] ?? 0) * 1024n,
    agentVersion,
    simulated: false,
    tags,
  };
}

/** PRETTY_NAME of an os-release file, whose values are quoted like a shell's; empty if there is none. */
export function parsePrettyName(text: string): string {
  const value = /^PRETTY_NAME=(.*)$/m.exec(text)?.[1]?.trim() ?? "";
  const quoted = /^(["'])(.*)\1$/.exec(value);
  return (quoted?.[2] ?? value).replace(/\\(["'$`\\])/g, "$1");
}

/** Length of a kernel CPU list such as `0-3,8,10-11`; 0 if it is none. */
export function countCpus(list: string): number {
  let count = 0;
  for (const range of list.trim().split(",")) {
    const match = /^(\d+)(?:-(\d+))?$/.exec(range);
    if (match === null) return 0;
    count += Number(match[2] ?? match[1]) - Number(match[1]) + 1;
  }
  return count;
}
