// SPDX-License-Identifier: Apache-2.0
import type { Signal } from "./signal.ts";

export const agentCost: Signal = {
  name: "agent_cost",
  family: "agent",
  kind: "counter",
  question: "What does watching this host cost it?",
  help: "Runs and time of each BPF program, and CPU and memory of the agent's process (program `waggle-agent`).",
  dimensions: ["program"],
  measures: [
    { name: "events", kind: "sum", unit: "events", help: "Times the program ran." },
    {
      name: "kernel_ns",
      kind: "sum",
      unit: "ns",
      help: "Time spent in the program: one run in 1,024 (of rare programs one in 16, and one in 128 after the first 256) is timed inside it, and the average scaled by the number of runs; the cost of entering the tracepoint, and of what a run makes the kernel do outside of it, is not in it.",
    },
    { name: "cpu_ns", kind: "sum", unit: "ns", help: "User and system CPU time of the agent's process." },
    { name: "rss_bytes", kind: "gauge", unit: "bytes", help: "Resident memory of the agent's process." },
    { name: "map_bytes", kind: "gauge", unit: "bytes", help: "Kernel memory of the BPF maps, by their own memlock figure." },
  ],
  distribution: null,
  hooks: [],
  bpf: null,
  caveats: [],
};

export const agentCoverage: Signal = {
  name: "agent_coverage",
  family: "agent",
  kind: "counter",
  question: "Which signals can be trusted on this host, and why not?",
  help: "One row per signal and window that says in what state the signal was. A window without such a row is a gap, not a zero.",
  dimensions: ["signal", "state", "reason"],
  measures: [{ name: "windows", kind: "sum", unit: "windows", help: "Windows in this state (1 in a row of one window)." }],
  distribution: null,
  hooks: [],
  bpf: null,
  caveats: [],
};

export const agentAccounting: Signal = {
  name: "agent_accounting",
  family: "agent",
  kind: "counter",
  question: "Does what the probes counted add up to what the kernel counted itself?",
  help: "What the agent counted beside the kernel's own figure of the same quantity. The share accounted for is counted ÷ kernel. A window in which a side is missing has no row.",
  dimensions: ["quantity"],
  measures: [
    { name: "counted", kind: "sum", unit: "1", help: "What the probes counted." },
    { name: "kernel", kind: "sum", unit: "1", help: "What the kernel's own counter rose by." },
  ],
  distribution: null,
  hooks: [],
  bpf: null,
  caveats: [
    "The two sides are read a few milliseconds apart, so single windows may differ by what happened in between; sums over several windows agree.",
  ],
};

export const agentDrops: Signal = {
  name: "agent_drops",
  family: "agent",
  kind: "counter",
  question: "What could not be kept as it should, where and why?",
  help: "What maps, registries, row caps and the spool could not take, by place and cause. A window without rows dropped nothing. What is counted depends on the cause: events, rows of a window (row_cap, frame_cap), stacks (byte_cap) or windows (spool, coarsened).",
  dimensions: ["place", "cause"],
  measures: [
    { name: "lost", kind: "sum", unit: "1", help: "What is in no row." },
    {
      name: "merged",
      kind: "sum",
      unit: "1",
      help: "What is counted, under `~other`, an unknown owner, a stack without frames or a longer window: totals hold, dimensions do not.",
    },
  ],
  distribution: null,
  hooks: [],
  bpf: null,
  caveats: ["Of drops in the kernel the place is known, not the row they would have been in."],
};

export const agentAttribution: Signal = {
  name: "agent_attribution",
  family: "agent",
  kind: "counter",
  question: "How much of what was counted is known to be somebody's?",
  help: "For each signal with an owner: the sum of its first measure that adds up (of a histogram its count) in the rows that were sent, and how much of that stands under a process and under a unit. The share is with_process ÷ counted.",
  dimensions: ["signal"],
  measures: [
    { name: "counted", kind: "sum", unit: "1", help: "In all rows, `~other` included." },
    { name: "with_process", kind: "sum", unit: "1", help: "In rows that name a process." },
    { name: "with_unit", kind: "sum", unit: "1", help: "In rows that name a unit. Kernel threads and whatever else is in the root group have none." },
  ],
  distribution: null,
  hooks: [],
  bpf: null,
  caveats: ["A row whose process or unit is `~other` has no such owner any more, whether or not one was known."],
};

export const agentSignals = [agentCost, agentCoverage, agentAccounting, agentDrops, agentAttribution] as const;
