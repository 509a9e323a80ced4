// SPDX-License-Identifier: Apache-2.0
import type { KernelBtf } from "../kernel/kernel-btf.ts";
import { type ProgramDecision, type ProgramPlan, RUN_BY_AGENT } from "./program-plan.ts";

/** Names of user functions come out of what is mapped where; before Linux 6.1 the kernel walks over all processes to say so of one. */
function decideTaskVma(kernel: KernelBtf): ProgramDecision {
  if (!kernel.hasStruct("bpf_iter__task_vma")) return { unsupported: "this kernel cannot say what a process has mapped (no iter/task_vma)" };
  return { constants: { walks_all_tasks: kernel.hasField("bpf_iter_link_info", "task") ? 0 : 1 } };
}

function decideKernelSymbols(kernel: KernelBtf): ProgramDecision {
  return kernel.hasHelper("snprintf") ? {} : { unsupported: "this kernel cannot name its functions to programs (since Linux 5.13)" };
}

/** Samples of what runs, and what gives the addresses in stacks their names. */
export const profilePrograms: readonly ProgramPlan[] = [
  { name: "on_cpu_clock", object: "profile", hook: "perf_event/cpu-clock", tracepoint: null, attach: "clock" },
  { name: "on_task_vma", object: "profile", hook: "iter/task_vma", tracepoint: null, attach: "on-demand", decide: decideTaskVma },
  { name: "on_kernel_symbols", object: "profile", hook: RUN_BY_AGENT, tracepoint: null, attach: "on-demand", decide: decideKernelSymbols },
];
