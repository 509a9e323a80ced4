// SPDX-License-Identifier: Apache-2.0
import type { Signal } from "./signal.ts";

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

/** Packets, datagrams, names and devices. */
export const netSignals: readonly Signal[] = [packetDrops, softirqLatency];
