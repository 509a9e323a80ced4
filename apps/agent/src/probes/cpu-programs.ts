// SPDX-License-Identifier: Apache-2.0
import type { KernelBtf } from "../kernel/kernel-btf.ts";
import type { ProgramDecision, ProgramPlan } from "./program-plan.ts";

function decideSchedSwitch(kernel: Pick<KernelBtf, "tracepointArguments" | "hasField">): ProgramDecision {
  const [, prev, next, prevState] = kernel.tracepointArguments("sched_switch") ?? [];
  // The first releases of 5.18 had the state in front of the tasks.
  if (prev !== "struct task_struct *" || next !== "struct task_struct *") return { unsupported: "sched_switch has other arguments in this kernel" };
  if (!kernel.hasField("sched_info", "last_queued"))
    return { unsupported: "this kernel keeps no account of waiting for CPUs (built without CONFIG_SCHED_INFO)" };
  if (!kernel.hasField("sched_entity", "cfs_rq") || !kernel.hasField("cfs_rq", "rq"))
    return { unsupported: "from a task there is no way to its CPU's clock (built without CONFIG_FAIR_GROUP_SCHED)" };
  return { constants: { has_prev_state: prevState === undefined ? 0 : 1 } };
}

/** Until 6.8 the tracepoint named the victim by its pid only. */
function decideMarkVictim(kernel: Pick<KernelBtf, "tracepointArguments">): ProgramDecision {
  const [victim] = kernel.tracepointArguments("mark_victim") ?? [];
  return victim === "struct task_struct *" ? {} : { unsupported: "mark_victim names only a pid in this kernel" };
}

/** Programs of the cpu family. Threads get their state before anything looks for it. */
export const cpuPrograms: readonly ProgramPlan[] = [
  { name: "on_task_newtask", object: "task", hook: "tp_btf/task_newtask", tracepoint: "task_newtask", notesFor: ["run_queue_latency", "off_cpu"] },
  { name: "on_sched_process_free", object: "task", hook: "tp_btf/sched_process_free", tracepoint: "sched_process_free" },
  { name: "on_sched_process_exit", object: "task", hook: "tp_btf/sched_process_exit", tracepoint: "sched_process_exit" },
  { name: "on_sched_process_exec", object: "task", hook: "tp_btf/sched_process_exec", tracepoint: "sched_process_exec" },
  { name: "on_task_inventory", object: "task", hook: "iter/task", tracepoint: null },
  { name: "on_sched_switch", object: "sched", hook: "tp_btf/sched_switch", tracepoint: "sched_switch", decide: decideSchedSwitch },
  { name: "on_mark_victim", object: "oom", hook: "tp_btf/mark_victim", tracepoint: "mark_victim", decide: decideMarkVictim },
  {
    name: "on_oom_exit",
    object: "oom",
    hook: "tp_btf/sched_process_exit",
    tracepoint: "sched_process_exit",
    insteadOf: {
      program: "on_mark_victim",
      reason: "counted when the victim has ended, not when it was chosen: mark_victim names only a pid in this kernel",
    },
  },
];
