// SPDX-License-Identifier: Apache-2.0
import type { Measure, Signal } from "./signal.ts";

const gauge = (name: string, unit: Measure["unit"], help: string): Measure => ({ name, kind: "gauge", unit, help });
const sum = (name: string, unit: Measure["unit"], help: string): Measure => ({ name, kind: "sum", unit, help });

export const hostLoad: Signal = {
  name: "host_load",
  family: "host",
  kind: "counter",
  question: "How busy is the host as a whole: CPU, load, memory?",
  help: "CPU time of all CPUs by what it was spent on, load, tasks and memory, as the kernel itself reports them.",
  dimensions: [],
  measures: [
    gauge("load_1m", "milli", "Load average of the last minute, in thousandths."),
    gauge("load_5m", "milli", "Load average of the last 5 minutes, in thousandths."),
    gauge("load_15m", "milli", "Load average of the last 15 minutes, in thousandths."),
    gauge("tasks", "1", "Threads that exist."),
    gauge("tasks_running", "1", "Threads that run or wait for a CPU."),
    gauge("tasks_blocked", "1", "Threads that wait for I/O."),
    gauge("memory_total", "bytes", "Memory of the host."),
    gauge("memory_available", "bytes", "Memory that could be given to programs without swapping."),
    gauge("memory_cached", "bytes", "Page cache and buffers."),
    gauge("memory_dirty", "bytes", "Pages that wait to be written to disk."),
    gauge("memory_slab", "bytes", "The kernel's own objects."),
    gauge("swap_total", "bytes", "Swap space."),
    gauge("swap_free", "bytes", "Swap space that is not used."),
    sum("cpu_user", "ns", "Time in programs, niced ones included, guests not."),
    sum("cpu_system", "ns", "Time in the kernel on behalf of programs."),
    sum("cpu_irq", "ns", "Time in hard and soft interrupts."),
    sum("cpu_steal", "ns", "Time in which the hypervisor ran something else."),
    sum("cpu_guest", "ns", "Time in virtual machines of this host."),
    sum("cpu_iowait", "ns", "Idle time in which I/O was under way."),
    sum("cpu_idle", "ns", "Idle time otherwise."),
    sum("context_switches", "events", "Changes from one thread to another."),
    sum("interrupts", "events", "Hard interrupts."),
    sum("forks", "processes", "Processes and threads created."),
  ],
  distribution: null,
  hooks: ["/proc/stat", "/proc/loadavg", "/proc/meminfo"],
  bpf: null,
  caveats: ["CPU time is counted by the kernel in ticks of 10 ms, or exactly where it accounts for that (CONFIG_VIRT_CPU_ACCOUNTING_GEN)."],
};

export const hostPressure: Signal = {
  name: "host_pressure",
  family: "host",
  kind: "counter",
  question: "How much time is lost waiting for CPU, memory or I/O?",
  help: "Pressure stall information: time in which some, or all, of the host's busy tasks were held up by the lack of a resource.",
  dimensions: ["resource"],
  measures: [
    sum("some", "ns", "Time in which at least one task was held up."),
    sum("full", "ns", "Time in which all tasks that had work were held up at once; of the CPU it is 0 by definition for the whole host."),
  ],
  distribution: null,
  hooks: ["/proc/pressure"],
  bpf: null,
  caveats: [],
};

export const hostFacts: Signal = {
  name: "host_facts",
  family: "host",
  kind: "counter",
  question: "What is this host, and what differs between two of them?",
  help: "Kernel, distribution, processor, addresses, devices and settings as text; each fact once an hour, after a start, and whenever it changes.",
  dimensions: ["fact", "value"],
  measures: [sum("windows", "windows", "Windows in which the fact was reported.")],
  distribution: null,
  hooks: ["/proc", "/sys"],
  bpf: null,
  caveats: ["Not in every window: look back an hour for what holds now."],
};

export const energy: Signal = {
  name: "energy",
  family: "host",
  kind: "counter",
  question: "How much energy do the processors take?",
  help: "Energy by domain of the processor, as its own meter (RAPL) counts it.",
  dimensions: ["domain"],
  measures: [sum("energy", "microjoules", "Energy taken in the window.")],
  distribution: null,
  hooks: ["/sys/class/powercap"],
  bpf: null,
  caveats: ["Virtual machines have no meter. Since 2020 kernels let only root read it, or whoever a udev rule names."],
};

/** The host as a whole. */
export const hostFamilySignals: readonly Signal[] = [hostLoad, hostPressure, hostFacts, energy];
