// SPDX-License-Identifier: Apache-2.0
import { bucketIndex, type DimensionName, encodeStrings, type Signal } from "@waggle/signals";
import { addressIn, CELL_HOSTS, type Role } from "./fleet.ts";
import { fractionOf } from "./random.ts";
import { callKinds, commonProcesses, DATABASE_PORT, flowKinds } from "./services.ts";

/** Names of the rows of one signal, encoded once. A window has the first `n` of them, so busier windows have longer tails. */
export class NamedRows {
  readonly capacity: number;
  readonly #columns: readonly { readonly bytes: Uint8Array; readonly ends: Uint32Array }[];

  constructor(signal: Signal, names: readonly Readonly<Partial<Record<DimensionName, string>>>[]) {
    this.capacity = names.length;
    this.#columns = signal.dimensions.map((dimension) => {
      const encoded = names.map((name) => encodeStrings([name[dimension] ?? ""]));
      const ends = new Uint32Array(names.length + 1);
      encoded.forEach((bytes, row) => {
        ends[row + 1] = (ends[row] as number) + bytes.length;
      });
      return { bytes: Buffer.concat(encoded), ends };
    });
  }

  /** The dimension columns of the first `rows` rows, in Native encoding; shared, not to be written to. */
  columns(rows: number): Uint8Array[] {
    return this.#columns.map(({ bytes, ends }) => bytes.subarray(0, ends[rows]));
  }
}

/** What the workload's signals are made from. */
export interface SignalSet {
  readonly connections: Signal;
  readonly retransmits: Signal;
  readonly rtt: Signal;
  readonly connectLatency: Signal;
  readonly connectFailures: Signal;
  readonly syscalls: Signal;
  readonly syscallErrors: Signal;
  readonly syscallLatency: Signal;
  readonly cost: Signal;
}

/** Rows of each signal in an average window. */
export interface RowCounts {
  readonly flows: number;
  readonly rtt: number;
  readonly retransmits: number;
  readonly connects: number;
  readonly calls: number;
  readonly latencies: number;
  readonly errors: number;
  readonly programs: number;
}

/** Row counts vary with the time of day by up to this factor. */
export const TAIL_FACTOR = 1.25;
/** Rows of tcp_connect_failures when connects do fail. */
const FAILURE_ROWS = 4;

/** Shares out `rows` among the signals. Few rows go to the signals that dashboards open with. */
export function shareRows(rows: number): RowCounts {
  const programs = rows < 20 ? 1 : 3;
  // One row is agent_accounting's.
  const rest = Math.max(5, rows - programs - 1);
  const share = (fraction: number): number => Math.max(1, Math.round(rest * fraction));
  const counts = { rtt: share(0.22), retransmits: share(0.1), connects: share(0.08), calls: share(0.16), latencies: share(0.12) };
  const errors = rest < 12 ? 0 : share(0.08);
  const used = Object.values(counts).reduce((sum, count) => sum + count, errors);
  return { ...counts, errors, programs, flows: Math.max(1, rest - used, counts.rtt, counts.retransmits) };
}

/** Amounts of a row in an average window of 10 s on an average host; index = row. */
export interface FlowAmounts {
  readonly segments: Float64Array;
  readonly bytesPerSegment: Float64Array;
  readonly rttBucket: Uint16Array;
  /** 1 where the flow leads to the database. */
  readonly isDatabase: Uint8Array;
}

export interface CallAmounts {
  readonly count: Float64Array;
  readonly latencyBucket: Uint16Array;
  readonly errorShare: Float64Array;
  readonly isFsync: Uint8Array;
}

/** All that hosts of one role and variant have in common: names encoded once, and amounts that windows vary. */
export class HostTemplate {
  readonly connections: NamedRows;
  /** What was sent again in time, by flow. */
  readonly retransmits: NamedRows;
  /** What had to time out, by `timeoutFlows`; the first `databaseTimeouts` lead to the database. */
  readonly timeouts: NamedRows;
  readonly timeoutFlows: Uint32Array;
  readonly databaseTimeouts: number;
  readonly rtt: NamedRows;
  readonly connectLatency: NamedRows;
  readonly connectFailures: NamedRows;
  readonly syscalls: NamedRows;
  readonly syscallErrors: NamedRows;
  readonly syscallLatency: NamedRows;
  readonly cost: NamedRows;
  readonly flows: FlowAmounts;
  /** Of the rows of tcp_connect_latency. */
  readonly connects: { readonly rttBucket: Uint16Array; readonly weight: Float64Array };
  readonly calls: CallAmounts;

  constructor(signals: SignalSet, counts: RowCounts, seed: number, role: Role, variant: number) {
    const most = (count: number): number => Math.ceil(count * TAIL_FACTOR);
    const flows = makeFlows(role, most(counts.flows), seed, variant);
    const named = (signal: Signal, rows: readonly Readonly<Partial<Record<DimensionName, string>>>[]) => new NamedRows(signal, rows);
    this.connections = named(
      signals.connections,
      flows.map((flow) => flow.name),
    );
    this.rtt = named(
      signals.rtt,
      flows.slice(0, most(counts.rtt)).map((flow) => flow.name),
    );
    const lossy = flows.slice(0, most(counts.retransmits));
    this.retransmits = named(
      signals.retransmits,
      lossy.map((flow, row) => ({ ...flow.name, class: row % 4 === 3 ? "tlp" : "fast" })),
    );
    const isDatabase = (flow: Flow): boolean => flow.name.peer_port === DATABASE_PORT;
    // Those to the database first: on a lossy host they are the ones that time out.
    const timeouts = [...lossy.filter(isDatabase), ...lossy.filter((flow) => !isDatabase(flow))];
    this.timeouts = named(
      signals.retransmits,
      timeouts.map((flow) => ({ ...flow.name, class: "timeout" })),
    );
    this.timeoutFlows = Uint32Array.from(timeouts, (flow) => flows.indexOf(flow));
    this.databaseTimeouts = lossy.filter(isDatabase).length;
    this.flows = {
      segments: Float64Array.from(flows, (_, row) => 20_000 / (row + 1) ** 0.9),
      bytesPerSegment: Float64Array.from(flows, (_, row) => 300 + Math.floor(1_100 * fractionOf(seed, variant, row, 5))),
      rttBucket: Uint16Array.from(flows, (flow) => bucketIndex(BigInt(flow.rttNs))),
      isDatabase: Uint8Array.from(flows, (flow) => (isDatabase(flow) ? 1 : 0)),
    };
    // The tail of a long list has more clients than a short one.
    const clients = makeFlows(role, most(counts.connects) * 8, seed, variant).filter((flow) => flow.name.role === "client");
    const connects = clients.slice(0, most(counts.connects));
    this.connectLatency = named(
      signals.connectLatency,
      connects.map((flow) => flow.name),
    );
    this.connects = {
      rttBucket: Uint16Array.from(connects, (flow) => bucketIndex(BigInt(flow.rttNs))),
      weight: Float64Array.from(connects, (_, row) => 40 / (row + 1)),
    };
    const database = clients.find(isDatabase);
    const failing = [...(database === undefined ? [] : [database, database]), ...clients.filter((flow) => flow !== database)].slice(0, FAILURE_ROWS);
    this.connectFailures = named(
      signals.connectFailures,
      // What a lossy host has first, what a refused one has besides.
      failing.map((flow, row) => ({ ...flow.name, errno: row === 0 ? "ETIMEDOUT" : "ECONNREFUSED" })),
    );

    const processes = [...new Set(flowKinds[role].map((kind) => kind.process)), ...commonProcesses];
    const calls = makeCalls(processes, most(Math.max(counts.calls, counts.latencies)));
    const names = calls.map((call) => call.name);
    this.syscalls = named(signals.syscalls, names.slice(0, most(counts.calls)));
    this.syscallLatency = named(signals.syscallLatency, names.slice(0, most(counts.latencies)));
    this.syscallErrors = named(
      signals.syscallErrors,
      calls.slice(0, most(counts.errors)).map((call) => ({ ...call.name, errno: call.kind.errno })),
    );
    this.calls = {
      count: Float64Array.from(calls, (call) => call.kind.count * call.weight),
      latencyBucket: Uint16Array.from(calls, (call) => bucketIndex(BigInt(call.kind.latencyNs))),
      errorShare: Float64Array.from(calls, (call) => call.kind.errorShare),
      isFsync: Uint8Array.from(calls, (call) => (call.kind.syscall === "fsync" ? 1 : 0)),
    };
    this.cost = named(
      signals.cost,
      ["waggle-agent", "on_sys_exit", "on_inet_sock_set_state"].slice(0, counts.programs).map((program) => ({ program })),
    );
  }
}

interface Call {
  readonly kind: (typeof callKinds)[number];
  readonly name: Readonly<Record<"process" | "unit" | "syscall", string>>;
  /** Compared with the busiest process. */
  readonly weight: number;
}

/** Distinct pairs of process and call, the most frequent first. */
function makeCalls(processes: readonly string[], count: number): Call[] {
  const copies = Math.ceil(count / (processes.length * callKinds.length));
  const calls: Call[] = [];
  for (let copy = 0; copy < copies; copy++) {
    for (const [rank, process] of processes.entries()) {
      for (const kind of callKinds) {
        const name = { process: copy === 0 ? process : `${process}-${copy}`, unit: `${process}.service`, syscall: kind.syscall };
        calls.push({ kind, name, weight: 1 / ((rank + 1) * (copy + 1)) });
      }
    }
  }
  calls.sort((a, b) => b.kind.count * b.weight - a.kind.count * a.weight);
  // Rare, but where a slow disk shows: also in a short list.
  const fsync = calls.findIndex((call) => call.kind.syscall === "fsync");
  calls.splice(2, 0, ...calls.splice(fsync, 1));
  return calls.slice(0, count);
}

interface Flow {
  readonly name: Readonly<Record<"process" | "unit" | "role" | "peer" | "peer_port" | "port", string>>;
  readonly rttNs: number;
}

/** No fleet has as many hosts of a role: addresses from here on belong to machines without an agent. */
const FOREIGN_ORDINALS = 20_000;

/** Distinct flows, the busiest first. */
function makeFlows(role: Role, count: number, seed: number, variant: number): Flow[] {
  const kinds = flowKinds[role];
  return Array.from({ length: count }, (_, row) => {
    const kind = kinds[row % kinds.length] as (typeof kinds)[number];
    const peer = Math.floor(row / kinds.length);
    // Peers of a service are hosts of the fleet: those of the same cell first, then some that run no agent. The public side's clients are nobody's.
    const isFleet = kind.network.startsWith("10.");
    const ordinal = !isFleet
      ? peer + Math.floor(fractionOf(seed, variant, 6) * 200) * 64
      : peer < CELL_HOSTS
        ? variant * CELL_HOSTS + peer
        : FOREIGN_ORDINALS + variant * 64 + peer;
    const isClient = kind.side === "client";
    return {
      name: {
        process: kind.process,
        unit: `${kind.process}.service`,
        role: kind.side,
        peer: addressIn(kind.network, ordinal),
        peer_port: isClient ? kind.port : "ephemeral",
        port: isClient ? "ephemeral" : kind.port,
      },
      rttNs: kind.rttNs,
    };
  });
}
