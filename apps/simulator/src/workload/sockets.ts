// SPDX-License-Identifier: Apache-2.0
import { bucketIndex } from "@waggle/signals";
import { addressIn, CONGESTION_CONTROL } from "../fleet.ts";
import { heavyTail, steady } from "./columns.ts";
import { byRoleAndVariant, counterTable, type FamilyContext, histogramTable, named, roundByChance, type SignalFamily, Templates } from "./family.ts";
import type { HostWindow } from "./host-window.ts";
import type { NamedRows } from "./named-rows.ts";
import { SYSLOG_PORT, unitOf } from "./processes.ts";
import type { Flow, FlowAmounts, TcpFamily } from "./tcp.ts";

/** Strangers that knock at ports where nobody listens. */
const SCANNER_NETWORK = "192.0";
const SCANNED_PORTS = ["23", "22022", "3389", "445", "5900"] as const;
const ACCEPT_DELAY_BUCKET = bucketIndex(40_000n);
const BACKLOG_MAX = 511;
const RECEIVE_LIMIT_BYTES = 131_072;
const SEND_LIMIT_BYTES = 87_040;
const UDP_LIMIT_BYTES = 212_992;
const SEGMENTS_PER_RECOVERY = 6;

/** Things of a kind, and which of them each flow belongs to. */
class Groups<Name> {
  readonly names: Name[] = [];
  readonly ofFlow: Uint16Array;

  constructor(flows: readonly Flow[], nameOf: (flow: Flow) => Name | undefined) {
    const known = new Map<string, number>();
    this.ofFlow = Uint16Array.from(flows, (flow) => {
      const name = nameOf(flow);
      if (name === undefined) return NO_GROUP;
      const key = JSON.stringify(name);
      let group = known.get(key);
      if (group === undefined) {
        group = this.names.push(name) - 1;
        known.set(key, group);
      }
      return group;
    });
  }
}
const NO_GROUP = 0xffff;

interface Listener {
  readonly process: string;
  readonly unit: string;
  readonly port: string;
}

/** Sockets of hosts of one role and variant. */
class SocketTemplate {
  readonly listeners: Groups<Listener>;
  readonly acceptDelay: NamedRows;
  readonly listenQueue: NamedRows;
  /** By process and side. */
  readonly sides: Groups<{ readonly process: string; readonly unit: string; readonly role: string }>;
  /** By algorithm; of each side a row per state. */
  readonly congestion: ReadonlyMap<string, NamedRows>;
  /** TCP by process and port; behind them the one that takes datagrams. */
  readonly buffers: Groups<Listener>;
  readonly socketBuffers: NamedRows;
  /** What was refused, by failing flow; segments nobody waited for; then what clients broke off, by listener. */
  readonly resets: NamedRows;
  readonly strangers: number;

  constructor({ flows, failing }: FlowAmounts, variant: number, strangers: number) {
    const place = ({ name: { process, unit, port } }: Flow): Listener => ({ process, unit, port });
    this.listeners = new Groups(flows, (flow) => (flow.name.role === "server" ? place(flow) : undefined));
    this.acceptDelay = named("tcp_accept_delay", this.listeners.names);
    this.listenQueue = named("tcp_listen_queue", this.listeners.names);
    this.sides = new Groups(flows, ({ name: { process, unit, role } }) => ({ process, unit, role }));
    this.congestion = new Map(
      CONGESTION_CONTROL.map((algorithm) => [
        algorithm,
        named(
          "tcp_congestion",
          this.sides.names.flatMap((side) => congestionStates.map((state) => ({ ...side, congestion_state: state, algorithm }))),
        ),
      ]),
    );
    this.buffers = new Groups(flows, place);
    this.socketBuffers = named("socket_buffers", [
      ...this.buffers.names.map((name) => ({ ...name, protocol: "tcp" })),
      { process: "rsyslogd", unit: unitOf("rsyslogd"), protocol: "udp", port: SYSLOG_PORT },
    ]);
    this.strangers = strangers;
    this.resets = named("tcp_resets", [
      ...failing.map(({ name }) => ({ ...name, direction: "received", reset_reason: "unknown" })),
      ...Array.from({ length: strangers }, (_, index) => ({
        role: "server",
        peer: addressIn(SCANNER_NETWORK, 500 + variant * 40 + index),
        peer_port: "ephemeral",
        port: SCANNED_PORTS[index % SCANNED_PORTS.length] as string,
        direction: "sent",
        reset_reason: "NO_SOCKET",
      })),
      ...flows
        .filter(({ name }) => name.role === "server")
        .slice(0, strangers)
        .map(({ name }) => ({ ...name, direction: "received", reset_reason: "unknown" })),
    ]);
  }
}

const congestionStates = ["open", "recovery", "loss"] as const;

/** What sockets have besides flows: queues, buffers, congestion control, and connections that end before their time. */
export class SocketFamily implements SignalFamily {
  readonly #tcp: TcpFamily;
  readonly #templates: Templates<SocketTemplate>;
  readonly #strangers: number;
  readonly #resets;
  readonly #acceptDelay;
  readonly #listenQueue;
  readonly #congestion;
  readonly #buffers;
  readonly #sums: Float64Array[];

  /** @param tcp has made the window before */
  constructor({ shares }: FamilyContext, tcp: TcpFamily) {
    this.#tcp = tcp;
    this.#strangers = Math.ceil(shares.most("tcp_resets") / 2);
    this.#templates = new Templates(byRoleAndVariant, ({ variant }) => new SocketTemplate(tcp.amounts, variant, this.#strangers));
    this.#resets = counterTable("tcp_resets", shares);
    this.#acceptDelay = histogramTable("tcp_accept_delay", shares);
    this.#listenQueue = counterTable("tcp_listen_queue", shares);
    this.#congestion = counterTable("tcp_congestion", shares);
    this.#buffers = counterTable("socket_buffers", shares);
    this.#sums = Array.from({ length: 4 }, () => new Float64Array(64));
  }

  make(window: HostWindow): void {
    window.draw("sockets");
    const template = this.#templates.of(window.host);
    const amounts = this.#tcp.amounts;
    this.#makeListeners(window, template, amounts);
    this.#makeCongestion(window, template, amounts);
    this.#makeBuffers(window, template, amounts);
    this.#makeResets(window, template, amounts);
  }

  /** Sums of the flows by group, in a row of `#sums`. */
  #sumUp(which: number, { ofFlow }: Groups<unknown>, values: Float64Array, flows: number): Float64Array {
    const sums = this.#sums[which] as Float64Array;
    sums.fill(0);
    for (let flow = 0; flow < flows; flow++) {
      const group = ofFlow[flow] as number;
      if (group !== NO_GROUP) sums[group] = (sums[group] as number) + (values[flow] as number);
    }
    return sums;
  }

  #makeListeners(window: HostWindow, template: SocketTemplate, { opened, rows }: FlowAmounts): void {
    const { random, ailments } = window;
    const accepted = this.#sumUp(0, template.listeners, opened, rows);
    this.#acceptDelay.begin();
    this.#listenQueue.begin();
    for (let listener = 0; listener < template.listeners.names.length; listener++) {
      const count = accepted[listener] as number;
      // A server that has no CPU accepts late, and its queue overflows.
      const isLate = ailments.busyCpu && listener === 0;
      if (count > 0) this.#acceptDelay.add(listener, count, ACCEPT_DELAY_BUCKET + (isLate ? 48 : 0), isLate ? heavyTail : steady, random);
      const backlog = isLate ? BACKLOG_MAX - Math.floor(40 * random.next()) : Math.floor(2 * random.next());
      const drops = isLate ? roundByChance(count * 0.1, random.next()) : 0;
      window.listenDrops += drops;
      this.#listenQueue.add(listener, 1, backlog, BACKLOG_MAX, drops);
    }
    window.push(this.#acceptDelay, template.acceptDelay);
    window.push(this.#listenQueue, template.listenQueue);
  }

  #makeCongestion(window: HostWindow, { sides, congestion }: SocketTemplate, { active, again, timeouts, rows }: FlowAmounts): void {
    const { random } = window;
    const algorithm = window.host.facts.get("sysctl:net.ipv4.tcp_congestion_control") ?? "";
    const names = congestion.get(algorithm);
    if (names === undefined) return;
    const open = this.#sumUp(0, sides, active, rows);
    const sentAgain = this.#sumUp(1, sides, again, rows);
    const timedOut = this.#sumUp(2, sides, timeouts, rows);
    this.#congestion.begin();
    for (let side = 0; side < sides.names.length; side++) {
      const connections = open[side] as number;
      if (connections === 0) continue;
      const lost = timedOut[side] as number;
      const recoveries = Math.ceil(((sentAgain[side] as number) - lost) / SEGMENTS_PER_RECOVERY);
      const inLoss = Math.min(lost, Math.floor(connections * 0.2));
      const inRecovery = Math.min(recoveries, Math.floor(connections * 0.05));
      const opens = connections - inLoss - inRecovery;
      const known = inLoss + inRecovery + Math.floor(opens * 0.3);
      this.#congestion.add(
        side * 3,
        opens,
        opens * (18 + Math.floor(20 * random.next())),
        (known - inLoss - inRecovery) * 24,
        known - inLoss - inRecovery,
        recoveries + lost,
      );
      if (recoveries > 0) this.#congestion.add(side * 3 + 1, inRecovery, inRecovery * 8, inRecovery * 10, inRecovery, recoveries);
      if (lost > 0) this.#congestion.add(side * 3 + 2, inLoss, inLoss, inLoss * 2, inLoss, lost);
    }
    window.push(this.#congestion, names);
  }

  #makeBuffers(window: HostWindow, { buffers, socketBuffers }: SocketTemplate, { active, rows }: FlowAmounts): void {
    const { random, ailments, scale } = window;
    const sockets = this.#sumUp(0, buffers, active, rows);
    this.#buffers.begin();
    const groups = buffers.names.length;
    for (let group = 0; group < groups; group++) {
      const count = sockets[group] as number;
      if (count === 0) continue;
      const isLate = ailments.busyCpu && group === 0;
      const waiting = isLate ? 0.6 : 0.01;
      const unacknowledged = ailments.loss === "all" ? 0.7 : 0.05;
      this.#buffers.add(
        group,
        count,
        Math.floor(count * RECEIVE_LIMIT_BYTES * waiting * random.next()),
        count * RECEIVE_LIMIT_BYTES,
        isLate ? Math.floor(count * 0.1) : 0,
        Math.floor(count * SEND_LIMIT_BYTES * unacknowledged * random.next()),
        count * SEND_LIMIT_BYTES,
        ailments.loss === "all" ? Math.floor(count * 0.2) : 0,
        0,
      );
    }
    // Syslog of a busy network comes in bursts, and one whose reader has no CPU is lost.
    const isFull = ailments.busyCpu || random.next() < 0.03;
    window.datagramsDropped = isFull ? 1 + Math.floor(30 * scale * random.next()) : 0;
    this.#buffers.add(
      groups,
      1,
      Math.floor(UDP_LIMIT_BYTES * (isFull ? 0.99 : 0.02)),
      UDP_LIMIT_BYTES,
      isFull ? 1 : 0,
      0,
      UDP_LIMIT_BYTES,
      0,
      window.datagramsDropped,
    );
    window.push(this.#buffers, socketBuffers);
  }

  #makeResets(window: HostWindow, { resets, strangers }: SocketTemplate, { failing, failures, flows }: FlowAmounts): void {
    const { random } = window;
    this.#resets.begin();
    // The first that fails times out; the others are refused, which is a reset.
    for (let row = 1; row < failing.length; row++) if ((failures[row] as number) > 0) this.#resets.add(row, failures[row] as number);
    for (let row = 0; row < strangers; row++) {
      const count = roundByChance((2 * window.seconds) / 10 / (row + 1), random.next());
      if (count === 0) continue;
      this.#resets.add(failing.length + row, count);
      window.resetsSent += count;
    }
    const aborted = Math.min(strangers, resets.capacity - failing.length - strangers, flows.length);
    for (let row = 0; row < aborted; row++) {
      const count = roundByChance(window.around(0.6) / (row + 1), random.next());
      if (count === 0) continue;
      this.#resets.add(failing.length + strangers + row, count);
      window.connectionsReset += count;
    }
    window.push(this.#resets, resets);
  }
}
