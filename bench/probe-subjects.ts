// SPDX-License-Identifier: Apache-2.0
import type { Loads } from "./probe-loads.ts";
import type { TracerCommand } from "./tracer.ts";
import * as scripts from "./tracer-scripts.ts";

/** Another tracer that answers the same question, or most of it. */
export interface PeerPlan {
  readonly name: string;
  /** What runs at the same time; their programs are added up. */
  readonly commands: readonly TracerCommand[];
  /** Its program that runs once per event, by the first 15 characters of its name. */
  readonly per: string;
  /** What it does not answer of the question that ours answers; empty: nothing. */
  readonly lacks: string;
}

/** One question, the work that raises it, and who answers. */
export interface Subject {
  readonly name: string;
  /** Signals that ours answer with it. */
  readonly signals: string;
  /** Ours, whose run times are added up. */
  readonly programs: readonly string[];
  /** Of ours, the one that runs once per event. */
  readonly per: string;
  /** Runs of `per` that make one event, ours and the peers'; 1 if left out. */
  readonly runsPerEvent?: number;
  readonly load: (loads: Loads) => Promise<void>;
  readonly peers: readonly PeerPlan[];
  /** Why nobody can be asked, where `peers` is empty. */
  readonly why?: string;
}

const bpftrace = (script: string, per: string, lacks: string): PeerPlan => ({
  name: "bpftrace",
  commands: [["bpftrace", "-B", "none", "-e", script]],
  per,
  lacks,
});
const tool = (line: string, per: string, lacks: string): PeerPlan => {
  const [name, ...args] = line.split(" ") as [string, ...string[]];
  return { name: line, commands: [[`/usr/sbin/${name}`, ...args]], per, lacks };
};

const calls = ["on_sys_enter", "on_sys_exit"];
const callSignals = "syscalls, syscall_latency, syscall_errors";

/** Every program that the agent attaches is in one of them, or in `uncompared`. */
export const subjects: readonly Subject[] = [
  {
    name: "a system call",
    signals: callSignals,
    programs: calls,
    per: "on_sys_exit",
    load: (loads) => loads.calls(),
    peers: [
      bpftrace(scripts.callScript, "sys_exit", ""),
      tool("syscount -L -P", "sys_exit", "latency as a sum only, no errors, no calls (by process alone)"),
    ],
  },
  {
    name: "a write of a file",
    signals: `${callSignals}, file_io`,
    programs: calls,
    per: "on_sys_exit",
    load: (loads) => loads.fileCalls("file"),
    peers: [bpftrace(scripts.fileScript, "sys_exit", "files by descriptor, not by path")],
  },
  {
    name: "a read or write of a pipe",
    signals: callSignals,
    programs: calls,
    per: "on_sys_exit",
    load: (loads) => loads.fileCalls("pipe"),
    peers: [bpftrace(scripts.fileScript, "sys_exit", "it cannot tell that it is no file")],
  },
  {
    name: "an open of a file, and its close",
    signals: `${callSignals}, file_opens`,
    programs: calls,
    per: "on_sys_exit",
    runsPerEvent: 2,
    load: (loads) => loads.fileCalls("open"),
    peers: [
      bpftrace(scripts.openScript, "sys_exit", "the path as it was written, its first 63 bytes"),
      {
        name: "opensnoop and syscount -L -P",
        commands: [["/usr/sbin/opensnoop"], ["/usr/sbin/syscount", "-L", "-P"]],
        per: "sys_exit",
        lacks: "one line per open instead of counts",
      },
    ],
  },
  {
    name: "an open that fails",
    signals: `${callSignals}, file_opens`,
    programs: calls,
    per: "on_sys_exit",
    load: (loads) => loads.fileCalls("missing"),
    peers: [bpftrace(scripts.openScript, "sys_exit", "the first 63 bytes of the path")],
  },
  {
    name: "a datagram sent or received",
    signals: `${callSignals}, udp_traffic`,
    programs: calls,
    per: "on_sys_exit",
    load: (loads) => loads.datagrams(),
    peers: [bpftrace(scripts.datagramScript, "sys_exit", "peer, port")],
  },
  {
    name: "a DNS query: two calls that ask, three that answer",
    signals: `${callSignals}, udp_traffic, dns_queries`,
    programs: calls,
    per: "on_sys_exit",
    runsPerEvent: 5,
    load: (loads) => loads.queries(),
    peers: [],
    why: "gethostlatency hooks glibc's resolver in one process image and knows neither the resolver nor the answer's code; nothing else of the three reads messages",
  },
  {
    name: "a TCP state change",
    signals: "tcp_connections, tcp_connect_latency, tcp_connect_failures, tcp_rtt, tcp_accept_delay (its start)",
    programs: ["on_inet_sock_set_state"],
    per: "on_inet_sock_set_state",
    load: (loads) => loads.connections(),
    peers: [
      bpftrace(
        scripts.connectionScript,
        "inet_sock_set_s",
        "control group, accept queue, exact bytes of what is older than it, anything of a connection before its end",
      ),
      tool("tcplife", "inet_sock_set_state", "connect latency, failures, RTT, segments, who accepted; one line per connection instead of counts"),
      tool("tcpstates", "handle_set_state", "bytes, RTT, who accepted; one line per state change instead of counts"),
    ],
  },
  {
    name: "a retransmitted segment",
    signals: "tcp_retransmits",
    programs: ["on_tcp_retransmit_skb"],
    per: "on_tcp_retransmit_skb",
    load: (loads) => loads.lossy(),
    peers: [bpftrace(scripts.retransmitScript, "tcp_retransmit_", "class, what is sent again before a connection stands")],
  },
  {
    name: "a congestion state entered",
    signals: "tcp_congestion",
    programs: ["on_tcp_cong_state_set"],
    per: "on_tcp_cong_state_set",
    load: (loads) => loads.lossy(),
    peers: [bpftrace(scripts.congestionScript, "tcp_cong_state_", "algorithm, window sizes")],
  },
  {
    name: "a reset, sent and received",
    signals: "tcp_resets",
    programs: ["on_tcp_send_reset", "on_tcp_receive_reset"],
    per: "on_tcp_receive_reset",
    load: (loads) => loads.refused(),
    peers: [bpftrace(scripts.resetScript, "tcp_receive_res", "owner, side of the connection")],
  },
  {
    name: "a packet dropped",
    signals: "packet_drops",
    programs: ["on_kfree_skb"],
    per: "on_kfree_skb",
    load: (loads) => loads.droppedDatagrams(),
    peers: [bpftrace(scripts.dropScript, "kfree_skb", "owner, protocol inside of IP")],
  },
  {
    name: "a datagram that a full socket did not take",
    signals: "socket_buffers",
    programs: ["on_udp_fail_queue_rcv_skb"],
    per: "on_udp_fail_queue_rcv_skb",
    load: (loads) => loads.droppedDatagrams(),
    peers: [bpftrace(scripts.fullQueueScript, "udp_fail_queue_", "owner")],
  },
  {
    name: "a switch between tasks",
    signals: "run_queue_latency, off_cpu",
    programs: ["on_sched_switch"],
    per: "on_sched_switch",
    load: (loads) => loads.switches(),
    peers: [
      bpftrace(scripts.switchScript, "sched_switch", "stacks of off-CPU waits, exact waits of tasks moved between CPUs"),
      {
        name: "runqlat -P and offcputime -m 1000",
        commands: [
          ["/usr/sbin/runqlat", "-P"],
          ["/usr/sbin/offcputime", "-m", "1000", "3600"],
        ],
        per: "sched_switch",
        lacks: "",
      },
    ],
  },
  {
    name: "a process made and ended",
    signals: "process_exits; the last reading of cpu_time, page_faults",
    programs: ["on_task_newtask", "on_sched_process_exit", "on_sched_process_free"],
    per: "on_task_newtask",
    load: (loads) => loads.processes(),
    peers: [
      bpftrace(scripts.taskScript, "task_newtask", "process group's own end, control group, waits, anything of a thread before its end"),
      tool("exitsnoop", "sched_process_exit", "CPU time, faults, processes made; one line per exit instead of counts"),
    ],
  },
  {
    name: "a program executed (its process made and ended)",
    signals: "process_exec, process_exits; the last reading of cpu_time, page_faults",
    programs: ["on_sched_process_exec", "on_task_newtask", "on_sched_process_exit", "on_sched_process_free"],
    per: "on_task_newtask",
    load: (loads) => loads.executions(),
    peers: [
      bpftrace(scripts.taskScript, "task_newtask", "process group's own end, control group, waits, anything of a thread before its end"),
      {
        name: "execsnoop and exitsnoop",
        commands: [["/usr/sbin/execsnoop"], ["/usr/sbin/exitsnoop"]],
        per: "sched_process_exit",
        lacks: "CPU time, faults; one line per event instead of counts",
      },
    ],
  },
  {
    name: "a request to a disk",
    signals: "block_io, block_latency, block_errors",
    programs: ["on_block_rq_complete"],
    per: "on_block_rq_complete",
    load: (loads) => loads.diskReads(),
    peers: [bpftrace(scripts.blockScript, "block_rq_comple", ""), tool("biolatency -D -F -Q", "block_rq_complete_btf", "bytes, errors")],
  },
  {
    name: "a softirq, raised and run",
    signals: "softirq_latency",
    programs: ["on_softirq_raise", "on_softirq_entry"],
    per: "on_softirq_entry",
    load: (loads) => loads.datagrams(),
    peers: [
      bpftrace(scripts.softirqScript, "softirq_entry", ""),
      tool("softirqs -d", "softirq_entry_btf", "how long it waited (it shows how long it ran)"),
    ],
  },
  {
    name: "a sample of what a CPU runs",
    signals: "cpu_profile",
    programs: ["on_cpu_clock"],
    per: "on_cpu_clock",
    load: (loads) => loads.spin(),
    peers: [bpftrace(scripts.profileScript, "49", "control group, address space")],
  },
];

/** Programs that no load of this bench drives, and why; and questions that ours answer without a program of their own. */
export const uncompared: readonly { readonly program: string; readonly why: string }[] = [
  {
    program: "on_tcp_retransmit_synack",
    why: "fires about once per second for a handshake that is not answered; same code as on_tcp_retransmit_skb",
  },
  { program: "on_sock_rcvqueue_full", why: "fires for full queues of raw and packet sockets only; same code as on_udp_fail_queue_rcv_skb" },
  {
    program: "on_sock_exceed_buf_limit",
    why: "fires when all sockets together reach a limit of the host, which a bench must not bring about; same code as on_udp_fail_queue_rcv_skb",
  },
  { program: "on_mark_victim", why: "an OOM kill is rare by nature; oomkill needs a kprobe, which this kernel refuses" },
  { program: "on_oom_exit", why: "attached only where mark_victim names its victim by pid alone (before Linux 6.8)" },
  { program: "on_task_vma", why: "runs once per new process that was sampled; other profilers read /proc/PID/maps as root" },
  { program: "on_kernel_symbols", why: "run by the agent for addresses that are new in stacks; other profilers read /proc/kallsyms as root" },
  {
    program: "on_cgroup_mkdir",
    why: "runs when a control group is made, which is rare and takes the kernel some hundred times as long; bpftrace would print each",
  },
  { program: "on_dns_timeouts", why: "run once per window by the agent, over queries that nobody has answered; no other tracer reads DNS messages" },
];
