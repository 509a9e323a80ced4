// SPDX-License-Identifier: Apache-2.0
import type { SimulatedHost } from "../fleet.ts";
import type { Incident } from "../incident.ts";
import { mix, Random } from "../random.ts";
import { type Ailments, ailmentsOf } from "./ailments.ts";
import type { NamedRows } from "./named-rows.ts";
import type { SignalTable } from "./tables.ts";

const DAY_MS = 86_400_000;

/**
 * What happened on a host in a window, as far as several signals tell of it. A family adds what its rows tell, and those after it tell the same: so what belongs
 * together agrees, whatever rows there are. Arrays are by process of the host.
 */
export class HostWindow {
  host!: SimulatedHost;
  startMs = 0;
  readonly windowMs: number;
  /** How much happens in it, compared with a window of 10 s on an average host at an average time of day. */
  scale = 1;
  /** Compared with the day's average. */
  activity = 1;
  ailments!: Ailments;
  readonly random = new Random();
  readonly #seed: number;
  readonly #incidents: readonly Incident[];
  readonly #push: (table: SignalTable, names: NamedRows) => void;

  // Of TCP.
  bytesSent = 0;
  bytesReceived = 0;
  segmentsSent = 0;
  segmentsReceived = 0;
  segmentsAgain = 0;
  activeOpens = 0;
  passiveOpens = 0;
  connectsFailed = 0;
  resetsSent = 0;
  /** Connections that the other end broke off. */
  connectionsReset = 0;
  listenDrops = 0;
  // Of UDP.
  datagramsSent = 0;
  datagramsReceived = 0;
  datagramBytesSent = 0;
  datagramBytesReceived = 0;
  datagramsDropped = 0;
  // Of files and disks.
  bytesRead = 0;
  bytesWritten = 0;
  diskRequests = 0;
  diskBytes = 0;
  /** Time that processes waited for the disk, ns. */
  diskWaitNs = 0;
  readonly reads: Float64Array;
  readonly writes: Float64Array;
  readonly syncs: Float64Array;
  readonly syncNs: Float64Array;
  readonly opens: Float64Array;
  readonly opensFailed: Float64Array;
  readonly lookupsLost: Float64Array;
  // Of the CPUs.
  cpuUserNs = 0;
  cpuSystemNs = 0;
  agentCpuNs = 0;
  /** Of all CPUs, 0 to 1. */
  utilisation = 0;
  switches = 0;
  runQueueNs = 0;
  faultsMinor = 0;
  faultsMajor = 0;
  forks = 0;
  oomKills = 0;
  readonly cpuNs: Float64Array;
  readonly waits: Float64Array;

  constructor(
    options: { readonly seed: number; readonly windowMs: number; readonly incidents: readonly Incident[] },
    processes: number,
    push: (table: SignalTable, names: NamedRows) => void,
  ) {
    this.windowMs = options.windowMs;
    this.#seed = options.seed;
    this.#incidents = options.incidents;
    this.#push = push;
    const perProcess = (): Float64Array => new Float64Array(processes);
    this.reads = perProcess();
    this.writes = perProcess();
    this.syncs = perProcess();
    this.syncNs = perProcess();
    this.opens = perProcess();
    this.opensFailed = perProcess();
    this.lookupsLost = perProcess();
    this.cpuNs = perProcess();
    this.waits = perProcess();
  }

  get seconds(): number {
    return this.windowMs / 1_000;
  }

  /** Starts a window: nothing has happened yet. */
  begin(host: SimulatedHost, startMs: number): void {
    this.host = host;
    this.startMs = startMs;
    this.ailments = ailmentsOf(host, this.#incidents, startMs, this.windowMs);
    const dayAngle = ((startMs % DAY_MS) / DAY_MS) * 2 * Math.PI;
    // Busiest at 15:00 UTC; hosts differ by up to an hour or so.
    this.activity = 1 + 0.35 * Math.sin(dayAngle - 2.2 + (host.variant % 8) * 0.05);
    this.scale = (this.windowMs / 10_000) * host.load * this.activity;
    this.bytesSent = this.bytesReceived = this.segmentsSent = this.segmentsReceived = this.segmentsAgain = 0;
    this.activeOpens = this.passiveOpens = this.connectsFailed = this.resetsSent = this.connectionsReset = this.listenDrops = 0;
    this.datagramsSent = this.datagramsReceived = this.datagramBytesSent = this.datagramBytesReceived = this.datagramsDropped = 0;
    this.bytesRead = this.bytesWritten = this.diskRequests = this.diskBytes = this.diskWaitNs = 0;
    this.cpuUserNs = this.cpuSystemNs = this.utilisation = this.switches = this.runQueueNs = 0;
    this.faultsMinor = this.faultsMajor = this.forks = this.oomKills = 0;
    for (const values of [this.reads, this.writes, this.syncs, this.syncNs, this.opens, this.opensFailed, this.lookupsLost, this.cpuNs, this.waits])
      values.fill(0);
    // What the agent takes is its own business: 0.3 % of a core, whatever the host does.
    this.draw("agent");
    this.agentCpuNs = Math.floor(3e6 * this.seconds * (0.8 + 0.4 * this.random.next()));
  }

  /** Starts a family's own chances, which do not depend on what other families there are. */
  draw(family: Family): void {
    const number = families.indexOf(family);
    this.random.seed(number === 0 ? mix(this.#seed, this.host.index, this.startMs) : mix(this.#seed, this.host.index, this.startMs, number));
  }

  /** A window's rows of a signal that has `average` of them, at most `capacity`: at night a host does less with nearly as many peers. */
  rowsOf(average: number, capacity: number): number {
    const tail = 1 + (this.activity - 1) / 4;
    return Math.min(capacity, Math.max(1, Math.floor(average * tail + this.random.next())));
  }

  /** Something that happens `average` times in 10 s on an average host, give or take a third. */
  around(average: number): number {
    return average * this.scale * (0.7 + 0.6 * this.random.next());
  }

  push(table: SignalTable, names: NamedRows): void {
    if (table.rows > 0) this.#push(table, names);
  }
}

const families = ["tcp", "agent", "sockets", "net", "files", "disks", "cpu", "profiles", "host", "syscalls"] as const;
type Family = (typeof families)[number];
