// SPDX-License-Identifier: Apache-2.0
import { hostSignals, type QuantityName } from "@waggle/signals";
import { counterTable, type FamilyContext, named } from "./family.ts";
import { CROWDED_LOAD } from "./files.ts";
import type { HostWindow } from "./host-window.ts";
import type { NamedRows } from "./named-rows.ts";
import { AGENT_PROCESS } from "./processes.ts";
import type { AgentProgram } from "./row-shares.ts";
import { CounterTable, type SignalTable } from "./tables.ts";

const NS_PER_RUN = 130;
const TICK_NS = 10_000_000;
/** Rows that a crowded host could not tell of one by one. */
const ROWS_CUT = 40;

/** A quantity that is counted twice, what the probes counted of it and what the kernel did, and the signals without which it is not counted. */
interface AccountedQuantity {
  readonly quantity: QuantityName;
  readonly signals: readonly string[];
  readonly counted: (window: HostWindow) => number;
  /** Left out: the same. */
  readonly kernel?: (counted: number, window: HostWindow) => number;
}

/** The first is what a host that sends few rows accounts for. */
const accounted: readonly AccountedQuantity[] = [
  { quantity: "RetransSegs", signals: ["tcp_retransmits"], counted: (window) => window.segmentsAgain },
  { quantity: "ActiveOpens", signals: ["tcp_connections", "tcp_connect_failures"], counted: (window) => window.activeOpens },
  { quantity: "PassiveOpens", signals: ["tcp_connections"], counted: (window) => window.passiveOpens },
  { quantity: "AttemptFails", signals: ["tcp_connect_failures"], counted: (window) => window.connectsFailed },
  { quantity: "EstabResets", signals: ["tcp_connections", "tcp_resets"], counted: (window) => window.connectionsReset },
  {
    quantity: "OutSegs",
    signals: ["tcp_connections", "tcp_resets"],
    // Without retransmissions, with the SYN-ACK of each handshake.
    counted: (window) => window.segmentsSent - window.segmentsAgain + window.passiveOpens + window.resetsSent,
    kernel: (counted) => counted + Math.floor(counted * 0.0004),
  },
  { quantity: "OutRsts", signals: ["tcp_resets"], counted: (window) => window.resetsSent },
  { quantity: "ListenDrops", signals: ["tcp_listen_queue"], counted: (window) => window.listenDrops },
  { quantity: "UdpInDatagrams", signals: ["udp_traffic"], counted: (window) => window.datagramsReceived },
  { quantity: "UdpOutDatagrams", signals: ["udp_traffic"], counted: (window) => window.datagramsSent },
  { quantity: "UdpRcvbufErrors", signals: ["socket_buffers"], counted: (window) => window.datagramsDropped },
  {
    quantity: "cpu_time",
    signals: ["cpu_time"],
    counted: (window) => window.cpuUserNs + window.cpuSystemNs,
    kernel: (counted) => Math.round(counted / TICK_NS) * TICK_NS,
  },
  { quantity: "processes", signals: ["process_exec"], counted: (window) => window.forks },
  {
    quantity: "pgfault",
    signals: ["page_faults"],
    counted: (window) => window.faultsMinor + window.faultsMajor,
    kernel: (counted) => counted + Math.floor(counted * 0.002),
  },
  { quantity: "pgmajfault", signals: ["page_faults"], counted: (window) => window.faultsMajor },
  { quantity: "oom_kill", signals: ["oom_kills"], counted: (window) => window.oomKills },
  { quantity: "disk_requests", signals: ["block_io"], counted: (window) => window.diskRequests },
  { quantity: "disk_bytes", signals: ["block_io"], counted: (window) => window.diskBytes },
];

const attributed = hostSignals.filter(({ dimensions }) => dimensions.includes("process")).map(({ name }) => name);

/** What the agent says of itself: its price, what it accounts for, what it could not keep, and how much has an owner. */
export class AgentFamily {
  readonly #costNames: NamedRows;
  readonly #accountingNames: NamedRows;
  readonly #dropNames: NamedRows;
  readonly #attributionNames: NamedRows;
  readonly #cost: CounterTable;
  readonly #accounting: CounterTable;
  readonly #drops: CounterTable;
  readonly #attribution: CounterTable;
  readonly #programs: readonly AgentProgram[];
  readonly #quantities: number;

  constructor({ shares }: FamilyContext) {
    this.#programs = shares.programs;
    this.#quantities = shares.quantities;
    this.#costNames = named(
      "agent_cost",
      [AGENT_PROCESS, ...shares.programs.map(({ program }) => program)].map((program) => ({ program })),
    );
    this.#accountingNames = named("agent_accounting", accounted);
    this.#dropNames = named("agent_drops", [{ place: "file_io", cause: "row_cap" }]);
    this.#attributionNames = named(
      "agent_attribution",
      attributed.map((signal) => ({ signal })),
    );
    this.#cost = counterTable("agent_cost", shares);
    this.#accounting = new CounterTable("agent_accounting", accounted.length);
    this.#drops = counterTable("agent_drops", shares);
    this.#attribution = new CounterTable("agent_attribution", attributed.length);
  }

  beginAttribution(): void {
    this.#attribution.begin();
  }

  /** Notes how much of a signal's rows has an owner. */
  attribute(table: SignalTable, names: NamedRows): void {
    const index = attributed.indexOf(table.signal.name);
    const owned = index < 0 ? undefined : table.owned(names);
    if (owned !== undefined) this.#attribution.add(index, owned.counted, owned.withProcess, owned.withUnit);
  }

  /** @param isMade whether rows of a signal are sent in this window */
  make(window: HostWindow, isMade: (signal: string) => boolean): void {
    window.draw("agent");
    const { random } = window;
    this.#cost.begin();
    this.#cost.add(0, 0, 0, window.agentCpuNs, 62e6 + Math.floor(2e6 * random.next()), 14e6);
    for (const [index, { runs: average }] of this.#programs.entries()) {
      const runs = Math.floor(window.around(average));
      this.#cost.add(index + 1, runs, runs * NS_PER_RUN, 0, 0, 0);
    }
    window.push(this.#cost, this.#costNames);

    this.#accounting.begin();
    for (const [row, { signals, counted, kernel }] of accounted.entries()) {
      if (this.#accounting.rows >= this.#quantities) break;
      if (!signals.every(isMade)) continue;
      const count = counted(window);
      this.#accounting.add(row, count, kernel?.(count, window) ?? count);
    }
    window.push(this.#accounting, this.#accountingNames);

    this.#drops.begin();
    if (window.host.load > CROWDED_LOAD && isMade("file_io")) this.#drops.add(0, 0, ROWS_CUT);
    window.push(this.#drops, this.#dropNames);
    window.push(this.#attribution, this.#attributionNames);
  }
}
