// SPDX-License-Identifier: Apache-2.0
import { type ColumnBlock, encodeBlock, getSignalOrThrow, hostSignals, type Signal } from "@waggle/signals";
import { type Role, roles, type SimulatedHost } from "./fleet.ts";
import type { Incident } from "./incident.ts";
import { AgentFamily } from "./workload/agent.ts";
import { CpuFamily } from "./workload/cpu.ts";
import { DiskFamily } from "./workload/disks.ts";
import type { FamilyContext, SignalFamily } from "./workload/family.ts";
import { FileFamily } from "./workload/files.ts";
import { HostFactsMaker, HostFamily, hasEnergyMeter } from "./workload/host.ts";
import { HostWindow } from "./workload/host-window.ts";
import { NetFamily } from "./workload/net.ts";
import { type HostProcess, processCount, processesOf } from "./workload/processes.ts";
import { ProfileFamily } from "./workload/profiles.ts";
import { RowShares } from "./workload/row-shares.ts";
import { everySignal } from "./workload/selection.ts";
import { SocketFamily } from "./workload/sockets.ts";
import { SyscallFamily } from "./workload/syscalls.ts";
import { TcpFamily } from "./workload/tcp.ts";

const coverage = getSignalOrThrow("agent_coverage");
const hostFacts = getSignalOrThrow("host_facts");

/** One window of one host: the blocks of the signals that have rows. */
export type WindowBlocks = readonly { readonly signal: Signal; readonly block: ColumnBlock }[];

export interface WorkloadOptions {
  readonly seed: number;
  /** Rows of one host and window on average, agent_coverage's (one per signal) not counted; fewer than one of each signal are not to be had. */
  readonly rows: number;
  readonly windowMs: number;
  readonly incidents: readonly Incident[];
  /** Names of the signals that are made up; left out: all that agents report. */
  readonly signals?: ReadonlySet<string>;
}

/** Processes of a host that tells of few of them. */
const PROCESSES_MIN = 2;
const none: ReadonlySet<string> = new Set();

/** Signals that follow from what a family makes up, besides its own. The order is that in which they follow. */
const followers = {
  tcp: ["tcp", "net", "host_load", "host_pressure"],
  sockets: ["tcp_resets", "tcp_accept_delay", "tcp_listen_queue", "tcp_congestion", "socket_buffers", "packet_drops", "network_devices"],
  files: ["file", "disk", "off_cpu", "host_load", "host_pressure"],
  syscalls: ["syscall"],
  cpu: ["cpu", "disk", "softirq_latency", "host_load", "host_pressure", "energy"],
  disks: ["disk", "softirq_latency", "host_load"],
  net: ["net", "off_cpu"],
  profiles: ["cpu_profile", "off_cpu", "stack_frames"],
  host: ["host_load", "host_pressure", "energy"],
} as const;

/**
 * What the hosts of a fleet count: a pure function of seed, host and window start (and of the incidents and signals asked for), so that a fleet can be replayed and its
 * truth recomputed. Amounts follow the time of day, differ between hosts as those of a real fleet do, and few hosts are sick.
 */
export class Workload {
  readonly options: WorkloadOptions;
  readonly #made: ReadonlySet<string>;
  readonly #window: HostWindow;
  readonly #families: readonly SignalFamily[];
  readonly #agent: AgentFamily;
  readonly #facts = new HostFactsMaker();
  /** By signals that are switched off; of hosts without a meter of energy, and of those with one. */
  readonly #coverage = new WeakMap<ReadonlySet<string>, [ColumnBlock, ColumnBlock]>();
  #off = none;
  #blocks: { signal: Signal; block: ColumnBlock }[] = [];

  constructor(options: WorkloadOptions) {
    this.options = options;
    this.#made = options.signals ?? everySignal;
    const shares = new RowShares(options.rows, this.#made);
    const asked = this.#made.has("cpu_time") ? Math.max(PROCESSES_MIN, shares.of("cpu_time")) : undefined;
    const processes = new Map<Role, readonly HostProcess[]>(roles.map((role) => [role, processesOf(role, asked ?? processCount(role))]));
    const processesMax = Math.max(...[...processes.values()].map(({ length }) => length));
    const context: FamilyContext = { seed: options.seed, shares, processes: (role) => processes.get(role) as readonly HostProcess[] };
    const tcp = new TcpFamily(context);
    const families: Readonly<Record<keyof typeof followers, SignalFamily>> = {
      tcp,
      sockets: new SocketFamily(context, tcp),
      files: new FileFamily(context),
      syscalls: new SyscallFamily(context),
      cpu: new CpuFamily(context, processesMax),
      disks: new DiskFamily(context),
      net: new NetFamily(context),
      profiles: new ProfileFamily(context),
      host: new HostFamily(context),
    };
    this.#families = (Object.keys(followers) as (keyof typeof followers)[]).filter((name) => this.#isNeeded(name)).map((name) => families[name]);
    this.#agent = new AgentFamily(context);
    const isAttributed = this.#made.has("agent_attribution");
    this.#window = new HostWindow(options, processesMax, (table, names) => {
      if (!this.#isMade(table.signal.name)) return;
      this.#blocks.push({ signal: table.signal, block: { rows: table.rows, columns: table.columns(names) } });
      if (isAttributed) this.#agent.attribute(table, names);
    });
  }

  /**
   * The blocks of one window. They share memory with the next call's: encode or copy them before it.
   * @param off signals that are switched off on the host; the others are the same as without
   */
  window(host: SimulatedHost, startMs: number, off: ReadonlySet<string> = none): WindowBlocks {
    const window = this.#window;
    this.#off = off;
    this.#blocks = [];
    this.#agent.beginAttribution();
    window.begin(host, startMs);
    for (const family of this.#families) family.make(window);
    this.#agent.make(window, (signal) => this.#isMade(signal));
    const facts = this.#isMade(hostFacts.name) ? this.#facts.block(window) : undefined;
    if (facts !== undefined) this.#blocks.push({ signal: hostFacts, block: facts });
    this.#blocks.push({ signal: coverage, block: this.#coverageOf(host) });
    return this.#blocks;
  }

  #isNeeded(family: keyof typeof followers): boolean {
    const wanted: readonly string[] = followers[family];
    return hostSignals.some((signal) => this.#made.has(signal.name) && (wanted.includes(signal.family) || wanted.includes(signal.name)));
  }

  #isMade(signal: string): boolean {
    return this.#made.has(signal) && !this.#off.has(signal);
  }

  #coverageOf(host: SimulatedHost): ColumnBlock {
    let blocks = this.#coverage.get(this.#off);
    if (blocks === undefined) {
      blocks = [this.#makeCoverage(false), this.#makeCoverage(true)];
      this.#coverage.set(this.#off, blocks);
    }
    return blocks[hasEnergyMeter(host) ? 1 : 0];
  }

  #makeCoverage(hasMeter: boolean): ColumnBlock {
    return encodeBlock(
      coverage,
      hostSignals.map(({ name }) => ({ signal: name, windows: 1, ...this.#stateOf(name, hasMeter) })),
    );
  }

  /** In the words of real agents, where they have such. */
  #stateOf(signal: string, hasMeter: boolean): { readonly state: string; readonly reason: string } {
    if (!this.#made.has(signal)) return { state: "unsupported", reason: "the simulator was not asked to make this signal up" };
    if (this.#off.has(signal)) return { state: "disabled", reason: "switched off by the server" };
    if (signal === "energy" && !hasMeter)
      return { state: "unsupported", reason: "no RAPL meter in /sys/class/powercap: a virtual machine, or a processor without one" };
    return { state: "exact", reason: "" };
  }
}
