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
    "A socket that no process holds (orphaned while closing, or the TCP connections below a socket of multipath TCP) is counted when it closes.",
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

export const tcpResets: Signal = {
  name: "tcp_resets",
  family: "tcp",
  kind: "counter",
  question: "Who resets connections, and why?",
  help: "TCP resets sent by this host, and received for its connections. One that answers a segment for which there is no connection has no process; a connect to a port nobody listens on has role=server and that port.",
  dimensions: [...flow, "direction", "reset_reason"],
  measures: [{ name: "count", kind: "sum", unit: "segments", help: "Resets." }],
  distribution: null,
  hooks: ["tp_btf/tcp_send_reset", "tp_btf/tcp_receive_reset"],
  bpf: { map: "tcp_resets", bucketed: false, programs: ["on_tcp_send_reset", "on_tcp_receive_reset"] },
  caveats: [
    "A received reset counts where there is a connection or a connect under way: one for a handshake that is not finished (a port scan) is not seen.",
    "A received reset carries no reason.",
    "Resets that a firewall makes (REJECT) are not the TCP stack's, and are not seen.",
  ],
};

export const tcpAcceptDelay: Signal = {
  name: "tcp_accept_delay",
  family: "tcp",
  kind: "histogram",
  question: "How long do established connections wait until the server accepts them?",
  help: "Time from the end of the handshake, when the connection enters the accept queue, until accept() returns it, by the process that accepted and the port.",
  dimensions: ["process", "unit", "port"],
  measures: [],
  distribution: { name: "delay", unit: "ns", countUnit: "connections", help: "Established until accept() returned." },
  hooks: ["tp_btf/inet_sock_set_state", "tp_btf/sys_exit"],
  bpf: { map: "tcp_accept_delay", bucketed: true, programs: ["on_inet_sock_set_state", "on_sys_enter", "on_sys_exit"] },
  caveats: [
    "Connections accepted through io_uring or by a 32-bit program have no delay; those that live longer than a window are counted in agent_drops (cause `unseen`).",
    "A connection that ends before it is accepted has no delay, nor has one that was established before the agent started.",
    "With TCP Fast Open a connection may be accepted before its handshake ends, and then has no delay.",
  ],
};

export const tcpListenQueue: Signal = {
  name: "tcp_listen_queue",
  family: "tcp",
  kind: "counter",
  question: "Do servers accept connections fast enough, and whose queue overflows?",
  help: "Accept queues of listening sockets, by process and port: how many connections wait and how many may, and what the listeners dropped.",
  dimensions: ["process", "unit", "port"],
  measures: [
    { name: "listeners", kind: "gauge", unit: "sockets", help: "Listening sockets at the end of the window." },
    { name: "backlog", kind: "gauge", unit: "connections", help: "Established connections that wait to be accepted at the end of the window." },
    {
      name: "backlog_limit",
      kind: "gauge",
      unit: "connections",
      help: "Sum of the queues' limits: the smaller of what listen() asked for and net.core.somaxconn.",
    },
    {
      name: "drops",
      kind: "sum",
      unit: "segments",
      help: "Segments that the listeners dropped, by their own count (sk_drops): SYNs and last handshake segments that found the queue full, and whatever else was of no use to a listener.",
    },
  ],
  distribution: null,
  hooks: ["iter/task_file", "tp_btf/inet_sock_set_state"],
  bpf: { map: "tcp_listen_queue", bucketed: false, programs: ["on_inet_sock_set_state", "on_tcp_inventory"] },
  caveats: [
    "The kernel counts overflows (ListenOverflows) for a whole network namespace only; per listener there is what it dropped for any reason, and a last handshake segment that finds the queue full counts twice.",
    "A queue that fills and empties between two window ends shows in `drops` and in tcp_accept_delay only.",
    "A listener that no process holds (the kernel's own, such as NFS) is not seen; what one of multipath TCP (as Go opens them) drops is counted when it closes.",
  ],
};

export const tcpCongestion: Signal = {
  name: "tcp_congestion",
  family: "tcp",
  kind: "counter",
  question: "Which connections does congestion control hold back, and how often do they enter recovery or loss?",
  help: "Open connections by state and algorithm of congestion control: how many, their congestion windows and thresholds at the end of the window, and how often a state was entered.",
  dimensions: ["process", "unit", "role", "congestion_state", "algorithm"],
  measures: [
    { name: "connections", kind: "gauge", unit: "connections", help: "Connections in this state at the end of the window." },
    { name: "cwnd_segments", kind: "gauge", unit: "segments", help: "Sum of their congestion windows." },
    { name: "ssthresh_segments", kind: "gauge", unit: "segments", help: "Sum of their slow start thresholds, of those that have one." },
    {
      name: "ssthresh_connections",
      kind: "gauge",
      unit: "connections",
      help: "Connections whose threshold is set: those that have met congestion, or know the path from before.",
    },
    {
      name: "entered",
      kind: "sum",
      unit: "events",
      help: "Times a connection entered the state; a recovery or a loss that follows directly on another one counts.",
    },
  ],
  distribution: null,
  hooks: ["iter/task_file", "tp_btf/tcp_cong_state_set"],
  bpf: { map: "tcp_congestion", bucketed: false, programs: ["on_inet_sock_set_state", "on_tcp_inventory", "on_tcp_cong_state_set"] },
  caveats: [
    "A connection that no process holds (orphaned while closing) is in no gauge; what it enters is counted.",
    "The kernel does not trace every entry: on a loaded host 2 of 630 recoveries were missing.",
  ],
};

export const socketBuffers: Signal = {
  name: "socket_buffers",
  family: "tcp",
  kind: "counter",
  question: "Whose sockets are full: who does not read, and who cannot send?",
  help: "Memory of TCP and UDP sockets' queues beside its limits at the end of the window, by process, protocol and port, and what found no room.",
  dimensions: ["process", "unit", "protocol", "port"],
  measures: [
    { name: "sockets", kind: "gauge", unit: "sockets", help: "Open sockets; TCP's listeners are in tcp_listen_queue." },
    { name: "receive_bytes", kind: "gauge", unit: "bytes", help: "Memory of their receive queues, as the kernel holds it against the limit." },
    { name: "receive_limit_bytes", kind: "gauge", unit: "bytes", help: "Sum of what these may take (SO_RCVBUF, or what the kernel tuned it to)." },
    {
      name: "receive_full_sockets",
      kind: "gauge",
      unit: "sockets",
      help: "Sockets whose program does not read: of TCP those that announce a zero window, of UDP those that have no room for even the smallest datagram.",
    },
    { name: "send_bytes", kind: "gauge", unit: "bytes", help: "Memory of what is not sent, or sent and not acknowledged." },
    { name: "send_limit_bytes", kind: "gauge", unit: "bytes", help: "Sum of what this may take (SO_SNDBUF, or what the kernel tuned it to)." },
    { name: "send_full_sockets", kind: "gauge", unit: "sockets", help: "Sockets whose send queue is at its limit: their programs have to wait." },
    {
      name: "full",
      kind: "sum",
      unit: "events",
      help: "Times something found no room: datagrams and raw packets for a full receive queue, and any allocation over the protocol's memory limit (tcp_mem, udp_mem).",
    },
  ],
  distribution: null,
  hooks: ["iter/task_file", "tp_btf/udp_fail_queue_rcv_skb", "tp_btf/sock_rcvqueue_full", "tp_btf/sock_exceed_buf_limit"],
  bpf: {
    map: "socket_buffers",
    bucketed: false,
    programs: ["on_inet_sock_set_state", "on_tcp_inventory", "on_udp_fail_queue_rcv_skb", "on_sock_rcvqueue_full", "on_sock_exceed_buf_limit"],
  },
  caveats: [
    "TCP drops nothing when a receive queue is full, it announces a zero window: that is `receive_full_sockets`, not `full`.",
    "A UDP socket has an owner from its bind() or first datagram on; one of a 32-bit program or that io_uring binds from the end of the window in which it was made, and what it drops before is under no process.",
    "A port that the kernel picked, and a client's, is `ephemeral`. Sockets that no process holds are in no gauge.",
  ],
};

export const tcpSignals = [
  tcpConnections,
  tcpRetransmits,
  tcpRtt,
  tcpConnectLatency,
  tcpConnectFailures,
  tcpResets,
  tcpAcceptDelay,
  tcpListenQueue,
  tcpCongestion,
  socketBuffers,
] as const;
