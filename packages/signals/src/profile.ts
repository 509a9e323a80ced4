// SPDX-License-Identifier: Apache-2.0
import type { Signal } from "./signal.ts";

const symbolCaveats = [
  "Stacks are walked by frame pointers: a library built without them hides its callers, which then miss or show as `[unknown]`.",
  "Stripped files, 32-bit ones, and files the agent's user cannot read (of containers without CAP_SYS_PTRACE, deleted ones), show as `[module]` without a function. C++ and Rust names stay mangled.",
  "Generated code has names where the runtime writes /tmp/perf-PID.map (Node.js: --perf-basic-prof); without it the frame is `[jit]`, and interpreted JavaScript shows the interpreter.",
];

export const cpuProfile: Signal = {
  name: "cpu_profile",
  family: "cpu",
  kind: "stack",
  question: "What code do the CPUs run?",
  help: "Samples of what runs on each CPU that is not idle, 49 times a second unless configured otherwise, by process and call stack (user and kernel). A sample stands for 1/49 s of CPU time.",
  dimensions: ["process", "unit", "stack"],
  measures: [{ name: "samples", kind: "sum", unit: "samples", help: "Times the stack was seen." }],
  distribution: null,
  hooks: ["perf_event/cpu-clock"],
  bpf: { map: "cpu_profile", bucketed: false, stacks: true, programs: ["on_cpu_clock"] },
  caveats: [
    ...symbolCaveats,
    "A program that lived for less than a quarter of a second after its first sample may show as `[unknown]`.",
    "The sample is taken from a timer's interrupt: code that runs with interrupts off shows where it lets them in again.",
  ],
};

export const offCpu: Signal = {
  name: "off_cpu",
  family: "cpu",
  kind: "stack",
  question: "Where do programs wait, and how long?",
  help: "Every wait of at least 1 ms (unless configured otherwise) by process and the call stack in which the task waited.",
  dimensions: ["process", "unit", "stack"],
  measures: [
    { name: "count", kind: "sum", unit: "events", help: "Waits that ended in the window." },
    {
      name: "blocked",
      kind: "sum",
      unit: "ns",
      help: "From leaving the CPU until getting one again, the wait in the run queue included; counted whole in the window in which it ended.",
    },
  ],
  distribution: null,
  hooks: ["tp_btf/sched_switch", "tp_btf/sys_exit"],
  bpf: { map: "off_cpu", bucketed: false, stacks: true, programs: ["on_sched_switch", "on_sys_exit", "on_sys_enter"] },
  caveats: [
    ...symbolCaveats,
    "Tasks that were pushed off the CPU while they could have gone on are not here but in run_queue_latency.",
    "A wait outside of a system call (for a page from disk), and one in a call that the agent saw no start of, has its kernel stack only, below the frame `[user]`.",
    "A wait is counted when its system call returns.",
    "The first 256 long waits of each second on a CPU are all counted; of further ones one in two, in four, … is taken by chance and counted for as many. Coverage then says `sampled`.",
  ],
};

export const stackFrames: Signal = {
  name: "stack_frames",
  family: "cpu",
  kind: "counter",
  question: "What is the call stack of that name?",
  help: "The dictionary of `stack`: sent with a stack's first use in each hour of the clock and after a start of the agent. Frames are `function [module]`; those of the kernel end in `_[k]`.",
  dimensions: ["stack", "frames"],
  measures: [{ name: "windows", kind: "sum", unit: "windows", help: "Windows that brought the entry." }],
  distribution: null,
  hooks: ["raw_tp, run by the agent", "iter/task_vma"],
  bpf: { map: "stack_chunks", bucketed: false, stacks: true, programs: ["on_kernel_symbols"] },
  caveats: [
    "Entries are bounded to 128 KiB a window, and what windows leave of it to 512 KiB at once; those go first that name most of what was measured for their bytes. What does not fit comes with the next windows, or, beyond 1 MiB, with the stack's next use; agent_drops counts it (place `stack_frames`, cause `byte_cap`).",
    "Stacks of more than 8 KiB are cut in the middle (`[…]`); the name is that of the whole stack.",
  ],
};

export const profileSignals = [cpuProfile, offCpu, stackFrames] as const;
