// SPDX-License-Identifier: Apache-2.0
import type { Measure, Signal } from "./signal.ts";

export const packetDrops: Signal = {
  name: "packet_drops",
  family: "net",
  kind: "counter",
  question: "Which packets does this host throw away, and why?",
  help: "Packet buffers the kernel freed as dropped, in all network namespaces, by the kernel's own reason, the protocol, and the process whose socket was to receive or had sent them.",
  dimensions: ["process", "unit", "drop_reason", "protocol"],
  measures: [
    { name: "packets", kind: "sum", unit: "packets", help: "Buffers dropped; one that holds several segments (GRO, GSO) is one." },
    { name: "bytes", kind: "sum", unit: "bytes", help: "Bytes in them, from the layer on at which they were dropped." },
  ],
  distribution: null,
  hooks: ["tp_btf/kfree_skb"],
  bpf: { map: "packet_drops", bucketed: false, programs: ["on_kfree_skb"] },
  caveats: [
    "Not every drop is a loss: NO_SOCKET answers a port scan, SOCKET_CLOSE and QUEUE_PURGE is what a program left unread, TCP_OLD_DATA a duplicate.",
    "A process is named where a socket is known; a packet that was dropped before it found one (firewall, routing, no such port) has none.",
    "What a network card or its driver drops before there is a buffer is in network_devices only.",
  ],
};

export const softirqLatency: Signal = {
  name: "softirq_latency",
  family: "net",
  kind: "histogram",
  question: "Do interrupts' second halves (packets in, timers, block) wait for their CPU?",
  help: "Time between the first raising of a softirq on a CPU and the moment it starts to run there, by kind.",
  dimensions: ["softirq"],
  measures: [],
  distribution: { name: "latency", unit: "ns", countUnit: "events", help: "Raised until running." },
  hooks: ["tp_btf/softirq_raise", "tp_btf/softirq_entry"],
  bpf: { map: "softirq_latency", bucketed: true, programs: ["on_softirq_entry", "on_softirq_raise"] },
  caveats: [
    "A softirq that was raised again while its CPU was about to run it starts a second time without a raise of its own; that start is not counted.",
  ],
};

export const udpTraffic: Signal = {
  name: "udp_traffic",
  family: "net",
  kind: "counter",
  question: "Who sends datagrams to whom, and how much?",
  help: "UDP datagrams and their payload that processes sent and received, by peer: each message of a send or receive call that succeeded.",
  dimensions: ["process", "unit", "peer", "peer_port", "port"],
  measures: [
    { name: "datagrams_sent", kind: "sum", unit: "datagrams", help: "Messages sent; one that the kernel or the card cuts up (GSO) is one." },
    { name: "bytes_sent", kind: "sum", unit: "bytes", help: "Payload sent." },
    { name: "datagrams_received", kind: "sum", unit: "datagrams", help: "Messages received; several that the kernel joined (GRO) are one." },
    { name: "bytes_received", kind: "sum", unit: "bytes", help: "Payload received, as far as the caller's buffer took it." },
  ],
  distribution: null,
  hooks: ["tp_btf/sys_exit"],
  bpf: { map: "udp_traffic", bucketed: false, programs: ["on_sys_exit"] },
  caveats: [
    "What goes through io_uring, or is sent by the kernel itself (tunnels, NFS), makes no system call and is not seen, nor is what 32-bit programs, sendfile or splice move; agent_accounting holds the sum against the kernel's own.",
    "The peer is empty where a program that is not connected does not ask who sent what it receives.",
    "Datagrams that found the receive queue full are in packet_drops, under SOCKET_RCVBUFF.",
  ],
};

export const dnsQueries: Signal = {
  name: "dns_queries",
  family: "net",
  kind: "histogram",
  question: "Is it DNS? Who asks which resolver for what, how long does it take, and what fails?",
  help: "Queries to port 53 over UDP and TCP, by who asked, resolver, name, type and answer: time from the query's first sending until its answer was received. One without an answer after 5 s is `timeout`, and counts as having taken 5 s.",
  dimensions: ["process", "unit", "resolver", "query_name", "query_type", "rcode"],
  measures: [],
  distribution: { name: "latency", unit: "ns", countUnit: "queries", help: "Query sent until its answer was received." },
  hooks: ["tp_btf/sys_exit", "raw_tp, run by the agent"],
  bpf: { map: "dns_queries", bucketed: true, programs: ["on_sys_exit", "on_dns_timeouts"] },
  caveats: [
    "A timeout is counted when the query is 5 s old, also if its socket was closed before, and in the window in which that is found.",
    "Queries through io_uring, of 32-bit programs, over TLS or HTTPS, or to another port are not seen.",
    "Of what one call moves over a TCP connection the first 16 messages are read. An answer that begins in the middle of what a call received, behind the rest of another one, is not seen, and its query shows as a timeout.",
    "A resolver's host that says nobody listens there (ICMP) gives no answer: timeout. Codes above 15 (BADVERS) show by their lower four bits.",
    "An answer that a program receives without being connected and without asking who sent it counts for the resolver that was last asked under its id.",
    "A program that asks several resolvers at once and goes with the first answer (musl) shows a timeout for each of the others: nobody waits for what they say.",
    "Behind a local resolver (systemd-resolved, dnsmasq) its own queries are rows of their own, under its name.",
  ],
};

const perDevice = (name: string, unit: Measure["unit"], help: string): Measure => ({ name, kind: "sum", unit, help });

export const networkDevices: Signal = {
  name: "network_devices",
  family: "net",
  kind: "counter",
  question: "How much does each network device carry, and what does it lose?",
  help: "What the network devices of the agent's network namespace count themselves, as /proc/net/dev shows it.",
  dimensions: ["device"],
  measures: [
    perDevice("rx_bytes", "bytes", "Bytes received."),
    perDevice("rx_packets", "packets", "Packets received."),
    perDevice("rx_errors", "errors", "Packets received damaged."),
    perDevice("rx_dropped", "packets", "Packets received and dropped by the device or its driver, for want of room or of anybody who wants them."),
    perDevice("tx_bytes", "bytes", "Bytes sent."),
    perDevice("tx_packets", "packets", "Packets sent."),
    perDevice("tx_errors", "errors", "Packets that could not be sent."),
    perDevice("tx_dropped", "packets", "Packets dropped before they were sent."),
  ],
  distribution: null,
  hooks: ["/proc/net/dev"],
  bpf: null,
  caveats: ["Devices of other network namespaces (inside containers) are seen by their end on the host only."],
};

/** Packets, datagrams, names and devices. */
export const netSignals: readonly Signal[] = [packetDrops, udpTraffic, dnsQueries, networkDevices, softirqLatency];
