// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";

/** CPU seconds of a process so far: user and system, all threads. */
export function cpuSeconds(pid: number): number {
  const { user, system } = cpuSecondsByMode(pid);
  return user + system;
}

/** CPU seconds of a process so far, all threads, to the tick (10 ms). */
export function cpuSecondsByMode(pid: number): { readonly user: number; readonly system: number } {
  return cpuSecondsIn(`/proc/${pid}/stat`);
}

/** What a Node.js process's threads do. `main` runs the JavaScript, `v8` collects garbage and compiles, `libuv` does what blocks (files, names, digests). */
export interface NodeThreads {
  readonly main: number;
  readonly v8: number;
  readonly libuv: number;
}

/** CPU seconds of a Node.js process so far, by kind of thread. Threads that have ended are in none of them; Node.js keeps its own. */
export function threadCpuSeconds(pid: number): NodeThreads {
  const seconds = { main: 0, v8: 0, libuv: 0 };
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    const name = readFileSync(`/proc/${pid}/task/${thread}/comm`, "utf8").trim();
    const kind = thread === String(pid) ? "main" : name.startsWith("libuv") ? "libuv" : "v8";
    const { user, system } = cpuSecondsIn(`/proc/${pid}/task/${thread}/stat`);
    seconds[kind] += user + system;
  }
  return seconds;
}

/** What a process used between two readings of `threadCpuSeconds`. */
export function threadsBetween(before: NodeThreads, after: NodeThreads): NodeThreads {
  return { main: after.main - before.main, v8: after.v8 - before.v8, libuv: after.libuv - before.libuv };
}

export function sumOfThreads({ main, v8, libuv }: NodeThreads): number {
  return main + v8 + libuv;
}

function cpuSecondsIn(path: string): { readonly user: number; readonly system: number } {
  const stat = readFileSync(path, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return { user: Number(fields[11]) / ticksPerSecond(), system: Number(fields[12]) / ticksPerSecond() };
}

/** Resident memory of a process in bytes. */
export function rssBytes(pid: number): number {
  const match = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"));
  return Number(match?.[1]) * 1_024;
}

let ticks: number | undefined;
function ticksPerSecond(): number {
  ticks ??= Number(execFileSync("getconf", ["CLK_TCK"], { encoding: "utf8" }));
  return ticks;
}
