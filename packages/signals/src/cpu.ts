// SPDX-License-Identifier: Apache-2.0
import type { Signal } from "./signal.ts";

export const runQueueLatency: Signal = {
  name: "run_queue_latency",
  family: "cpu",
  kind: "histogram",
  question: "Who waits for a CPU, and how long?",
  help: "Time between becoming runnable (woken, new, or preempted) and getting a CPU, by process.",
  dimensions: ["process", "unit"],
  measures: [],
  distribution: { name: "latency", unit: "ns", countUnit: "events", help: "Runnable until running." },
  hooks: ["tp_btf/sched_switch"],
  bpf: { map: "run_queue_latency", bucketed: true, programs: ["on_sched_switch"] },
  caveats: [
    "The start of a wait is what the kernel notes itself (sched_info.last_queued): when the task was put into a CPU's queue. The time an interrupt takes to reach an idle CPU comes before that.",
  ],
};

/** Who runs, who waits for a CPU, who sleeps, who starts and ends. */
export const cpuSignals: readonly Signal[] = [runQueueLatency];
