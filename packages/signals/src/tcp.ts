// SPDX-License-Identifier: Apache-2.0
import type { Signal } from "./signal.ts";

const flow = ["process", "unit", "role", "peer", "peer_port", "port"] as const;

export const tcpConnections: Signal = {
  name: "tcp_connections",
  family: "tcp",
  kind: "counter",
  question: "Who talks to whom, how much, and how many connections come and go?",
  help: "TCP connections by owner and peer: bytes and segments moved in the window, connections opened and closed in it, and how many were open at its end.",
  dimensions: flow,
  measures: [
    { name: "bytes_sent", kind: "sum", unit: "bytes", help: "Payload bytes acknowledged by the peer." },
    { name: "bytes_received", kind: "sum", unit: "bytes", help: "Payload bytes received in order." },
    { name: "segments_sent", kind: "sum", unit: "segments", help: "Segments sent, retransmissions included." },
    { name: "segments_received", kind: "sum", unit: "segments", help: "Segments received." },
    { name: "segments_retransmitted", kind: "sum", unit: "segments", help: "Segments sent again, by the socket's own count." },
    { name: "opened", kind: "sum", unit: "connections", help: "Connections that became established in the window." },
    { name: "closed", kind: "sum", unit: "connections", help: "Established connections that ended in the window." },
    { name: "active", kind: "gauge", unit: "connections", help: "Connections open at the end of the window." },
    {
      name: "zero_window",
      kind: "sum",
      unit: "events",
      help: "Window ends at which a connection's peer announced a zero receive window: the peer does not read.",
    },
  ],
  distribution: null,
  hooks: ["tp_btf/inet_sock_set_state", "iter/task_file"],
  bpf: { map: "tcp_connections", bucketed: false, programs: ["on_inet_sock_set_state", "on_tcp_inventory"] },
  caveats: [
    "Bytes of a connection older than the agent count from the moment the agent first saw it.",
    "A socket that no process holds (orphaned while closing) is counted when it closes.",
  ],
};

export const tcpRetransmits: Signal = {
  name: "tcp_retransmits",
  family: "tcp",
  kind: "counter",
  question: "Who has to send segments again, to whom, and why?",
  help: "Retransmitted TCP segments, counted as the kernel counts RetransSegs, by the process that owns the socket, its peer and the class of the retransmission.",
  dimensions: [...flow, "class"],
  measures: [{ name: "segments", kind: "sum", unit: "segments", help: "Segments sent again." }],
  distribution: null,
  hooks: ["tp_btf/tcp_retransmit_skb", "tp_btf/tcp_retransmit_synack"],
  bpf: { map: "tcp_retransmits", bucketed: false, programs: ["on_tcp_retransmit_skb", "on_tcp_retransmit_synack"] },
  caveats: [],
};

export const tcpRtt: Signal = {
  name: "tcp_rtt",
  family: "tcp",
  kind: "histogram",
  question: "How long is the round trip to each peer?",
  help: "Smoothed round-trip time of each connection that received an acknowledgement in the window: one sample per connection and window, and one when it closes.",
  dimensions: flow,
  measures: [],
  distribution: { name: "rtt", unit: "ns", countUnit: "connections", help: "Smoothed round-trip time (srtt)." },
  hooks: ["iter/task_file", "tp_btf/inet_sock_set_state"],
  bpf: { map: "tcp_rtt", bucketed: true, programs: ["on_inet_sock_set_state", "on_tcp_inventory"] },
  caveats: ["One sample per connection and window, so a busy and a quiet connection weigh the same."],
};

export const tcpConnectLatency: Signal = {
  name: "tcp_connect_latency",
  family: "tcp",
  kind: "histogram",
  question: "How long do connects take?",
  help: "Time from the SYN to the established connection, on the connecting side.",
  dimensions: ["process", "unit", "peer", "peer_port"],
  measures: [],
  distribution: { name: "latency", unit: "ns", countUnit: "connections", help: "SYN sent until established." },
  hooks: ["tp_btf/inet_sock_set_state"],
  bpf: { map: "tcp_connect_latency", bucketed: true, programs: ["on_inet_sock_set_state"] },
  caveats: [],
};

export const tcpConnectFailures: Signal = {
  name: "tcp_connect_failures",
  family: "tcp",
  kind: "counter",
  question: "Who fails to connect, to whom, and with what error?",
  help: "Connects that sent a SYN and did not become established, by error.",
  dimensions: ["process", "unit", "peer", "peer_port", "errno"],
  measures: [{ name: "count", kind: "sum", unit: "errors", help: "Failed connects." }],
  distribution: null,
  hooks: ["tp_btf/inet_sock_set_state"],
  bpf: { map: "tcp_connect_failures", bucketed: false, programs: ["on_inet_sock_set_state"] },
  caveats: ["A connect refused before a SYN is sent (no route, no free port) appears in syscall_errors of connect only."],
};

export const tcpSignals = [tcpConnections, tcpRetransmits, tcpRtt, tcpConnectLatency, tcpConnectFailures] as const;
