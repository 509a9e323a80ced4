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
  UdpRcvbufErrors: {
    kernel: "/proc/net/snmp Udp RcvbufErrors + /proc/net/snmp6 Udp6RcvbufErrors",
    unit: "datagrams",
    help: "Datagrams of `socket_buffers` that found the receive queue full.",
    differs: "",
  },
  UdpInDatagrams: {
    kernel: "/proc/net/snmp Udp InDatagrams + /proc/net/snmp6 Udp6InDatagrams",
    unit: "datagrams",
    help: "Datagrams of `udp_traffic` that were received.",
    differs: "what io_uring, 32-bit programs and the kernel's own sockets (tunnels, NFS) receive: the kernel's figure is higher",
  },
  UdpOutDatagrams: {
    kernel: "/proc/net/snmp Udp OutDatagrams + /proc/net/snmp6 Udp6OutDatagrams",
    unit: "datagrams",
    help: "Datagrams of `udp_traffic` that were sent.",
    differs:
      "what io_uring, sendfile, 32-bit programs and the kernel's own sockets send: the kernel's figure is higher. Calls that only added to a datagram (MSG_MORE), and datagrams that a full device queue refused: ours is",
  },
  RetransSegs: {
    kernel: "/proc/net/snmp Tcp RetransSegs",
    unit: "segments",
    help: "Segments of `tcp_retransmits`.",
    differs: "",
  },
  cpu_time: {
    kernel: "/proc/stat cpu user + nice + system",
    unit: "ns",
    help: "User and system time of `cpu_time`.",
    differs:
      "the kernel's figure is sampled at its timer ticks, ours is exact: they agree within a few percent, on a host that runs much in short bursts by less. Without CONFIG_IRQ_TIME_ACCOUNTING, ours has interrupts and softirqs that fell into a thread's time",
  },
  processes: {
    kernel: "/proc/stat processes",
    unit: "processes",
    help: "Processes and threads made, of `process_exec`.",
    differs: "",
  },
  pgfault: {
    kernel: "/proc/vmstat pgfault",
    unit: "faults",
    help: "Faults of `page_faults`, minor and major.",
    differs: "faults that were tried again or failed: the kernel's figure is higher by a few of a thousand",
  },
  pgmajfault: {
    kernel: "/proc/vmstat pgmajfault",
    unit: "faults",
    help: "Major faults of `page_faults`.",
    differs: "faults that were tried again: the kernel may count them twice",
  },
  oom_kill: {
    kernel: "/proc/vmstat oom_kill",
    unit: "processes",
    help: "Victims of `oom_kills`.",
    differs: "victims that were ending anyway: our figure is higher",
  },
  disk_requests: {
    kernel: "/proc/diskstats reads + writes + discards completed, of disks that have requests",
    unit: "operations",
    help: "Requests of `block_io`.",
    differs: "disks whose statistics are switched off (queue/iostats = 0), and that were removed in the window: our figure is higher",
  },
  disk_bytes: {
    kernel: "/proc/diskstats sectors read, written and discarded, of disks that have requests",
    unit: "bytes",
    help: "Bytes of `block_io`.",
    differs: "as of disk_requests",
  },
} as const satisfies Record<string, Quantity>;

export type QuantityName = keyof typeof dictionary;
export const quantities: Readonly<Record<QuantityName, Quantity>> = dictionary;
