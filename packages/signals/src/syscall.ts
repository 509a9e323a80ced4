// SPDX-License-Identifier: Apache-2.0
import type { Signal } from "./signal.ts";

const caveat =
  "Calls that never return (exit_group) are not counted; operations submitted through io_uring or Linux AIO are no system calls, only their submission is.";

export const syscalls: Signal = {
  name: "syscalls",
  family: "syscall",
  kind: "counter",
  question: "Which process asks the kernel for what, how often?",
  help: "System calls that returned in the window, by process and call.",
  dimensions: ["process", "unit", "syscall"],
  measures: [{ name: "count", kind: "sum", unit: "calls", help: "Calls that returned." }],
  distribution: null,
  hooks: ["tp_btf/sys_exit"],
  bpf: { map: "syscall_latency", bucketed: true, programs: ["on_sys_exit"] },
  caveats: [caveat],
};

export const syscallErrors: Signal = {
  name: "syscall_errors",
  family: "syscall",
  kind: "counter",
  question: "Which calls fail, with what error?",
  help: "System calls that returned an error in the window, by process, call and error.",
  dimensions: ["process", "unit", "syscall", "errno"],
  measures: [{ name: "count", kind: "sum", unit: "errors", help: "Calls that returned an error." }],
  distribution: null,
  hooks: ["tp_btf/sys_exit"],
  bpf: { map: "syscall_errors", bucketed: false, programs: ["on_sys_exit"] },
  caveats: [caveat],
};

export const syscallLatency: Signal = {
  name: "syscall_latency",
  family: "syscall",
  kind: "histogram",
  question: "Which calls take long, in which process?",
  help: "Time between entry and return of each system call, by process and call. Time spent waiting (epoll_wait, futex, read) is part of it.",
  dimensions: ["process", "unit", "syscall"],
  measures: [],
  distribution: { name: "latency", unit: "ns", countUnit: "calls", help: "Entry until return." },
  hooks: ["tp_btf/sys_enter", "tp_btf/sys_exit"],
  bpf: { map: "syscall_latency", bucketed: true, programs: ["on_sys_enter", "on_sys_exit"] },
  caveats: [caveat, "A call already running when the agent started is counted in syscalls but has no latency."],
};

export const syscallSignals = [syscalls, syscallErrors, syscallLatency] as const;
