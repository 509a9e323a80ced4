// SPDX-License-Identifier: Apache-2.0
import { hostSignals, quantities as kernelQuantities } from "@waggle/signals";

/** Row counts vary with the time of day by up to this factor. */
export const TAIL_FACTOR = 1.25;

/** How the rows of a window are shared out among the signals that have as many as there is room for; a hundred of them are those of TCP flows and system calls. */
const weights: Readonly<Record<string, number>> = {
  tcp_connections: 24,
  tcp_rtt: 22,
  tcp_retransmits: 10,
  tcp_connect_latency: 8,
  syscalls: 16,
  syscall_latency: 12,
  syscall_errors: 8,
  tcp_resets: 4,
  tcp_accept_delay: 3,
  tcp_listen_queue: 3,
  tcp_congestion: 5,
  socket_buffers: 5,
  packet_drops: 6,
  udp_traffic: 6,
  dns_queries: 12,
  file_io: 12,
  file_opens: 12,
  fsync_latency: 5,
  block_io: 3,
  block_latency: 3,
  cpu_time: 13,
  run_queue_latency: 13,
  page_faults: 13,
  process_exec: 6,
  process_exits: 6,
  cpu_profile: 14,
  off_cpu: 12,
};

/** Rows of a host that runs one of each, whatever is asked for. */
const fixed: Readonly<Record<string, number>> = {
  network_devices: 2,
  softirq_latency: 5,
  host_load: 1,
  host_pressure: 4,
  stack_frames: 2,
  energy: 1,
};

/** A program of the agent, the signal that it runs for, and how often it runs in an average window of 10 s. */
export interface AgentProgram {
  readonly program: string;
  readonly signal: string;
  readonly runs: number;
}

const programs: readonly AgentProgram[] = [
  { program: "on_sys_exit", signal: "syscalls", runs: 60_000 },
  { program: "on_inet_sock_set_state", signal: "tcp_connections", runs: 600 },
  { program: "on_sched_switch", signal: "run_queue_latency", runs: 40_000 },
  { program: "on_kfree_skb", signal: "packet_drops", runs: 60 },
  { program: "on_softirq_entry", signal: "softirq_latency", runs: 20_000 },
  { program: "on_block_rq_complete", signal: "block_io", runs: 400 },
  { program: "on_cpu_clock", signal: "cpu_profile", runs: 490 },
];

/** One of so many rows may be of the agent's accounting. */
const ROWS_PER_QUANTITY = 8;
/** A host that sends fewer rows tells of no single program. */
const ROWS_WITH_PROGRAMS = 20;
/** A host that sends fewer rows tells of no failing calls. */
const ROWS_WITH_ERRORS = 12;

const withOwner = new Set(hostSignals.flatMap(({ name, dimensions }) => (dimensions.includes("process") ? [name] : [])));

/** How many rows each signal has in an average window. */
export class RowShares {
  /** Rows of agent_accounting at most. */
  readonly quantities: number;
  readonly programs: readonly AgentProgram[];
  readonly #counts = new Map<string, number>();

  /**
   * @param rows of a window on average, agent_coverage's not counted
   * @param made names of the signals that are made up
   */
  constructor(rows: number, made: ReadonlySet<string>) {
    this.quantities = Math.max(1, Math.floor(rows / ROWS_PER_QUANTITY));
    this.programs = rows < ROWS_WITH_PROGRAMS ? [] : programs.filter(({ signal }) => made.has(signal));
    const rest = rows - fixedRows(made, this.quantities, this.programs.length);
    const shared = Object.keys(weights).filter((name) => made.has(name));
    const total = shared.reduce((sum, name) => sum + (weights[name] as number), 0);
    let used = 0;
    for (const name of shared) {
      if (name === "tcp_connections") continue;
      const count = name === "syscall_errors" && rest < ROWS_WITH_ERRORS ? 0 : Math.max(1, Math.round((rest * (weights[name] as number)) / total));
      this.#counts.set(name, count);
      used += count;
    }
    // What rounding leaves. Each flow that has a round trip or was retransmitted on is a connection.
    this.#counts.set("tcp_connections", Math.max(1, rest - used, this.of("tcp_rtt"), this.of("tcp_retransmits")));
  }

  /** At least 1, whether or not the signal is made up: others may follow from it. 0 only of failing calls. */
  of(signal: string): number {
    return this.#counts.get(signal) ?? 1;
  }

  /** The most rows it has at the busiest time of day. */
  most(signal: string): number {
    return Math.ceil(this.of(signal) * TAIL_FACTOR);
  }
}

function fixedRows(made: ReadonlySet<string>, quantities: number, programCount: number): number {
  let rows = 0;
  for (const [name, count] of Object.entries(fixed)) if (made.has(name)) rows += count;
  if (made.has("agent_cost")) rows += 1 + programCount;
  if (made.has("agent_accounting")) rows += Math.min(quantities, Object.keys(kernelQuantities).length);
  if (made.has("agent_attribution")) for (const name of withOwner) if (made.has(name)) rows++;
  return rows;
}

/** The fewest rows that a window has of these signals. */
export function rowsMin(made: ReadonlySet<string>): number {
  const shared = Object.keys(weights).filter((name) => made.has(name) && name !== "syscall_errors").length;
  for (let rows = Math.max(1, shared); ; rows++) {
    const quantities = Math.max(1, Math.floor(rows / ROWS_PER_QUANTITY));
    const programCount = rows < ROWS_WITH_PROGRAMS ? 0 : programs.filter(({ signal }) => made.has(signal)).length;
    if (rows >= shared + fixedRows(made, quantities, programCount)) return rows;
  }
}

/** Rows of a window unless asked for otherwise: 200 of all signals, of some their part. */
export function rowsDefault(made: ReadonlySet<string>): number {
  const total = Object.values(weights).reduce((sum, weight) => sum + weight, 0);
  const mine = Object.entries(weights).reduce((sum, [name, weight]) => sum + (made.has(name) ? weight : 0), 0);
  return Math.max(rowsMin(made), Math.round((ROWS_OF_ALL * mine) / total));
}

const ROWS_OF_ALL = 200;
