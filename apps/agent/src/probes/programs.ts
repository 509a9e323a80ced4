// SPDX-License-Identifier: Apache-2.0
import { catalogue } from "@waggle/signals";
import type { KernelBtf } from "../kernel/kernel-btf.ts";
import { cpuPrograms } from "./cpu-programs.ts";
import { diskPrograms } from "./disk-programs.ts";
import { netPrograms } from "./net-programs.ts";
import { profilePrograms } from "./profile-programs.ts";
import type { ProgramDecision, ProgramPlan } from "./program-plan.ts";
import { tcpPrograms } from "./tcp-programs.ts";

/** Since Linux 6.2 a program's own loads may read any address, and need no helper for it (packages/bpf/include/kernel_word.bpf.h). */
function decideCalls(kernel: Pick<KernelBtf, "hasFunction">): ProgramDecision {
  return kernel.hasFunction("bpf_rdonly_cast") ? { object: "syscall_direct" } : {};
}

/**
 * In the order they are attached: an exit before its entry, so that no entry waits for an exit that nobody sees, and the
 * socket's state changes before anything that reads what they note.
 */
export const programPlans: readonly ProgramPlan[] = [
  { name: "on_sys_exit", object: "syscall", hook: "tp_btf/sys_exit", tracepoint: "sys_exit", decide: decideCalls },
  { name: "on_sys_enter", object: "syscall", hook: "tp_btf/sys_enter", tracepoint: "sys_enter" },
  {
    name: "on_inet_sock_set_state",
    object: "tcp_connection",
    hook: "tp_btf/inet_sock_set_state",
    tracepoint: "inet_sock_set_state",
    notesFor: ["tcp_retransmits", "tcp_resets", "packet_drops"],
  },
  { name: "on_tcp_inventory", object: "tcp_connection", hook: "iter/task_file", tracepoint: null, notesFor: ["packet_drops"] },
  { name: "on_tcp_retransmit_skb", object: "tcp_retransmit", hook: "tp_btf/tcp_retransmit_skb", tracepoint: "tcp_retransmit_skb" },
  { name: "on_tcp_retransmit_synack", object: "tcp_retransmit", hook: "tp_btf/tcp_retransmit_synack", tracepoint: "tcp_retransmit_synack" },
  ...tcpPrograms,
  ...cpuPrograms,
  ...diskPrograms,
  ...profilePrograms,
  ...netPrograms,
  // Names units of groups that are gone when the window is read; those of others are found without it.
  {
    name: "on_cgroup_mkdir",
    object: "control_group",
    hook: "tp_btf/cgroup_mkdir",
    tracepoint: "cgroup_mkdir",
    notesFor: catalogue.filter(({ dimensions }) => dimensions.includes("unit")).map(({ name }) => name),
  },
];
