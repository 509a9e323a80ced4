// SPDX-License-Identifier: Apache-2.0
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { type ProgramRuns, programNames, programsOfProcess } from "./program-costs.ts";

/** A command line of a tracer: bpftrace with a script, or a tool of libbpf-tools with its arguments. */
export type TracerCommand = readonly [string, ...string[]];

const START_TRIES = 300;
const START_PAUSE_MS = 100;
/** How long the number of its programs has to stay the same before all are taken to be there. */
const SETTLED_TRIES = 6;

/** Other tracers that run at the same time, until they are stopped. Each in a mount namespace of its own with tracefs in it, which a host need not have mounted. */
export class Tracers implements AsyncDisposable {
  readonly #children: ChildProcess[] = [];
  readonly #names = new Map<number, string>();
  #said = "";

  /** Starts all of them and waits until their programs are loaded. Null if one of them does not run here; `why` then says what it said. */
  static async start(commands: readonly TracerCommand[]): Promise<Tracers | { readonly why: string }> {
    if (spawnSync("bpftool", ["version"]).status !== 0) return { why: "bpftool is missing, which names the programs of others" };
    const tracers = new Tracers();
    for (const command of commands) {
      const before = tracers.#ids().size;
      const child = tracers.#spawn(command);
      if (await tracers.#settle(child, before)) continue;
      const why = tracers.#complaint();
      await tracers[Symbol.asyncDispose]();
      return { why: why === "" ? "it loaded no program within 30 s" : why };
    }
    return tracers;
  }

  /** What they said of why they do not run: the line that speaks of an error, else the last. */
  #complaint(): string {
    const said = this.#said.trim().split("\n");
    return (said.findLast((line) => /error|failed/i.test(line) && !line.includes("MEMLOCK")) ?? said.at(-1) ?? "").slice(0, 300);
  }

  #spawn(command: TracerCommand): ChildProcess {
    const setUp =
      "mount -t tracefs nodev /sys/kernel/tracing 2>/dev/null; [ -e /sys/kernel/debug/tracing/events ] || mount -t debugfs nodev /sys/kernel/debug 2>/dev/null";
    const child = spawn("unshare", ["--mount", "sh", "-c", `${setUp}; exec "$@"`, "sh", ...command], { stdio: ["ignore", "pipe", "pipe"] });
    this.#children.push(child);
    child.stdout?.resume();
    child.stderr?.on("data", (data: Buffer) => {
      this.#said = (this.#said + data.toString()).slice(-4_096);
    });
    return child;
  }

  async #settle(child: ChildProcess, before: number): Promise<boolean> {
    let seen = before;
    let settled = 0;
    for (let tries = 0; tries < START_TRIES && child.exitCode === null; tries++) {
      await sleep(START_PAUSE_MS);
      const now = this.#ids().size;
      settled = now > before && now === seen ? settled + 1 : 0;
      seen = now;
      if (settled >= SETTLED_TRIES) return true;
    }
    return false;
  }

  #ids(): Set<number> {
    return new Set(this.pids().flatMap((pid) => [...programsOfProcess(pid).keys()]));
  }

  /** Those that run. */
  pids(): number[] {
    return this.#children.flatMap(({ pid, exitCode, signalCode }) => (pid === undefined || exitCode !== null || signalCode !== null ? [] : [pid]));
  }

  /** Statistics of their programs so far, by name; programs of one name are added up. */
  programs(): Map<string, ProgramRuns> {
    const sums = new Map<string, ProgramRuns>();
    for (const pid of this.pids()) {
      for (const [id, runs] of programsOfProcess(pid)) {
        if (!this.#names.has(id)) for (const [other, name] of programNames()) this.#names.set(other, name);
        const name = this.#names.get(id) ?? String(id);
        const sum = sums.get(name);
        sums.set(name, { runTimeNs: runs.runTimeNs + (sum?.runTimeNs ?? 0n), runCount: runs.runCount + (sum?.runCount ?? 0n) });
      }
    }
    return sums;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#children) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const ended = new Promise((resolve) => child.once("exit", resolve));
      child.kill("SIGINT");
      const force = setTimeout(() => child.kill("SIGKILL"), 5_000);
      await ended;
      clearTimeout(force);
    }
  }
}
