// SPDX-License-Identifier: Apache-2.0
import type { Signal } from "./signal.ts";

const inventoryCaveats = [
  "Read once per window from every thread, and once more when it is gone: what a process did before it took its present name within a window counts under that name.",
  "A thread that is running is read as of its last timer tick or switch; the rest comes with the next window.",
];

export const cpuTime: Signal = {
  name: "cpu_time",
  family: "cpu",
  kind: "counter",
  question: "Who uses the CPUs?",
  help: "Time that threads ran, exact to the nanosecond, split into user and system as the kernel does for /proc/PID/stat: in the proportion that its timer tick saw.",
  dimensions: ["process", "unit"],
  measures: [
    { name: "user", kind: "sum", unit: "ns", help: "Time in the program itself, virtual machines included." },
    { name: "system", kind: "sum", unit: "ns", help: "Time in the kernel on the program's behalf; all of a kernel thread's time." },
    { name: "voluntary_switches", kind: "sum", unit: "events", help: "Times a thread gave the CPU away to wait for something." },
    { name: "involuntary_switches", kind: "sum", unit: "events", help: "Times a thread was taken off the CPU while it could have gone on." },
  ],
  distribution: null,
  hooks: ["iter/task", "tp_btf/sched_process_free"],
  bpf: {
    map: "cpu_time",
    bucketed: false,
    programs: ["on_task_inventory", "on_task_newtask", "on_sched_process_exit", "on_sched_process_free"],
  },
  caveats: [
    ...inventoryCaveats,
    "Interrupts and softirqs that fall into a thread's time count as its time, unless the kernel accounts for them (CONFIG_IRQ_TIME_ACCOUNTING); those that fall into idle time are in no process.",
  ],
};

export const pageFaults: Signal = {
  name: "page_faults",
  family: "cpu",
  kind: "counter",
  question: "Who touches memory that is not there yet?",
  help: "Page faults of each process's threads.",
  dimensions: ["process", "unit"],
  measures: [
    { name: "minor", kind: "sum", unit: "faults", help: "Faults that took no I/O: the page was new, shared or in the page cache." },
    { name: "major", kind: "sum", unit: "faults", help: "Faults that waited for a disk: the page was in a file or in swap." },
  ],
  distribution: null,
  hooks: ["iter/task", "tp_btf/sched_process_free"],
  bpf: {
    map: "page_faults",
    bucketed: false,
    programs: ["on_task_inventory", "on_task_newtask", "on_sched_process_exit", "on_sched_process_free"],
  },
  caveats: inventoryCaveats,
};

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
    "Count and sum are the kernel's own. Where a CPU is crowded, a few of a thousand waits are known by their sum only, and lie in the distribution at its average.",
  ],
};

export const processExec: Signal = {
  name: "process_exec",
  family: "cpu",
  kind: "counter",
  question: "Who starts programs, processes and threads?",
  help: "Programs executed, by the new program; processes and threads made, by the process that made them.",
  dimensions: ["process", "unit"],
  measures: [
    { name: "count", kind: "sum", unit: "events", help: "Times the process became this program (execve that succeeded)." },
    { name: "forked", kind: "sum", unit: "processes", help: "Processes it made." },
    { name: "threads", kind: "sum", unit: "events", help: "Threads it made." },
  ],
  distribution: null,
  hooks: ["tp_btf/sched_process_exec", "tp_btf/task_newtask"],
  bpf: { map: "process_exec", bucketed: false, programs: ["on_sched_process_exec", "on_task_newtask"] },
  caveats: ["An execve that failed is in syscall_errors.", "A process that names itself later counts under the name of its executable."],
};

export const processExits: Signal = {
  name: "process_exits",
  family: "cpu",
  kind: "counter",
  question: "Which processes end, and how?",
  help: "Processes whose last thread ended, by exit code or signal.",
  dimensions: ["process", "unit", "exit_status"],
  measures: [{ name: "count", kind: "sum", unit: "processes", help: "Processes that ended." }],
  distribution: null,
  hooks: ["tp_btf/sched_process_exit"],
  bpf: { map: "process_exits", bucketed: false, programs: ["on_sched_process_exit"] },
  caveats: [],
};

export const oomKills: Signal = {
  name: "oom_kills",
  family: "cpu",
  kind: "counter",
  question: "Whom did the kernel kill because memory ran out?",
  help: "Victims of the kernel's OOM killer, for the whole host or in a control group at its limit.",
  dimensions: ["process", "unit"],
  measures: [{ name: "count", kind: "sum", unit: "processes", help: "Processes chosen to be killed." }],
  distribution: null,
  hooks: ["tp_btf/mark_victim"],
  bpf: { map: "oom_kills", bucketed: false, programs: ["on_mark_victim"] },
  caveats: [
    "A victim that was ending anyway counts too.",
    "A kill by a daemon (systemd-oomd, earlyoom) is an ordinary SIGKILL, which process_exits has.",
  ],
};

/** Who runs, who waits for a CPU, who sleeps, who starts and ends. */
export const cpuSignals: readonly Signal[] = [cpuTime, runQueueLatency, pageFaults, processExec, processExits, oomKills];
