// SPDX-License-Identifier: Apache-2.0
import type { Unit } from "./signal.ts";

/** Something that the kernel counts itself and the agent counts too; both stand side by side in `agent_accounting`. */
export interface Quantity {
  /** File and field of the kernel's own figure. */
  readonly kernel: string;
  readonly unit: Unit;
  /** What is counted on our side. */
  readonly help: string;
  /** What one side counts and the other does not; empty if both count the same things, so that a lasting difference is a fault. */
  readonly differs: string;
}

/** By the name that stands in `agent_accounting.quantity`: the kernel's own, with the protocol before it where two protocols use one name. */
const dictionary = {
  ActiveOpens: {
    kernel: "/proc/net/snmp Tcp ActiveOpens",
    unit: "connections",
    help: "Connects that sent a SYN.",
    differs: "",
  },
  PassiveOpens: {
    kernel: "/proc/net/snmp Tcp PassiveOpens",
    unit: "connections",
    help: "Sockets made for an accepted handshake.",
    differs: "",
  },
  AttemptFails: {
    kernel: "/proc/net/snmp Tcp AttemptFails",
    unit: "connections",
    help: "Connects, and handshakes of accepted sockets, that ended with an error.",
    differs: "handshakes that the other end reset before there was a socket for them (port scans): the kernel's figure is higher",
  },
  EstabResets: {
    kernel: "/proc/net/snmp Tcp EstabResets",
    unit: "connections",
    help: "Connections that went from ESTABLISHED or CLOSE_WAIT to closed at once.",
    differs: "",
  },
  OutSegs: {
    kernel: "/proc/net/snmp Tcp OutSegs",
    unit: "segments",
    help: "Segments sent, without retransmissions: of `tcp_connections`, SYN-ACKs of handshakes that succeeded or were sent again, and resets.",
    differs:
      "SYN-ACKs of handshakes that came to nothing, and what is sent for connections in TIME_WAIT: the kernel's figure is higher. A connection that no process holds is counted when it ends",
  },
  OutRsts: {
    kernel: "/proc/net/snmp Tcp OutRsts",
    unit: "segments",
    help: "Resets of `tcp_resets`, direction sent.",
    differs: "on kernels before 6.10, resets where there is no connection: the kernel's figure is higher",
  },
  ListenDrops: {
    kernel: "/proc/net/netstat TcpExt ListenDrops",
    unit: "segments",
    help: "Drops of `tcp_listen_queue`.",
    differs:
      "segments of no use to a listener, and the second count of a last handshake segment that finds the queue full: our figure is higher. Listeners that no process holds: the kernel's is",
  },
  RetransSegs: {
    kernel: "/proc/net/snmp Tcp RetransSegs",
    unit: "segments",
    help: "Segments of `tcp_retransmits`.",
    differs: "",
  },
} as const satisfies Record<string, Quantity>;

export type QuantityName = keyof typeof dictionary;
export const quantities: Readonly<Record<QuantityName, Quantity>> = dictionary;
