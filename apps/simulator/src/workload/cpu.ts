// SPDX-License-Identifier: Apache-2.0
import { bucketIndex } from "@waggle/signals";
import { CPUS } from "../fleet.ts";
import { heavyTail, steady } from "./columns.ts";
import { byRole, counterTable, type FamilyContext, histogramTable, named, roundByChance, type SignalFamily, Templates } from "./family.ts";
import type { HostWindow } from "./host-window.ts";
import type { NamedRows, RowName } from "./named-rows.ts";
import { AGENT_PROCESS, type HostProcess, unitOf } from "./processes.ts";
import type { RowShares } from "./row-shares.ts";

const RUN_QUEUE_BUCKET = bucketIndex(7_000n);
/** Buckets by which waits for a CPU get longer until none is idle: four octaves. */
const CROWDED_BUCKETS = 32;
/** What a loop in the main process would take, of all CPUs. */
const BUSY_SHARE = 1.6;
/** Of the CPUs' time, what programs get at best. */
const USABLE_SHARE = 0.97;
const SLICE_NS = 3_000_000;
/** Major faults a second of a host that has no memory left for its programs' pages. */
const THRASHING_FAULTS = 700;
const SECONDS_PER_KILL = 40;

/** Programs that run for a moment: who starts them, how often in 10 s, and how they end. */
const shortLived = [
  { process: "sh", parent: "cron", count: 0.6, exit: "0" },
  { process: "sadc", parent: "sh", count: 0.5, exit: "0" },
  { process: "systemctl", parent: "sh", count: 0.3, exit: "0" },
  { process: "grep", parent: "sh", count: 0.3, exit: "1" },
  { process: "sshd", parent: "sshd", count: 0.2, exit: "255" },
  { process: "date", parent: "sh", count: 0.2, exit: "0" },
] as const;
const unitsOfShortLived: Readonly<Record<string, string>> = { sshd: unitOf("sshd") };
const shortLivedUnit = (process: string): string => unitsOfShortLived[process] ?? unitOf("cron");

class CpuTemplate {
  readonly processes: readonly HostProcess[];
  readonly cpuTime: NamedRows;
  readonly runQueue: NamedRows;
  readonly faults: NamedRows;
  /** Short-lived programs, then those that start them and nothing else, then the main process. */
  readonly exec: NamedRows;
  readonly parents: readonly string[];
  readonly programs: number;
  readonly exits: NamedRows;
  readonly oom: NamedRows;

  constructor(processes: readonly HostProcess[], shares: RowShares) {
    this.processes = processes;
    const names: RowName[] = processes.map(({ process, unit }) => ({ process, unit }));
    this.cpuTime = named("cpu_time", names);
    this.runQueue = named("run_queue_latency", names);
    this.faults = named("page_faults", names);
    // Each has its own row and its parent's.
    this.programs = Math.min(shortLived.length, Math.max(1, shares.most("process_exits") - 1));
    const running = shortLived.slice(0, this.programs);
    this.parents = [...new Set(running.map(({ parent }) => parent))].filter((parent) => !running.some(({ process }) => process === parent));
    const [main] = names as [RowName];
    this.exec = named("process_exec", [
      ...running.map(({ process }) => ({ process, unit: shortLivedUnit(process) })),
      ...this.parents.map((process) => ({ process, unit: unitOf(process) })),
      main,
      { process: "systemd", unit: unitOf("systemd") },
    ]);
    this.exits = named("process_exits", [
      ...running.map(({ process, exit }) => ({ process, unit: shortLivedUnit(process), exit_status: exit })),
      { ...main, exit_status: "SIGKILL" },
    ]);
    this.oom = named("oom_kills", [main]);
  }
}

/** Who runs, who waits for a CPU, who touches new memory, and what starts and ends. */
export class CpuFamily implements SignalFamily {
  readonly #templates: Templates<CpuTemplate>;
  readonly #waiting: number;
  readonly #faulting: number;
  readonly #cpuTime;
  readonly #runQueue;
  readonly #faults;
  readonly #exec;
  readonly #exits;
  readonly #oom;
  readonly #demand: Float64Array;
  readonly #started = new Float64Array(shortLived.length);

  constructor({ shares, processes }: FamilyContext, processesMax: number) {
    this.#templates = new Templates(byRole, ({ role }) => new CpuTemplate(processes(role), shares));
    this.#waiting = shares.of("run_queue_latency");
    this.#faulting = shares.of("page_faults");
    this.#cpuTime = counterTable("cpu_time", shares);
    this.#runQueue = histogramTable("run_queue_latency", shares);
    this.#faults = counterTable("page_faults", shares);
    this.#exec = counterTable("process_exec", shares);
    this.#exits = counterTable("process_exits", shares);
    this.#oom = counterTable("oom_kills", shares);
    this.#demand = new Float64Array(processesMax);
  }

  make(window: HostWindow): void {
    window.draw("cpu");
    const template = this.#templates.of(window.host);
    this.#makeTime(window, template);
    this.#makeFaults(window, template);
    this.#makeProcesses(window, template);
  }

  #makeTime(window: HostWindow, { processes, cpuTime, runQueue }: CpuTemplate): void {
    const { random, windowMs, ailments } = window;
    const usableNs = CPUS * windowMs * 1e6 * USABLE_SHARE;
    let demandNs = 0;
    for (const [index, { process, cpuNs, weight }] of processes.entries()) {
      const isAgent = process === AGENT_PROCESS;
      let demand = isAgent ? window.agentCpuNs : window.around(cpuNs * weight);
      if (ailments.busyCpu && index === 0) demand += BUSY_SHARE * usableNs;
      this.#demand[index] = demand;
      demandNs += demand;
    }
    // Who asks for more than there is gets a part of it.
    const granted = (usableNs * (1 - Math.exp(-demandNs / usableNs))) / Math.max(1, demandNs);
    window.utilisation = Math.min(1, (demandNs * granted) / (CPUS * windowMs * 1e6));
    const crowd = window.utilisation ** 2;
    const at = RUN_QUEUE_BUCKET + Math.round(CROWDED_BUCKETS * crowd);
    this.#cpuTime.begin();
    this.#runQueue.begin();
    for (const [index, { process, systemShare, waits, weight }] of processes.entries()) {
      const used = process === AGENT_PROCESS ? window.agentCpuNs : Math.floor((this.#demand[index] as number) * granted);
      const system = Math.floor(used * systemShare);
      const voluntary = 1 + Math.floor(window.around(waits * weight));
      const involuntary = Math.floor((used / SLICE_NS) * crowd + voluntary * 0.01);
      this.#cpuTime.add(index, used - system, system, voluntary, involuntary);
      const switches = voluntary + involuntary;
      if (index < this.#waiting) window.runQueueNs += this.#runQueue.add(index, switches, at, crowd > 0.6 ? heavyTail : steady, random);
      window.cpuNs[index] = used;
      window.waits[index] = voluntary;
      window.cpuUserNs += used - system;
      window.cpuSystemNs += system;
      window.switches += switches;
    }
    window.push(this.#cpuTime, cpuTime);
    window.push(this.#runQueue, runQueue);
  }

  #makeFaults(window: HostWindow, { processes, faults }: CpuTemplate): void {
    const { random, ailments, seconds } = window;
    this.#faults.begin();
    for (const [index, { faults: average, weight }] of processes.entries()) {
      if (index >= this.#faulting) break;
      const minor = roundByChance(window.around(average * weight), random.next());
      const isThrashing = ailments.noMemory && index < 2;
      const major = roundByChance(isThrashing ? (THRASHING_FAULTS * seconds) / (index + 1) : minor * 0.0005, random.next());
      if (minor + major === 0) continue;
      this.#faults.add(index, minor, major);
      window.faultsMinor += minor;
      window.faultsMajor += major;
    }
    window.push(this.#faults, faults);
  }

  #makeProcesses(window: HostWindow, { exec, exits, oom, parents, programs }: CpuTemplate): void {
    const { random, ailments, seconds } = window;
    this.#exec.begin();
    this.#exits.begin();
    this.#oom.begin();
    // Timers start the same on every host, however busy it is.
    for (let row = 0; row < programs; row++) {
      const { count, parent } = shortLived[row] as (typeof shortLived)[number];
      // A shell is there before what it starts.
      const usual = roundByChance((count * seconds) / 10, random.next());
      this.#started[row] = parent === "sh" && this.#started[0] === 0 ? 0 : usual;
    }
    const kills = ailments.noMemory ? roundByChance(seconds / SECONDS_PER_KILL, random.next()) : 0;
    const childrenOf = (process: string): number => {
      let children = 0;
      for (let row = 0; row < programs; row++)
        if ((shortLived[row] as (typeof shortLived)[number]).parent === process) children += this.#started[row] as number;
      return children;
    };
    const start = (row: number, executed: number, forked: number, threads: number): void => {
      if (executed + forked + threads === 0) return;
      this.#exec.add(row, executed, forked, threads);
      window.forks += forked + threads;
    };
    for (let row = 0; row < programs; row++) {
      const { process } = shortLived[row] as (typeof shortLived)[number];
      const started = this.#started[row] as number;
      start(row, started, childrenOf(process), 0);
      if (started > 0) this.#exits.add(row, started);
    }
    for (const [index, parent] of parents.entries()) start(programs + index, 0, childrenOf(parent), 0);
    // What was killed is started again.
    start(programs + parents.length, kills, 0, roundByChance(window.around(0.4), random.next()) + 4 * kills);
    start(programs + parents.length + 1, 0, kills, 0);
    if (kills > 0) {
      this.#exits.add(programs, kills);
      this.#oom.add(0, kills);
      window.oomKills = kills;
    }
    window.push(this.#exec, exec);
    window.push(this.#exits, exits);
    window.push(this.#oom, oom);
  }
}
