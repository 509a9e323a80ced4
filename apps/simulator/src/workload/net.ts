// SPDX-License-Identifier: Apache-2.0
import { bucketIndex } from "@waggle/signals";
import { addressIn, CPUS } from "../fleet.ts";
import { heavyTail, stalled, steady } from "./columns.ts";
import { byRole, counterTable, type FamilyContext, histogramTable, named, roundByChance, type SignalFamily, Templates } from "./family.ts";
import type { HostWindow } from "./host-window.ts";
import type { NamedRows } from "./named-rows.ts";
import { type HostProcess, SYSLOG_PORT, unitOf } from "./processes.ts";

/** The first one is the one that a sick host asks in vain. */
const RESOLVERS = ["10.0.0.2", "10.0.0.3"] as const;
const DNS_PORT = "53";
const STATSD = { peer: "10.9.0.20", port: "8125" } as const;
const SYSLOG_NETWORK = "10.9";
const QUERY_BUCKET = bucketIndex(1_400_000n);
const ABSENT_BUCKET = bucketIndex(9_000_000n);
/** What a query counts as that is not answered. */
export const LOOKUP_TIMEOUT_NS = 5e9;
const QUERY_BYTES = 48;
const ANSWER_BYTES = 112;
const SYSLOG_BYTES = 180;
const STATSD_BYTES = 420;
/** Ethernet, IPv4 and a header with timestamps. */
const TCP_HEADER_BYTES = 66;
const UDP_HEADER_BYTES = 42;
/** Packets that the card hands over at once. */
const PACKETS_PER_POLL = 6;

const softirqs = ["NET_RX", "TIMER", "SCHED", "RCU", "NET_TX", "BLOCK"] as const;
const SOFTIRQ_BUCKET = bucketIndex(3_000n);

const dropped = { noSocket: 0, syslogFull: 1, congested: 2, oldData: 3, filtered: 4, otherHost: 5 } as const;

/** A question that a process of a host asks again and again. */
interface Lookup {
  readonly process: number;
  readonly queries: number;
  readonly isAbsent: boolean;
  readonly resolver: number;
}

class NetTemplate {
  readonly lookups: readonly Lookup[];
  /** Of each lookup a row per answer. */
  readonly queries: NamedRows;
  /** By process that asks and resolver, in this order; then syslog and metrics. */
  readonly udp: NamedRows;
  readonly askers: readonly number[];
  readonly syslogRows: number;
  readonly drops: NamedRows;

  constructor(processes: readonly HostProcess[], lookupsMost: number, udpMost: number) {
    const asked = processes.flatMap((host, process) =>
      host.lookups.flatMap(([name, queries], rank) => {
        const resolver = rank % RESOLVERS.length;
        const lookup = { process, queries: queries * host.weight, resolver, isAbsent: false };
        return [
          { ...lookup, name, type: "A" },
          { ...lookup, name, type: "AAAA", queries: lookup.queries * 0.9 },
          // What a search list makes of a name before it is asked for as it is.
          ...(rank === 0 ? [{ ...lookup, name: `${name}.cluster.local`, type: "A", queries: lookup.queries * 0.4, isAbsent: true }] : []),
        ];
      }),
    );
    asked.sort((a, b) => b.queries - a.queries);
    const lookups = asked.slice(0, lookupsMost);
    this.lookups = lookups;
    const owner = (process: number) => ({ process: (processes[process] as HostProcess).process, unit: (processes[process] as HostProcess).unit });
    this.queries = named(
      "dns_queries",
      lookups.flatMap(({ process, name, type, isAbsent, resolver }) =>
        [isAbsent ? "NXDOMAIN" : "NOERROR", "SERVFAIL", "timeout"].map((rcode) => ({
          ...owner(process),
          resolver: RESOLVERS[resolver] as string,
          query_name: name,
          query_type: type,
          rcode,
        })),
      ),
    );
    this.askers = [...new Set(lookups.map(({ process }) => process))];
    this.syslogRows = Math.max(1, udpMost - this.askers.length * RESOLVERS.length - 1);
    const [main] = processes as readonly [HostProcess];
    this.udp = named("udp_traffic", [
      ...this.askers.flatMap((process) => RESOLVERS.map((peer) => ({ ...owner(process), peer, peer_port: DNS_PORT, port: "ephemeral" }))),
      { process: main.process, unit: main.unit, peer: STATSD.peer, peer_port: STATSD.port, port: "ephemeral" },
      ...Array.from({ length: this.syslogRows }, (_, index) => ({
        process: "rsyslogd",
        unit: unitOf("rsyslogd"),
        peer: addressIn(SYSLOG_NETWORK, 2_000 + index),
        peer_port: "ephemeral",
        port: SYSLOG_PORT,
      })),
    ]);
    this.drops = named("packet_drops", [
      { drop_reason: "NO_SOCKET", protocol: "tcp" },
      { process: "rsyslogd", unit: unitOf("rsyslogd"), drop_reason: "SOCKET_RCVBUFF", protocol: "udp" },
      { process: main.process, unit: main.unit, drop_reason: "QDISC_DROP", protocol: "tcp" },
      { process: main.process, unit: main.unit, drop_reason: "TCP_OLD_DATA", protocol: "tcp" },
      { drop_reason: "NETFILTER_DROP", protocol: "tcp" },
      { drop_reason: "OTHERHOST", protocol: "arp" },
    ]);
  }
}

/** Packets beyond TCP's own: who asks DNS, who sends datagrams, what is thrown away, what the devices carry, and whether softirqs get their turn. */
export class NetFamily implements SignalFamily {
  readonly #templates: Templates<NetTemplate>;
  readonly #devices: NamedRows;
  readonly #softirqNames: NamedRows;
  readonly #queries;
  readonly #udp;
  readonly #drops;
  readonly #network;
  readonly #softirq;
  readonly #asked: Float64Array;
  readonly #lost: Float64Array;

  constructor({ shares, processes }: FamilyContext) {
    // In an average window each is asked and answered; of what goes wrong there are rows besides.
    const lookups = shares.of("dns_queries");
    this.#templates = new Templates(byRole, ({ role }) => new NetTemplate(processes(role), lookups, shares.of("udp_traffic")));
    this.#devices = named("network_devices", [{ device: "eth0" }, { device: "lo" }]);
    this.#softirqNames = named(
      "softirq_latency",
      softirqs.map((softirq) => ({ softirq })),
    );
    this.#queries = histogramTable("dns_queries", shares);
    this.#udp = counterTable("udp_traffic", shares);
    this.#drops = counterTable("packet_drops", shares);
    this.#network = counterTable("network_devices", shares);
    this.#softirq = histogramTable("softirq_latency", shares);
    this.#asked = new Float64Array(lookups * RESOLVERS.length);
    this.#lost = new Float64Array(lookups * RESOLVERS.length);
  }

  make(window: HostWindow): void {
    window.draw("net");
    const template = this.#templates.of(window.host);
    this.#makeQueries(window, template);
    this.#makeDatagrams(window, template);
    const congested = this.#makeDrops(window, template);
    this.#makeDevices(window, congested);
    this.#makeSoftirqs(window);
  }

  #makeQueries(window: HostWindow, { lookups, queries, askers }: NetTemplate): void {
    const { random, ailments } = window;
    this.#asked.fill(0);
    this.#lost.fill(0);
    this.#queries.begin();
    for (const [index, { process, queries: average, isAbsent, resolver }] of lookups.entries()) {
      const isSick = ailments.sickResolver && resolver === 0;
      const count = (isSick ? 3 : 1) + Math.floor(window.around(average));
      const lost = isSick ? Math.max(1, Math.floor(count * 0.35)) : 0;
      const failed = isSick ? Math.max(1, Math.floor(count * 0.1)) : random.next() < 0.01 && count > 1 ? 1 : 0;
      this.#queries.add(index * 3, count - lost - failed, isAbsent ? ABSENT_BUCKET : QUERY_BUCKET, isSick ? stalled : heavyTail, random);
      if (failed > 0) this.#queries.add(index * 3 + 1, failed, ABSENT_BUCKET, isSick ? stalled : steady, random);
      if (lost > 0) this.#queries.addExactly(index * 3 + 2, lost, LOOKUP_TIMEOUT_NS);
      const at = askers.indexOf(process) * RESOLVERS.length + resolver;
      this.#asked[at] = (this.#asked[at] as number) + count;
      this.#lost[at] = (this.#lost[at] as number) + lost;
      window.lookupsLost[process] = (window.lookupsLost[process] as number) + lost;
    }
    window.push(this.#queries, queries);
  }

  #makeDatagrams(window: HostWindow, { askers, udp, syslogRows }: NetTemplate): void {
    this.#udp.begin();
    const add = (row: number, sent: number, sentBytes: number, received: number, receivedBytes: number): void => {
      this.#udp.add(row, sent, sent * sentBytes, received, received * receivedBytes);
      window.datagramsSent += sent;
      window.datagramsReceived += received;
      window.datagramBytesSent += sent * sentBytes;
      window.datagramBytesReceived += received * receivedBytes;
    };
    const pairs = askers.length * RESOLVERS.length;
    for (let row = 0; row < pairs; row++) {
      const asked = this.#asked[row] as number;
      const lost = this.#lost[row] as number;
      // One that is not answered is sent a second time before it is given up.
      if (asked > 0) add(row, asked + lost, QUERY_BYTES, asked - lost, ANSWER_BYTES);
    }
    add(pairs, 1 + Math.floor(window.around(12)), STATSD_BYTES, 0, 0);
    for (let row = 0; row < syslogRows; row++) add(pairs + 1 + row, 0, 0, 1 + Math.floor(window.around(20) / (row + 1)), SYSLOG_BYTES);
    window.push(this.#udp, udp);
  }

  /** Returns the packets that found the device's queue full. */
  #makeDrops(window: HostWindow, { drops }: NetTemplate): number {
    const { random, ailments, seconds } = window;
    // Where segments are lost, half of them are lost here: the device's queue is full.
    const congested = ailments.loss === "none" ? 0 : Math.floor(window.segmentsAgain / 2);
    this.#drops.begin();
    const add = (row: number, packets: number, bytes: number): void => {
      if (packets > 0) this.#drops.add(row, packets, packets * bytes);
    };
    add(dropped.noSocket, window.resetsSent, 40);
    add(dropped.syslogFull, window.datagramsDropped, SYSLOG_BYTES);
    add(dropped.congested, congested, 1_448);
    add(dropped.oldData, roundByChance(window.segmentsReceived * 2e-4, random.next()), 900);
    add(dropped.filtered, roundByChance(seconds * 0.4, random.next()), 60);
    add(dropped.otherHost, roundByChance(seconds * 0.1, random.next()), 46);
    window.push(this.#drops, drops);
    return congested;
  }

  #makeDevices(window: HostWindow, congested: number): void {
    const { random, ailments, seconds } = window;
    const rxPackets = window.segmentsReceived + window.datagramsReceived + window.datagramsDropped + Math.floor(seconds * 2);
    const txPackets = window.segmentsSent + window.datagramsSent + window.resetsSent;
    this.#network.begin();
    this.#network.add(
      0,
      window.bytesReceived +
        window.segmentsReceived * TCP_HEADER_BYTES +
        window.datagramBytesReceived +
        (window.datagramsReceived + window.datagramsDropped) * UDP_HEADER_BYTES +
        window.datagramsDropped * SYSLOG_BYTES +
        Math.floor(seconds * 2) * 60,
      rxPackets,
      ailments.loss === "database" ? roundByChance(window.segmentsAgain * 0.02, random.next()) : 0,
      roundByChance(rxPackets * 1e-6, random.next()),
      window.bytesSent +
        window.segmentsSent * TCP_HEADER_BYTES +
        window.datagramBytesSent +
        window.datagramsSent * UDP_HEADER_BYTES +
        window.resetsSent * 54,
      txPackets,
      0,
      congested,
    );
    const local = 20 + Math.floor(window.around(120));
    this.#network.add(1, local * 180, local, 0, 0, local * 180, local, 0, 0);
    window.push(this.#network, this.#devices);
  }

  #makeSoftirqs(window: HostWindow): void {
    const { random, seconds, ailments, utilisation } = window;
    const counts = [
      1 + Math.floor((window.segmentsReceived + window.datagramsReceived) / PACKETS_PER_POLL),
      Math.floor(250 * CPUS * seconds * (0.3 + 0.7 * utilisation)),
      Math.floor(120 * CPUS * seconds * (0.3 + 0.7 * utilisation)),
      Math.floor(60 * CPUS * seconds),
      1 + Math.floor(window.segmentsSent / 400),
      window.diskRequests,
    ];
    this.#softirq.begin();
    for (const [row, count] of counts.entries())
      if (count > 0) this.#softirq.add(row, count, SOFTIRQ_BUCKET + Math.floor(12 * utilisation), ailments.busyCpu ? heavyTail : steady, random);
    window.push(this.#softirq, this.#softirqNames);
  }
}
