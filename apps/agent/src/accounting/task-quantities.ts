// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from "node:fs";
import type { QuantitySource } from "./quantity-source.ts";

/** USER_HZ, the unit of /proc/stat, is 100 on every architecture we run on. */
const TICK_NS = 10_000_000n;

/** CPU time of threads, in nanoseconds, and tasks made since boot, out of the text of /proc/stat. Throws a TypeError if it has no such lines. */
export function parseStat(text: string): Map<string, bigint> {
  const [user, nice, system] = /^cpu +(\d+) (\d+) (\d+) /m.exec(text)?.slice(1).map(BigInt) ?? [];
  const processes = /^processes (\d+)$/m.exec(text)?.[1];
  if (user === undefined || nice === undefined || system === undefined || processes === undefined)
    throw new TypeError("/proc/stat has no CPU time or no number of processes");
  return new Map([
    ["cpu_time", (user + nice + system) * TICK_NS],
    ["processes", BigInt(processes)],
  ]);
}

/** Of nearly 200 lines those that are held against ours. */
const vmstatLine = /^(pgfault|pgmajfault|oom_kill) (\d+)$/gm;

/** Counters of /proc/vmstat, by name. */
export function parseVmstat(text: string): Map<string, bigint> {
  return new Map([...text.matchAll(vmstatLine)].map(([, name, value]) => [name as string, BigInt(value as string)]));
}

/** CPU time, and processes and threads made, of the whole host. */
export function statQuantities(procPath: string): QuantitySource {
  return {
    read: () => parseStat(readFileSync(`${procPath}/stat`, "latin1")),
    counted: {
      cpu_time: { signal: "cpu_time", measures: ["user", "system"] },
      processes: { signal: "process_exec", measures: ["forked", "threads"] },
    },
  };
}

/** Page faults and OOM kills of the whole host. */
export function vmstatQuantities(procPath: string): QuantitySource {
  return {
    read: () => parseVmstat(readFileSync(`${procPath}/vmstat`, "latin1")),
    counted: {
      pgfault: { signal: "page_faults", measures: ["minor", "major"] },
      pgmajfault: { signal: "page_faults", measures: ["major"] },
      oom_kill: { signal: "oom_kills", measures: ["count"] },
    },
  };
}
