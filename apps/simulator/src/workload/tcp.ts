// SPDX-License-Identifier: Apache-2.0
import { bucketIndex } from "@waggle/signals";
import { addressIn, CELL_HOSTS, type Role } from "../fleet.ts";
import { fractionOf } from "../random.ts";
import { DATABASE_PORT, flowKinds } from "../services.ts";
import { heavyTail, stalled, steady } from "./columns.ts";
import { byRoleAndVariant, counterTable, type FamilyContext, histogramTable, named, type SignalFamily, Templates } from "./family.ts";
import type { HostWindow } from "./host-window.ts";
import type { NamedRows } from "./named-rows.ts";
import { unitOf } from "./processes.ts";
import type { RowShares } from "./row-shares.ts";

const HEALTHY_RETRANSMIT_SHARE = 0.001;
const LOSSY_RETRANSMIT_SHARE = 0.06;
const BYTES_PER_SEGMENT_RECEIVED = 450;
/** Rows of tcp_connect_failures when connects do fail. */
const FAILURE_ROWS = 4;

/** A flow that a host of some role has, by the dimensions that TCP signals share. */
export interface Flow {
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
        unit: unitOf(kind.process),
        role: kind.side,
        peer: addressIn(kind.network, ordinal),
        peer_port: isClient ? kind.port : "ephemeral",
        port: isClient ? "ephemeral" : kind.port,
      },
      rttNs: kind.rttNs,
    };
  });
}

const isDatabase = (flow: Flow): boolean => flow.name.peer_port === DATABASE_PORT;

/** Names and typical amounts of the flows of hosts of one role and variant. Index = row, but where it says otherwise. */
class FlowTemplate {
  readonly flows: readonly Flow[];
  readonly connections: NamedRows;
  readonly rtt: NamedRows;
  /** What was sent again in time, by flow; behind it what had to time out, by `timeoutFlows`, those to the database first. */
  readonly retransmits: NamedRows;
  readonly lossyFlows: number;
  readonly timeoutFlows: Uint32Array;
  readonly databaseTimeouts: number;
  readonly connectLatency: NamedRows;
  readonly connects: { readonly rttBucket: Uint16Array; readonly weight: Float64Array };
  /** What a lossy host has first, what a refused one has besides. */
  readonly failing: readonly Flow[];
  readonly connectFailures: NamedRows;
  /** In an average window of 10 s on an average host. */
  readonly segments: Float64Array;
  readonly bytesPerSegment: Float64Array;
  readonly rttBucket: Uint16Array;
  readonly isDatabase: Uint8Array;
  readonly isClient: Uint8Array;

  constructor(shares: RowShares, seed: number, role: Role, variant: number) {
    const flows = makeFlows(role, shares.most("tcp_connections"), seed, variant);
    this.flows = flows;
    const names = flows.map((flow) => flow.name);
    this.connections = named("tcp_connections", names);
    this.rtt = named("tcp_rtt", names.slice(0, shares.most("tcp_rtt")));
    const lossy = flows.slice(0, shares.most("tcp_retransmits"));
    // Those to the database first: on a lossy host they are the ones that time out.
    const timeouts = [...lossy.filter(isDatabase), ...lossy.filter((flow) => !isDatabase(flow))];
    this.retransmits = named("tcp_retransmits", [
      ...lossy.map((flow, row) => ({ ...flow.name, class: row % 4 === 3 ? "tlp" : "fast" })),
      ...timeouts.map((flow) => ({ ...flow.name, class: "timeout" })),
    ]);
    this.lossyFlows = lossy.length;
    this.timeoutFlows = Uint32Array.from(timeouts, (flow) => flows.indexOf(flow));
    this.databaseTimeouts = lossy.filter(isDatabase).length;
    this.segments = Float64Array.from(flows, (_, row) => 20_000 / (row + 1) ** 0.9);
    this.bytesPerSegment = Float64Array.from(flows, (_, row) => 300 + Math.floor(1_100 * fractionOf(seed, variant, row, 5)));
    this.rttBucket = Uint16Array.from(flows, (flow) => bucketIndex(BigInt(flow.rttNs)));
    this.isDatabase = Uint8Array.from(flows, (flow) => (isDatabase(flow) ? 1 : 0));
    this.isClient = Uint8Array.from(flows, (flow) => (flow.name.role === "client" ? 1 : 0));
    // The tail of a long list has more clients than a short one.
    const most = shares.most("tcp_connect_latency");
    const clients = makeFlows(role, most * 8, seed, variant).filter((flow) => flow.name.role === "client");
    const connects = clients.slice(0, most);
    this.connectLatency = named(
      "tcp_connect_latency",
      connects.map((flow) => flow.name),
    );
    this.connects = {
      rttBucket: Uint16Array.from(connects, (flow) => bucketIndex(BigInt(flow.rttNs))),
      weight: Float64Array.from(connects, (_, row) => 40 / (row + 1)),
    };
    const database = clients.find(isDatabase);
    this.failing = [...(database === undefined ? [] : [database, database]), ...clients.filter((flow) => flow !== database)].slice(0, FAILURE_ROWS);
    this.connectFailures = named(
      "tcp_connect_failures",
      this.failing.map((flow, row) => ({ ...flow.name, errno: row === 0 ? "ETIMEDOUT" : "ECONNREFUSED" })),
    );
  }
}

/** What happened on the flows of a window, for families that tell more of them. */
export interface FlowAmounts {
  readonly flows: readonly Flow[];
  readonly rows: number;
  /** By flow. */
  readonly opened: Float64Array;
  readonly active: Float64Array;
  readonly again: Float64Array;
  readonly timeouts: Float64Array;
  /** Connects that failed, by `failing`. */
  readonly failing: readonly Flow[];
  readonly failures: Float64Array;
}

/** TCP flows: what moves on them, what is lost, how long round trips and connects take, and which connects fail. */
export class TcpFamily implements SignalFamily {
  readonly #templates: Templates<FlowTemplate>;
  readonly #shares: RowShares;
  readonly #connections;
  readonly #retransmits;
  readonly #rtt;
  readonly #connectLatency;
  readonly #failures;
  readonly #opened: Float64Array;
  readonly #active: Float64Array;
  readonly #again: Float64Array;
  readonly #timeouts: Float64Array;
  readonly #failed = new Float64Array(FAILURE_ROWS);
  #template: FlowTemplate | undefined;

  constructor({ seed, shares }: FamilyContext) {
    this.#shares = shares;
    this.#templates = new Templates(byRoleAndVariant, ({ role, variant }) => new FlowTemplate(shares, seed, role, variant));
    this.#connections = counterTable("tcp_connections", shares);
    this.#retransmits = counterTable("tcp_retransmits", shares);
    this.#rtt = histogramTable("tcp_rtt", shares);
    this.#connectLatency = histogramTable("tcp_connect_latency", shares);
    this.#failures = counterTable("tcp_connect_failures", shares);
    const flows = shares.most("tcp_connections");
    [this.#opened, this.#active, this.#again, this.#timeouts] = Array.from({ length: 4 }, () => new Float64Array(flows)) as [
      Float64Array,
      Float64Array,
      Float64Array,
      Float64Array,
    ];
  }

  /** Of the window made last. */
  get amounts(): FlowAmounts {
    const { flows, failing } = this.#template as FlowTemplate;
    return {
      flows,
      failing,
      rows: this.#connections.rows,
      opened: this.#opened,
      active: this.#active,
      again: this.#again,
      timeouts: this.#timeouts,
      failures: this.#failed,
    };
  }

  make(window: HostWindow): void {
    window.draw("tcp");
    const template = this.#templates.of(window.host);
    this.#template = template;
    this.#makeConnections(window, template);
    this.#makeRoundTrips(window, template);
    this.#makeConnects(window, template);
  }

  #makeConnections(window: HostWindow, template: FlowTemplate): void {
    const { random, scale, host, ailments } = window;
    const { segments, bytesPerSegment, isDatabase: toDatabase, isClient } = template;
    const timeoutRows = ailments.loss === "all" ? template.timeoutFlows.length : ailments.loss === "database" ? template.databaseTimeouts : 0;
    const lossyFlows = timeoutRows > 0 ? template.lossyFlows : window.rowsOf(this.#shares.of("tcp_retransmits"), template.lossyFlows);
    const rows = Math.max(lossyFlows, window.rowsOf(this.#shares.of("tcp_connections"), template.connections.capacity));
    this.#connections.begin();
    this.#retransmits.begin();
    for (let row = 0; row < rows; row++) {
      const sent = Math.ceil((segments[row] as number) * scale * (0.7 + 0.6 * random.next()));
      const received = Math.ceil(sent * (0.6 + 0.6 * random.next()));
      let [again, timeouts] = [0, 0];
      if (row < lossyFlows) {
        const isBad = ailments.loss === "all" || (ailments.loss === "database" && toDatabase[row] === 1);
        again = Math.max(isBad ? 2 : 1, Math.floor(sent * (isBad ? LOSSY_RETRANSMIT_SHARE : HEALTHY_RETRANSMIT_SHARE)));
        timeouts = isBad ? Math.ceil(again * 0.8) : 0;
        this.#retransmits.add(row, again - timeouts);
      }
      const comings = Math.floor((sent / 500) * random.next());
      const active = 1 + Math.floor((8 * host.load + 4) / (row + 1) + 3 * random.next());
      const bytesSent = sent * (bytesPerSegment[row] as number);
      const bytesReceived = received * BYTES_PER_SEGMENT_RECEIVED;
      const zeroWindows = random.next() < 0.01 ? 1 : 0;
      this.#connections.add(row, bytesSent, bytesReceived, sent, received, again, comings, comings, active, zeroWindows);
      this.#opened[row] = comings;
      this.#active[row] = active;
      this.#again[row] = again;
      this.#timeouts[row] = timeouts;
      window.bytesSent += bytesSent;
      window.bytesReceived += bytesReceived;
      window.segmentsSent += sent;
      window.segmentsReceived += received;
      window.segmentsAgain += again;
      if (isClient[row] === 1) window.activeOpens += comings;
      else window.passiveOpens += comings;
    }
    for (let row = 0; row < timeoutRows; row++)
      this.#retransmits.add(template.lossyFlows + row, this.#timeouts[template.timeoutFlows[row] as number] as number);
    window.push(this.#connections, template.connections);
    window.push(this.#retransmits, template.retransmits);
  }

  #makeRoundTrips(window: HostWindow, template: FlowTemplate): void {
    const { random, scale, ailments } = window;
    const rows = Math.min(this.#connections.rows, window.rowsOf(this.#shares.of("tcp_rtt"), template.rtt.capacity));
    const shape = ailments.slowRoundTrips ? stalled : steady;
    this.#rtt.begin();
    for (let row = 0; row < rows; row++) {
      const isBad = ailments.loss === "database" && template.isDatabase[row] === 1;
      const samples = 1 + Math.floor((scale * 24) / (row + 1) + random.next() * 2);
      this.#rtt.add(row, samples, template.rttBucket[row] as number, isBad ? heavyTail : shape, random);
    }
    window.push(this.#rtt, template.rtt);
  }

  #makeConnects(window: HostWindow, { connectLatency, connects, connectFailures, failing }: FlowTemplate): void {
    const { random, scale, ailments } = window;
    const isLossy = ailments.loss === "database";
    this.#connectLatency.begin();
    const rows = connectLatency.capacity === 0 ? 0 : window.rowsOf(this.#shares.of("tcp_connect_latency"), connectLatency.capacity);
    const shape = isLossy || ailments.slowRoundTrips ? heavyTail : steady;
    for (let row = 0; row < rows; row++) {
      const count = 1 + Math.floor((connects.weight[row] as number) * scale * random.next());
      this.#connectLatency.add(row, count, connects.rttBucket[row] as number, shape, random);
    }
    window.push(this.#connectLatency, connectLatency);

    const failureRows = ailments.refused ? failing.length : isLossy || random.next() < 0.02 ? Math.min(1, failing.length) : 0;
    this.#failures.begin();
    this.#failed.fill(0);
    for (let row = 0; row < failureRows; row++) {
      const count = 1 + Math.floor((ailments.refused ? 60 * scale : 3) * random.next());
      this.#failures.add(row, count);
      this.#failed[row] = count;
      window.connectsFailed += count;
    }
    window.activeOpens += window.connectsFailed;
    window.push(this.#failures, connectFailures);
  }
}
