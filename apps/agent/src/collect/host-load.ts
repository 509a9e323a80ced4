// SPDX-License-Identifier: Apache-2.0
import type { Collected, Collector } from "../window/collector.ts";
import { Increase, readHostFile } from "./proc-file.ts";

/** /proc/stat counts in USER_HZ, which is 100 on every architecture that Linux still runs on (include/asm-generic/param.h). */
const TICK_NS = 10_000_000n;

/** Columns of a `cpu` line of /proc/stat (proc_stat(5)). Time of guests is part of user and nice. */
const cpuColumns = ["user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal", "guest", "guest_nice"] as const;

/** Rows of `host_load`: what /proc/stat, /proc/loadavg and /proc/meminfo say of the whole host. */
export class HostLoadCollector implements Collector {
  readonly signals = ["host_load"];
  readonly #hostRoot: string;
  readonly #increase = new Increase();

  constructor(hostRoot: string) {
    this.#hostRoot = hostRoot;
    try {
      this.#increase.since(countersOf(readHostFile(this.#hostRoot, "proc/stat")));
    } catch {
      // The first window will fail too, and say why.
    }
  }

  collect(): Collected[] {
    const stat = readHostFile(this.#hostRoot, "proc/stat");
    const rose = this.#increase.since(countersOf(stat));
    // What was counted since when is not known; a row would claim zeros.
    if (rose === undefined) return [{ signal: "host_load", rows: [], state: "failed", reason: "/proc/stat could not be read when the window began" }];
    const of = (name: string): bigint => rose.get(name) ?? 0n;
    const [load1, load5, load15, tasks] = readHostFile(this.#hostRoot, "proc/loadavg").split(" ") as [string, string, string, string];
    const memory = readMemory(readHostFile(this.#hostRoot, "proc/meminfo"));
    const bytes = (name: string): bigint => memory.get(name) ?? 0n;
    const [tasksRunning, tasksAll] = tasks.split("/").map(BigInt) as [bigint, bigint];
    const guest = of("guest") + of("guest_nice");
    const row = {
      load_1m: milli(load1),
      load_5m: milli(load5),
      load_15m: milli(load15),
      tasks: tasksAll,
      tasks_running: tasksRunning,
      tasks_blocked: BigInt(/^procs_blocked (\d+)$/m.exec(stat)?.[1] ?? 0),
      memory_total: bytes("MemTotal"),
      memory_available: bytes("MemAvailable"),
      memory_cached: bytes("Cached") + bytes("Buffers"),
      memory_dirty: bytes("Dirty"),
      memory_slab: bytes("Slab"),
      swap_total: bytes("SwapTotal"),
      swap_free: bytes("SwapFree"),
      // The kernel adds a guest's time to both at slightly different moments.
      cpu_user: positive(of("user") + of("nice") - guest) * TICK_NS,
      cpu_system: of("system") * TICK_NS,
      cpu_irq: (of("irq") + of("softirq")) * TICK_NS,
      cpu_steal: of("steal") * TICK_NS,
      cpu_guest: guest * TICK_NS,
      cpu_iowait: of("iowait") * TICK_NS,
      cpu_idle: of("idle") * TICK_NS,
      context_switches: of("ctxt"),
      interrupts: of("intr"),
      forks: of("processes"),
    };
    return [{ signal: "host_load", rows: [row], state: "exact", reason: "" }];
  }
}

/** What /proc/stat counts since boot, by name: CPU time in ticks, and events. */
function countersOf(stat: string): Map<string, bigint> {
  const counters = new Map<string, bigint>();
  const cpu = /^cpu +(.*)$/m.exec(stat)?.[1]?.trim().split(/ +/) ?? [];
  for (const [index, name] of cpuColumns.entries()) counters.set(name, BigInt(cpu[index] ?? 0));
  for (const name of ["ctxt", "intr", "processes"]) counters.set(name, BigInt(new RegExp(`^${name} (\\d+)`, "m").exec(stat)?.[1] ?? 0));
  return counters;
}

function milli(decimal: string): bigint {
  return BigInt(Math.round(Number(decimal) * 1_000));
}

function positive(value: bigint): bigint {
  return value > 0n ? value : 0n;
}

/** /proc/meminfo in bytes, by name. */
function readMemory(text: string): Map<string, bigint> {
  return new Map([...text.matchAll(/^(\w+): +(\d+) kB$/gm)].map(([, name, kib]) => [name as string, BigInt(kib as string) * 1_024n]));
}
