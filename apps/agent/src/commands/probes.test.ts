// SPDX-License-Identifier: Apache-2.0
import { catalogue } from "@waggle/signals";
import { describe, expect, it } from "vitest";
import { reportOfRunning, reportWithout } from "../probes/probe-report.ts";
import type { ProgramState } from "../probes/program-state.ts";
import { programPlans } from "../probes/programs.ts";
import { mergeFills, type StatusReport } from "../status/status-report.ts";
import { renderProbes } from "./probes.ts";

const fill = (map: string, copy: "a" | "b" | null, entries: number) => ({ map, copy, entries, entriesMax: 1_000 });
const status = {
  lastWindow: {
    startMs: 0,
    lengthMs: 10_000,
    programs: [
      { program: "on_sys_exit", attached: true, reason: "", eventsPerSecond: 100_000, nsPerEvent: 50, coreRatio: 0.005 },
      { program: "on_sys_enter", attached: false, reason: "EPERM at load", eventsPerSecond: 0, nsPerEvent: 0, coreRatio: 0 },
    ],
    signals: [
      { signal: "syscalls", state: "sampled", reason: "1 of 8 system calls", rows: 23 },
      { signal: "syscall_latency", state: "failed", reason: "EPERM at load", rows: 0 },
    ],
    fills: [fill("syscall_latency", "a", 100), fill("syscall_latency", "b", 250), fill("processes", null, 7)],
  },
} as unknown as StatusReport;

describe("probes list", () => {
  const report = reportOfRunning(status);
  const of = (signal: string) => report.signals.find((entry) => entry.signal === signal);

  it("says of each signal what feeds it, how well, at what price, and how full both copies of its map were", () => {
    expect(of("syscalls")).toMatchObject({
      state: "sampled",
      reason: "1 of 8 system calls",
      rows: 23,
      programs: [{ program: "on_sys_exit", hook: "tp_btf/sys_exit", attached: true, eventsPerSecond: 100_000, nsPerEvent: 50, coreRatio: 0.005 }],
      map: { map: "syscall_latency", entriesA: 100, entriesB: 250, entriesMax: 1_000 },
    });
    expect(report.sharedMaps).toEqual([{ map: "processes", entriesA: 7, entriesB: null, entriesMax: 1_000 }]);
  });

  it("gives no price to a program that is not attached, and no zero where nobody knows", () => {
    const enter = of("syscall_latency")?.programs.find(({ program }) => program === "on_sys_enter");
    expect(enter).toMatchObject({ attached: false, reason: "EPERM at load", eventsPerSecond: null, nsPerEvent: null, coreRatio: null });
    expect(of("tcp_rtt")).toMatchObject({ state: null, rows: null, map: { entriesA: null } });
  });

  it("names every signal that hosts measure, each with hooks", () => {
    const names = catalogue.filter(({ source, family }) => source !== "server" && family !== "agent").map(({ name }) => name);
    expect(report.signals.map(({ signal }) => signal)).toEqual(expect.arrayContaining(names));
    for (const { signal, programs, hooks } of report.signals) expect(programs.length + hooks.length, signal).toBeGreaterThan(0);
  });

  it("shows the fuller copy's share, and what is not exact below", () => {
    const text = renderProbes(report, 12_000);
    expect(text).toMatch(/^window of 10 s that ended .* \(2 s ago\)\n/);
    expect(text).toMatch(/syscalls +sampled +23 +tp_btf\/sys_exit +100 k\/s +50 ns +0\.5 % +100 \/ 250 of 1 k \(25 %\)/);
    expect(text).toMatch(/processes +7 of 1 k/);
    expect(text).toContain("  syscalls: 1 of 8 system calls");
  });

  it("says that no agent runs, and then only what the kernel lets expect", () => {
    const states = programPlans.map(
      ({ name, hook }): ProgramState => ({
        program: name,
        hook,
        attached: name !== "on_tcp_cong_state_set",
        isDetached: false,
        failure: null,
        decision: {},
        without: null,
        insteadOf: null,
      }),
    );
    const expected = reportWithout("no agent runs", states);
    expect(expected).toMatchObject({ basis: "expected", windowEndMs: null });
    expect(expected.signals.find(({ signal }) => signal === "syscalls")).toMatchObject({
      state: "exact",
      rows: null,
      programs: [{ eventsPerSecond: null }],
    });
    expect(expected.signals.find(({ signal }) => signal === "host_load")?.state).toBeNull();
    const text = renderProbes(expected, 0);
    expect(text).toMatch(/^no agent runs\n/);
    expect(text).toContain("EXPECTED");
    expect(reportWithout("no agent runs").basis).toBe("unknown");
  });
});

describe("fills of maps", () => {
  it("keep the other copy's as it was last read", () => {
    const first = mergeFills([], [fill("syscalls", "a", 1), fill("processes", null, 1)]);
    const second = mergeFills(first, [fill("syscalls", "b", 2), fill("processes", null, 3)]);
    expect(second).toEqual([fill("syscalls", "a", 1), fill("processes", null, 3), fill("syscalls", "b", 2)]);
  });
});
