// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";

/** What the kernel's own statistics say of a program so far: run time and runs. */
export interface ProgramRuns {
  readonly runTimeNs: bigint;
  readonly runCount: bigint;
}

/** What a program took within a stretch of work, in ns, and how often it ran. */
export interface ProgramCost {
  readonly totalNs: number;
  readonly runs: number;
}

/** Programs as the kernel knows them, by name; a name may stand for several, which are added up. */
export function costBetween(before: ReadonlyMap<string, ProgramRuns>, after: ReadonlyMap<string, ProgramRuns>): Map<string, ProgramCost> {
  return new Map(
    [...after].map(([name, now]) => [
      name,
      {
        totalNs: Number(now.runTimeNs - (before.get(name)?.runTimeNs ?? 0n)),
        runs: Number(now.runCount - (before.get(name)?.runCount ?? 0n)),
      },
    ]),
  );
}

/** Names of all programs of the host by their id. The kernel keeps 15 characters. */
export function programNames(): Map<number, string> {
  const all = JSON.parse(execFileSync("bpftool", ["-j", "prog", "show"], { encoding: "utf8", maxBuffer: 1 << 24 })) as {
    id: number;
    name?: string;
  }[];
  return new Map(all.map(({ id, name = "" }) => [id, name]));
}

/** Statistics of the programs that a process holds by a descriptor, by program id. The kernel shows them there (`/proc/PID/fdinfo`). */
export function programsOfProcess(pid: number): Map<number, ProgramRuns> {
  const programs = new Map<number, ProgramRuns>();
  for (const fd of readdirSync(`/proc/${pid}/fdinfo`)) {
    const text = readDescriptor(pid, fd);
    const field = (name: string): bigint | undefined => {
      const value = new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(text)?.[1];
      return value === undefined ? undefined : BigInt(value);
    };
    const [id, runTimeNs, runCount] = [field("prog_id"), field("run_time_ns"), field("run_cnt")];
    if (id !== undefined && runTimeNs !== undefined && runCount !== undefined) programs.set(Number(id), { runTimeNs, runCount });
  }
  return programs;
}

/** Empty if it was closed since the folder was read. */
function readDescriptor(pid: number, fd: string): string {
  try {
    return readFileSync(`/proc/${pid}/fdinfo/${fd}`, "utf8");
  } catch {
    return "";
  }
}
