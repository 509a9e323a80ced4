// SPDX-License-Identifier: Apache-2.0
import { getSignalOrThrow, type Unit } from "@waggle/signals";
import { identifier, type Part, sumPart } from "../query/sql.ts";

/** A column of the table of processes. */
export interface ProcessColumn {
  readonly name: string;
  readonly signal: string;
  readonly unit: Unit;
  readonly help: string;
  readonly part: Part;
  /** The number, out of what the part gives. */
  readonly value: (column: string) => string;
}

const plain = (column: string): string => column;

function added(name: string, signal: string, measures: readonly string[], unit: Unit, help: string): ProcessColumn {
  const known = getSignalOrThrow(signal).kind === "histogram" ? ["count", "sum"] : getSignalOrThrow(signal).measures.map((measure) => measure.name);
  for (const measure of measures) if (!known.includes(measure)) throw new TypeError(`${signal} has no measure ${measure}`);
  const inner = measures.map((measure) => `sum(${identifier(measure)})`).join(" + ");
  return { name, signal, unit, help, part: sumPart(name.toLowerCase(), inner), value: plain };
}

/** Largest value that a histogram's own extremes know, per group. */
function largest(name: string, signal: string, help: string): ProcessColumn {
  const unit = getSignalOrThrow(signal).distribution?.unit ?? "1";
  return { name, signal, unit, help, part: { name: name.toLowerCase(), inner: "max(`max`)", merge: "max" }, value: plain };
}

/** What is known by process, in the order in which it is shown. */
export const processColumns: readonly ProcessColumn[] = [
  added("cpu", "cpu_time", ["user", "system"], "ns", "Time on a CPU, in the program and in the kernel."),
  added("runQueueWait", "run_queue_latency", ["sum"], "ns", "Time it could have run and had no CPU."),
  largest("runQueueWaitMax", "run_queue_latency", "The longest single wait for a CPU."),
  added("offCpu", "off_cpu", ["blocked"], "ns", "Time in waits of at least 1 ms, all threads added up."),
  added("bytesSent", "tcp_connections", ["bytes_sent"], "bytes", "TCP payload that peers acknowledged."),
  added("bytesReceived", "tcp_connections", ["bytes_received"], "bytes", "TCP payload received."),
  added("retransmits", "tcp_retransmits", ["segments"], "segments", "TCP segments sent again."),
  added("fileRead", "file_io", ["read_bytes"], "bytes", "Bytes read from files, out of memory or from a device."),
  added("fileWritten", "file_io", ["written_bytes"], "bytes", "Bytes written to files."),
  added("syscallErrors", "syscall_errors", ["count"], "errors", "System calls that failed."),
  added("faultsMajor", "page_faults", ["major"], "faults", "Page faults that waited for a disk."),
  added("faultsMinor", "page_faults", ["minor"], "faults", "Page faults that took no I/O."),
  added("oomKills", "oom_kills", ["count"], "processes", "Times the kernel chose it to be killed for want of memory."),
];
