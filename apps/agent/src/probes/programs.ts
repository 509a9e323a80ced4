// SPDX-License-Identifier: Apache-2.0
import type { KernelBtf } from "../kernel/kernel-btf.ts";
import { cpuPrograms } from "./cpu-programs.ts";
import { diskPrograms } from "./disk-programs.ts";
import { netPrograms } from "./net-programs.ts";
import { profilePrograms } from "./profile-programs.ts";
import { tcpPrograms } from "./tcp-programs.ts";

/** What the running kernel's BTF says about a program before it is loaded. */
export interface ProgramDecision {
  /** `const volatile` variables of the object to set, by name: the same C source then fits this kernel. */
  readonly constants?: Readonly<Record<string, number>>;
  /** The kernel cannot run the program at all: what is missing, in words. */
  readonly unsupported?: string;
  /** Signals of a program that runs, but not with all this kernel would need to have: what is different or missing, in words. */
  readonly signals?: Readonly<Record<string, { readonly state: "fallback" | "unsupported"; readonly reason: string }>>;
}

/** A BPF program the agent knows: which object holds it and what it hangs on. */
export interface ProgramPlan {
  readonly name: string;
  /** Base name of the object file, `<object>.bpf.o`. */
  readonly object: string;
  /** The hook as people write it. */
  readonly hook: string;
  /** Tracepoint that must be in the kernel's BTF; null for an iterator. */
  readonly tracepoint: string | null;
  /**
   * What is neither of the two: `clock` hangs on a software clock of each CPU (needs `sampleHz`), `on-demand` is an iterator that is run over something
   * else each time (`ProbeSet.programFd`).
   */
  readonly attach?: "clock" | "on-demand";
  /** Name of the map whose elements an iterator walks over; left out: everything of the kind that its hook names. */
  readonly iterates?: string;
  /** Looks at the running kernel. Left out: nothing depends on the kernel but the tracepoint. */
  readonly decide?: (kernel: KernelBtf) => ProgramDecision;
  /** What its signals miss without it, in words; they are `fallback` then. Left out: they cannot do without it. */
  readonly without?: string;
  /** Signals that use what it notes, beside those that name it in the catalogue: it is not taken off its hook while somebody wants one of them. */
  readonly notesFor?: readonly string[];
  /** Another program that this one stands in for where that cannot be loaded; signals that need the other are then `fallback`. */
  readonly insteadOf?: { readonly program: string; readonly reason: string };
}

/**
 * In the order they are attached: an exit before its entry, so that no entry waits for an exit that nobody sees, and the
 * socket's state changes before anything that reads what they note.
 */
export const programPlans: readonly ProgramPlan[] = [
  { name: "on_sys_exit", object: "syscall", hook: "tp_btf/sys_exit", tracepoint: "sys_exit" },
  { name: "on_sys_enter", object: "syscall", hook: "tp_btf/sys_enter", tracepoint: "sys_enter" },
  {
    name: "on_inet_sock_set_state",
    object: "tcp_connection",
    hook: "tp_btf/inet_sock_set_state",
    tracepoint: "inet_sock_set_state",
    notesFor: ["tcp_retransmits", "tcp_resets", "packet_drops"],
  },
  { name: "on_tcp_inventory", object: "tcp_connection", hook: "iter/task_file", tracepoint: null },
  { name: "on_tcp_retransmit_skb", object: "tcp_retransmit", hook: "tp_btf/tcp_retransmit_skb", tracepoint: "tcp_retransmit_skb" },
  { name: "on_tcp_retransmit_synack", object: "tcp_retransmit", hook: "tp_btf/tcp_retransmit_synack", tracepoint: "tcp_retransmit_synack" },
  ...tcpPrograms,
  ...cpuPrograms,
  ...diskPrograms,
  ...profilePrograms,
  ...netPrograms,
];
