// SPDX-License-Identifier: Apache-2.0
import { BUCKET_COUNT, type ColumnBlock, encodeBlock, getSignalOrThrow, hostSignals, type Signal } from "@waggle/signals";
import type { SimulatedHost } from "./fleet.ts";
import type { Incident, IncidentKind } from "./incident.ts";
import { mix, Random } from "./random.ts";
import { HostTemplate, type RowCounts, type SignalSet, shareRows } from "./template.ts";

const signals: SignalSet = {
  connections: getSignalOrThrow("tcp_connections"),
  retransmits: getSignalOrThrow("tcp_retransmits"),
  rtt: getSignalOrThrow("tcp_rtt"),
  connectLatency: getSignalOrThrow("tcp_connect_latency"),
  connectFailures: getSignalOrThrow("tcp_connect_failures"),
  syscalls: getSignalOrThrow("syscalls"),
  syscallErrors: getSignalOrThrow("syscall_errors"),
  syscallLatency: getSignalOrThrow("syscall_latency"),
  cost: getSignalOrThrow("agent_cost"),
};
const accounting = getSignalOrThrow("agent_accounting");
const coverage = getSignalOrThrow("agent_coverage");
const hostFacts = getSignalOrThrow("host_facts");

const simulated = new Set([...Object.values(signals), accounting, coverage, hostFacts].map(({ name }) => name));

const HEALTHY_RETRANSMIT_SHARE = 0.001;
const LOSSY_RETRANSMIT_SHARE = 0.06;
const DAY_MS = 86_400_000;
/** How often a host says what it is: not the hour of real agents, so that a young fleet is known soon. Each host at its own moment. */
const FACTS_EVERY_MS = 60_000;

/** Where a bucket's values are taken to lie when a sum is made of them: its geometric middle, ns. */
const middles = Float64Array.from({ length: BUCKET_COUNT }, (_, index) => Math.floor(2 ** ((index + 0.5) / 8)));

/** A distribution around a typical value: how far its buckets lie from that value's, and what share of the values each takes. */
interface Shape {
  readonly offsets: Int16Array;
  readonly shares: Float64Array;
}
const shape = (...points: readonly (readonly [offset: number, share: number])[]): Shape => ({
  offsets: Int16Array.from(points, ([offset]) => offset),
  shares: Float64Array.from(points, ([, share]) => share),
});
const steady = shape([-4, 0.05], [-2, 0.2], [-1, 0.25], [0, 0.22], [2, 0.14], [4, 0.08], [8, 0.04], [12, 0.02]);
const heavyTail = shape([-3, 0.1], [-1, 0.3], [1, 0.25], [6, 0.14], [14, 0.1], [24, 0.06], [34, 0.03], [44, 0.02]);
const stalled = shape([6, 0.1], [12, 0.2], [16, 0.25], [18, 0.2], [22, 0.12], [28, 0.08], [36, 0.05]);

/** UInt64 values of one column, written as two 32-bit halves: BigInt would be most of the cost of a row. */
class NumberColumn {
  readonly #words: Uint32Array;
  readonly #bytes: Uint8Array;

  constructor(capacity: number) {
    this.#words = new Uint32Array(capacity * 2);
    this.#bytes = new Uint8Array(this.#words.buffer);
  }

  /** @param value whole, 0 ≤ value < 2^53 */
  set(row: number, value: number): void {
    this.#words[row * 2] = value;
    this.#words[row * 2 + 1] = value / 2 ** 32;
  }

  bytes(rows: number): Uint8Array {
    return this.#bytes.subarray(0, rows * 8);
  }
}

/** The measure columns of a histogram signal, filled row by row. */
class HistogramColumns {
  readonly #count: NumberColumn;
  readonly #sum: NumberColumn;
  readonly #min: NumberColumn;
  readonly #max: NumberColumn;
  readonly #ends: NumberColumn;
  readonly #k: Uint16Array;
  readonly #c: NumberColumn;
  #items = 0;

  constructor(capacity: number) {
    [this.#count, this.#sum, this.#min, this.#max, this.#ends] = Array.from({ length: 5 }, () => new NumberColumn(capacity)) as [
      NumberColumn,
      NumberColumn,
      NumberColumn,
      NumberColumn,
      NumberColumn,
    ];
    this.#k = new Uint16Array(capacity * 8);
    this.#c = new NumberColumn(capacity * 8);
  }

  clear(): void {
    this.#items = 0;
  }

  /** Adds `count` values (at least 1) around bucket `at` in this shape. */
  add(row: number, count: number, at: number, { offsets, shares }: Shape, random: Random): void {
    const first = this.#items;
    const points = offsets.length;
    let left = count;
    for (let point = 0; point < points; point++) {
      const share = count * (shares[point] as number);
      // Rounded up or down by chance, so that rare values do turn up on quiet hosts.
      const values = point === points - 1 && first === this.#items ? left : Math.min(left, Math.floor(share + random.next()));
      if (values === 0) continue;
      this.#k[this.#items] = Math.min(BUCKET_COUNT - 1, Math.max(0, at + (offsets[point] as number)));
      this.#c.set(this.#items, values);
      this.#counts[this.#items++ - first] = values;
      left -= values;
    }
    // What rounding left over goes to the first bucket that was hit.
    if (left > 0) {
      const values = (this.#counts[0] as number) + left;
      this.#counts[0] = values;
      this.#c.set(first, values);
    }
    let sum = 0;
    for (let item = first; item < this.#items; item++) sum += (this.#counts[item - first] as number) * (middles[this.#k[item] as number] as number);
    this.#count.set(row, count);
    this.#sum.set(row, sum);
    this.#min.set(row, middles[this.#k[first] as number] as number);
    this.#max.set(row, middles[this.#k[this.#items - 1] as number] as number);
    this.#ends.set(row, this.#items);
  }
  readonly #counts = new Float64Array(8);

  columns(rows: number): Uint8Array[] {
    const ends = this.#ends.bytes(rows);
    const k = new Uint8Array(this.#k.buffer, 0, this.#items * 2);
    return [
      this.#count.bytes(rows),
      this.#sum.bytes(rows),
      this.#min.bytes(rows),
      this.#max.bytes(rows),
      Buffer.concat([ends, k]),
      Buffer.concat([ends, this.#c.bytes(this.#items)]),
    ];
  }
}

/** One window of one host: the blocks of the signals that have rows, in the catalogue's order. */
export type WindowBlocks = readonly { readonly signal: Signal; readonly block: ColumnBlock }[];

export interface WorkloadOptions {
  readonly seed: number;
  /** Rows of one host and window on average, agent_coverage's (one per signal) not counted. */
  readonly rows: number;
  readonly windowMs: number;
  readonly incidents: readonly Incident[];
}

/** Rows that a host and window has on average unless asked for otherwise. */
export const ROWS_DEFAULT = 30;

/**
 * What the hosts of a fleet count: a pure function of seed, host and window start (and of the incidents asked for), so that a fleet can be
 * replayed and its truth recomputed. Amounts follow the time of day, differ between hosts as those of a real fleet do, and few hosts are sick.
 */
export class Workload {
  readonly options: WorkloadOptions;
  readonly #counts: RowCounts;
  readonly #templates = new Map<string, HostTemplate>();
  readonly #facts = new Map<number, ColumnBlock>();
  readonly #random = new Random();
  readonly #connections: NumberColumn[];
  readonly #retransmits: NumberColumn;
  readonly #timeoutsOfFlow: Float64Array;
  readonly #failures: NumberColumn;
  readonly #syscalls: NumberColumn;
  readonly #errors: NumberColumn;
  readonly #cost: NumberColumn[];
  readonly #rtt: HistogramColumns;
  readonly #connectLatency: HistogramColumns;
  readonly #syscallLatency: HistogramColumns;
  readonly #coverage: ColumnBlock;

  constructor(options: WorkloadOptions) {
    this.options = options;
    this.#counts = shareRows(options.rows);
    const capacity = options.rows * 4 + 64;
    const numbers = (count: number): NumberColumn[] => Array.from({ length: count }, () => new NumberColumn(capacity));
    this.#connections = numbers(signals.connections.measures.length);
    this.#cost = numbers(signals.cost.measures.length);
    [this.#retransmits, this.#failures, this.#syscalls, this.#errors] = numbers(4) as [NumberColumn, NumberColumn, NumberColumn, NumberColumn];
    this.#timeoutsOfFlow = new Float64Array(capacity);
    this.#rtt = new HistogramColumns(capacity);
    this.#connectLatency = new HistogramColumns(capacity);
    this.#syscallLatency = new HistogramColumns(capacity);
    this.#coverage = encodeBlock(
      coverage,
      hostSignals.map(({ name }) =>
        simulated.has(name)
          ? { signal: name, state: "exact", reason: "", windows: 1 }
          : { signal: name, state: "unsupported", reason: "the simulator does not make this signal up", windows: 1 },
      ),
    );
  }

  /** The blocks of one window. They share memory with the next call's: encode or copy them before it. */
  window(host: SimulatedHost, startMs: number): WindowBlocks {
    const { seed, windowMs } = this.options;
    const random = this.#random;
    random.seed(mix(seed, host.index, startMs));
    const template = this.#template(host);
    const incidents = this.#incidentsOf(host, startMs);
    const dayAngle = ((startMs % DAY_MS) / DAY_MS) * 2 * Math.PI;
    // Busiest at 15:00 UTC; hosts differ by up to an hour or so.
    const activity = 1 + 0.35 * Math.sin(dayAngle - 2.2 + (host.variant % 8) * 0.05);
    const scale = (windowMs / 10_000) * host.load * activity;
    // At night a host does less with nearly as many peers.
    const tail = 1 + (activity - 1) / 4;
    const rowsOf = (average: number, capacity: number): number => Math.min(capacity, Math.max(1, Math.floor(average * tail + random.next())));

    const blocks: { signal: Signal; block: ColumnBlock }[] = [];
    const push = (signal: Signal, rows: number, columns: readonly Uint8Array[]): void => {
      if (rows > 0) blocks.push({ signal, block: { rows, columns } });
    };

    // TCP: connections, what had to be sent again on them, and their round trips.
    const isLossy = host.sickness === "lossy";
    const hasLoss = incidents.has("retransmits");
    const timeoutRows = hasLoss ? template.timeouts.capacity : isLossy ? template.databaseTimeouts : 0;
    const lossyFlows = timeoutRows > 0 ? template.retransmits.capacity : rowsOf(this.#counts.retransmits, template.retransmits.capacity);
    const flowRows = Math.max(lossyFlows, rowsOf(this.#counts.flows, template.connections.capacity));
    const [bytesSent, bytesReceived, segmentsSent, segmentsReceived, sentAgain, opened, closed, active, zeroWindow] = this.#connections as [
      NumberColumn,
      NumberColumn,
      NumberColumn,
      NumberColumn,
      NumberColumn,
      NumberColumn,
      NumberColumn,
      NumberColumn,
      NumberColumn,
    ];
    const { segments, bytesPerSegment, rttBucket, isDatabase } = template.flows;
    let segmentsAgain = 0;
    for (let row = 0; row < flowRows; row++) {
      const sent = Math.ceil((segments[row] as number) * scale * (0.7 + 0.6 * random.next()));
      const received = Math.ceil(sent * (0.6 + 0.6 * random.next()));
      let again = 0;
      if (row < lossyFlows) {
        const isBad = hasLoss || (isLossy && isDatabase[row] === 1);
        again = Math.max(isBad ? 2 : 1, Math.floor(sent * (isBad ? LOSSY_RETRANSMIT_SHARE : HEALTHY_RETRANSMIT_SHARE)));
        const timeouts = isBad ? Math.ceil(again * 0.8) : 0;
        this.#retransmits.set(row, again - timeouts);
        this.#timeoutsOfFlow[row] = timeouts;
        segmentsAgain += again;
      }
      const comings = Math.floor((sent / 500) * random.next());
      bytesSent.set(row, sent * (bytesPerSegment[row] as number));
      bytesReceived.set(row, received * 450);
      segmentsSent.set(row, sent);
      segmentsReceived.set(row, received);
      sentAgain.set(row, again);
      opened.set(row, comings);
      closed.set(row, comings);
      active.set(row, 1 + Math.floor((8 * host.load + 4) / (row + 1) + 3 * random.next()));
      zeroWindow.set(row, random.next() < 0.01 ? 1 : 0);
    }
    push(signals.connections, flowRows, [...template.connections.columns(flowRows), ...this.#connections.map((column) => column.bytes(flowRows))]);
    for (let row = 0; row < timeoutRows; row++)
      this.#retransmits.set(lossyFlows + row, this.#timeoutsOfFlow[template.timeoutFlows[row] as number] as number);
    const timeoutNames = template.timeouts.columns(timeoutRows);
    push(signals.retransmits, lossyFlows + timeoutRows, [
      ...template.retransmits
        .columns(lossyFlows)
        .map((names, column) => (timeoutRows === 0 ? names : Buffer.concat([names, timeoutNames[column] as Uint8Array]))),
      this.#retransmits.bytes(lossyFlows + timeoutRows),
    ]);

    const rttRows = Math.min(flowRows, rowsOf(this.#counts.rtt, template.rtt.capacity));
    const rttShape = incidents.has("rtt") ? stalled : steady;
    this.#rtt.clear();
    for (let row = 0; row < rttRows; row++) {
      const isBad = isLossy && isDatabase[row] === 1;
      const samples = 1 + Math.floor((scale * 24) / (row + 1) + random.next() * 2);
      this.#rtt.add(row, samples, rttBucket[row] as number, isBad ? heavyTail : rttShape, random);
    }
    push(signals.rtt, rttRows, [...template.rtt.columns(rttRows), ...this.#rtt.columns(rttRows)]);

    if (template.connectLatency.capacity > 0) {
      const connectRows = rowsOf(this.#counts.connects, template.connectLatency.capacity);
      this.#connectLatency.clear();
      for (let row = 0; row < connectRows; row++) {
        const count = 1 + Math.floor((template.connects.weight[row] as number) * scale * random.next());
        const isSlow = isLossy || incidents.has("rtt");
        this.#connectLatency.add(row, count, template.connects.rttBucket[row] as number, isSlow ? heavyTail : steady, random);
      }
      push(signals.connectLatency, connectRows, [...template.connectLatency.columns(connectRows), ...this.#connectLatency.columns(connectRows)]);
    }
    const isRefused = host.sickness === "refused" || incidents.has("connect-failures");
    const failureRows = isRefused
      ? template.connectFailures.capacity
      : isLossy || random.next() < 0.02
        ? Math.min(1, template.connectFailures.capacity)
        : 0;
    for (let row = 0; row < failureRows; row++) this.#failures.set(row, 1 + Math.floor((isRefused ? 60 * scale : 3) * random.next()));
    push(signals.connectFailures, failureRows, [...template.connectFailures.columns(failureRows), this.#failures.bytes(failureRows)]);

    // System calls: how many, how many failed, how long they took.
    const { count, latencyBucket, errorShare, isFsync } = template.calls;
    const callRows = rowsOf(this.#counts.calls, template.syscalls.capacity);
    const latencyRows = Math.min(callRows, rowsOf(this.#counts.latencies, template.syscallLatency.capacity));
    const errorRows = this.#counts.errors === 0 ? 0 : Math.min(callRows, rowsOf(this.#counts.errors, template.syscallErrors.capacity));
    const failsOften = incidents.has("syscalls");
    this.#syscallLatency.clear();
    for (let row = 0; row < callRows; row++) {
      const calls = 1 + Math.floor((count[row] as number) * scale * (0.7 + 0.6 * random.next()));
      this.#syscalls.set(row, calls);
      if (row < latencyRows) {
        const isSlow = failsOften || (host.sickness === "slow-disk" && isFsync[row] === 1);
        this.#syscallLatency.add(row, calls, latencyBucket[row] as number, isSlow ? stalled : steady, random);
      }
      if (row < errorRows) this.#errors.set(row, Math.max(1, Math.floor(calls * Math.max(failsOften ? 0.3 : 0, errorShare[row] as number))));
    }
    push(signals.syscalls, callRows, [...template.syscalls.columns(callRows), this.#syscalls.bytes(callRows)]);
    push(signals.syscallErrors, errorRows, [...template.syscallErrors.columns(errorRows), this.#errors.bytes(errorRows)]);
    push(signals.syscallLatency, latencyRows, [...template.syscallLatency.columns(latencyRows), ...this.#syscallLatency.columns(latencyRows)]);

    // The agent itself.
    const programs = template.cost.capacity;
    const [events, kernelNs, cpuNs, rssBytes, mapBytes] = this.#cost as [NumberColumn, NumberColumn, NumberColumn, NumberColumn, NumberColumn];
    for (let row = 0; row < programs; row++) {
      const isProcess = row === 0;
      const runs = isProcess ? 0 : Math.floor(60_000 * scale * (0.8 + 0.4 * random.next()));
      events.set(row, runs);
      kernelNs.set(row, runs * 130);
      cpuNs.set(row, isProcess ? Math.floor(3e6 * windowMs * (0.8 + 0.4 * random.next()) * 1e-3) : 0);
      rssBytes.set(row, isProcess ? 62e6 + Math.floor(2e6 * random.next()) : 0);
      mapBytes.set(row, isProcess ? 14e6 : 0);
    }
    push(signals.cost, programs, [...template.cost.columns(programs), ...this.#cost.map((column) => column.bytes(programs))]);
    blocks.push({ signal: coverage, block: this.#coverage });
    const factsAtMs = Math.ceil((startMs - (host.index % 6) * 10_000) / FACTS_EVERY_MS) * FACTS_EVERY_MS + (host.index % 6) * 10_000;
    if (factsAtMs < startMs + windowMs) {
      const facts = this.#factsOf(host);
      push(hostFacts, facts.rows, facts.columns);
    }
    push(accounting, 1, encodeBlock(accounting, [{ quantity: "RetransSegs", counted: segmentsAgain, kernel: segmentsAgain }]).columns);
    return blocks;
  }

  #factsOf(host: SimulatedHost): ColumnBlock {
    let block = this.#facts.get(host.index);
    if (block === undefined) {
      block = encodeBlock(
        hostFacts,
        [...host.facts].map(([fact, value]) => ({ fact, value, windows: 1 })),
      );
      this.#facts.set(host.index, block);
    }
    return block;
  }

  #template(host: SimulatedHost): HostTemplate {
    const key = `${host.role}-${host.variant}`;
    let template = this.#templates.get(key);
    if (template === undefined) {
      template = new HostTemplate(signals, this.#counts, this.options.seed, host.role, host.variant);
      this.#templates.set(key, template);
    }
    return template;
  }

  #incidentsOf(host: SimulatedHost, startMs: number): ReadonlySet<IncidentKind> {
    const endMs = startMs + this.options.windowMs;
    const found = this.options.incidents.filter(
      (incident) => incident.startMs < endMs && incident.endMs > startMs && (incident.role === undefined || incident.role === host.role),
    );
    return found.length === 0 ? none : new Set(found.map((incident) => incident.kind));
  }
}

const none: ReadonlySet<IncidentKind> = new Set();
