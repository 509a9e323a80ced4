// SPDX-License-Identifier: Apache-2.0
import { bucketIndex } from "@waggle/signals";
import type { Role } from "../fleet.ts";
import { type CallKind, callKinds, commonProcesses, flowKinds } from "../services.ts";
import { stalled, steady } from "./columns.ts";
import { byRole, counterTable, type FamilyContext, histogramTable, named, type SignalFamily, Templates } from "./family.ts";
import type { HostWindow } from "./host-window.ts";
import type { NamedRows } from "./named-rows.ts";
import { type HostProcess, syncs, unitOf } from "./processes.ts";
import type { RowShares } from "./row-shares.ts";

interface Call {
  readonly kind: CallKind;
  readonly name: Readonly<Record<"process" | "unit" | "syscall", string>>;
  /** Compared with the busiest process. */
  readonly weight: number;
}

/** Distinct pairs of process and call, the most frequent first. */
function makeCalls(processes: readonly string[], count: number): Call[] {
  const copies = Math.ceil(count / (processes.length * (callKinds.length - 1)));
  const calls: Call[] = [];
  for (let copy = 0; copy < copies; copy++) {
    for (const [rank, process] of processes.entries()) {
      for (const kind of callKinds) {
        if (kind.syscall === "fsync" && !syncs(process)) continue;
        const name = { process: copy === 0 ? process : `${process}-${copy}`, unit: unitOf(process), syscall: kind.syscall };
        calls.push({ kind, name, weight: 1 / ((rank + 1) * (copy + 1)) });
      }
    }
  }
  calls.sort((a, b) => b.kind.count * b.weight - a.kind.count * a.weight);
  // Rare, but where a slow disk shows: also in a short list.
  const fsync = calls.findIndex((call) => call.kind.syscall === "fsync");
  calls.splice(2, 0, ...calls.splice(fsync, 1));
  return calls.slice(0, count);
}

/** Calls of which other families count the same. */
const counted = ["fsync", "openat", "read", "write"] as const;
const NOT_COUNTED = 0xffff;

class CallTemplate {
  readonly calls: NamedRows;
  readonly errors: NamedRows;
  readonly latency: NamedRows;
  /** In an average window of 10 s on an average host. */
  readonly count: Float64Array;
  readonly latencyBucket: Uint16Array;
  readonly errorShare: Float64Array;
  /** Position in `counted`, and of the process on the host; NOT_COUNTED: nobody else counts the call. */
  readonly kind: Uint16Array;
  readonly process: Uint16Array;

  constructor(shares: RowShares, role: Role, processes: readonly HostProcess[]) {
    const most = { calls: shares.most("syscalls"), errors: shares.most("syscall_errors"), latency: shares.most("syscall_latency") };
    const programs = [...new Set(flowKinds[role].map((kind) => kind.process)), ...commonProcesses];
    const calls = makeCalls(programs, Math.max(most.calls, most.latency));
    const names = calls.map((call) => call.name);
    this.calls = named("syscalls", names.slice(0, most.calls));
    this.latency = named("syscall_latency", names.slice(0, most.latency));
    this.errors = named(
      "syscall_errors",
      calls.slice(0, most.errors).map((call) => ({ ...call.name, errno: call.kind.errno })),
    );
    this.count = Float64Array.from(calls, (call) => call.kind.count * call.weight);
    this.latencyBucket = Uint16Array.from(calls, (call) => bucketIndex(BigInt(call.kind.latencyNs)));
    this.errorShare = Float64Array.from(calls, (call) => call.kind.errorShare);
    const known = (index: number): number => (index < 0 ? NOT_COUNTED : index);
    this.kind = Uint16Array.from(calls, ({ kind }) => known((counted as readonly string[]).indexOf(kind.syscall)));
    this.process = Uint16Array.from(calls, ({ name }) => known(processes.findIndex(({ process }) => process === name.process)));
  }
}

/** System calls: how many, how many failed, how long they took. */
export class SyscallFamily implements SignalFamily {
  readonly #templates: Templates<CallTemplate>;
  readonly #shares: RowShares;
  readonly #calls;
  readonly #errors;
  readonly #latency;

  constructor({ shares, processes }: FamilyContext) {
    this.#shares = shares;
    this.#templates = new Templates(byRole, ({ role }) => new CallTemplate(shares, role, processes(role)));
    this.#calls = counterTable("syscalls", shares);
    this.#errors = counterTable("syscall_errors", shares);
    this.#latency = histogramTable("syscall_latency", shares);
  }

  make(window: HostWindow): void {
    window.draw("syscalls");
    const { random, ailments } = window;
    const template = this.#templates.of(window.host);
    const { count, latencyBucket, errorShare, kind, process } = template;
    const rows = window.rowsOf(this.#shares.of("syscalls"), template.calls.capacity);
    const latencyRows = Math.min(rows, window.rowsOf(this.#shares.of("syscall_latency"), template.latency.capacity));
    const failing = this.#shares.of("syscall_errors");
    const errorRows = failing === 0 ? 0 : Math.min(rows, window.rowsOf(failing, template.errors.capacity));
    const [fsync, openat] = [counted.indexOf("fsync"), counted.indexOf("openat")];
    this.#calls.begin();
    this.#errors.begin();
    this.#latency.begin();
    for (let row = 0; row < rows; row++) {
      const which = kind[row] as number;
      const owner = process[row] as number;
      const usual = 1 + Math.floor(window.around(count[row] as number));
      const calls = owner === NOT_COUNTED ? usual : callsOf(window, which, owner, usual);
      this.#calls.add(row, calls);
      if (row < latencyRows) {
        const isSlow = ailments.failingCalls || (ailments.slowDisk && which === fsync);
        this.#latency.add(row, calls, latencyBucket[row] as number, isSlow ? stalled : steady, random);
      }
      if (row >= errorRows) continue;
      const opensFailed = which === openat && owner !== NOT_COUNTED ? (window.opensFailed[owner] as number) : 0;
      const failed = Math.floor(calls * Math.max(ailments.failingCalls ? 0.3 : 0, errorShare[row] as number));
      // A disk that fails says so in both places, a healthy one in none.
      if (which === fsync && !ailments.slowDisk && !ailments.failingCalls) continue;
      this.#errors.add(row, opensFailed > 0 ? opensFailed : Math.max(1, failed));
    }
    window.push(this.#calls, template.calls);
    window.push(this.#errors, template.errors);
    window.push(this.#latency, template.latency);
  }
}

/** How often a process made a call: as often as files tell of it, of reads and writes at least so often; most of these are of sockets. */
function callsOf(window: HostWindow, kind: number, process: number, usual: number): number {
  switch (counted[kind]) {
    case "fsync":
      return (window.syncs[process] as number) || usual;
    case "openat":
      return (window.opens[process] as number) || usual;
    case "read":
      return usual + (window.reads[process] as number);
    case "write":
      return usual + (window.writes[process] as number);
    default:
      return usual;
  }
}
