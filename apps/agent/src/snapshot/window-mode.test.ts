// SPDX-License-Identifier: Apache-2.0
import { catalogue } from "@waggle/signals";
import { describe, expect, it } from "vitest";
import { hookFamilies, signalsOfFamily } from "../probes/hook-families.ts";
import { programPlans } from "../probes/programs.ts";
import { coarseKeys, exactMode, modeFields, qualify, signalsOfKey, unwantedPrograms, type WindowMode } from "./window-mode.ts";

const exact = catalogue.filter(({ bpf }) => bpf !== null).map(({ name }) => ({ signal: name, state: "exact" as const, reason: "" }));
const off = (...signals: string[]): WindowMode => ({
  ...exactMode,
  off: new Map(signals.map((signal) => [signal, { state: "disabled" as const, reason: "not wanted" }])),
});
const stateOf = (mode: WindowMode, signal: string) => qualify(exact, mode).find((entry) => entry.signal === signal);
const fields = new Set(["off_syscall_latency", "off_file_io", "off_calls"]);
const all = (): boolean => true;

describe("a window's mode", () => {
  it("is all zero for everything, which says nothing and takes no program off its hook", () => {
    expect(modeFields(exactMode, fields, all)).toEqual({});
    expect(unwantedPrograms(exactMode).size).toBe(0);
    expect(qualify(exact, exactMode)).toEqual(exact);
  });

  it("ends a map only when all of its signals are off, and a family with the last of its signals", () => {
    expect(modeFields(off("syscalls"), fields, all)).toEqual({});
    expect(modeFields(off("syscalls", "syscall_latency"), fields, all)).toEqual({ off_syscall_latency: 1 });
    const calls = signalsOfFamily(hookFamilies[0] as (typeof hookFamilies)[number]);
    expect(modeFields(off(...calls), fields, all)).toEqual({ off_syscall_latency: 1, off_file_io: 1, off_calls: 1 });
  });

  it("takes programs off that feed nothing else, and keeps those that note something for others", () => {
    expect(unwantedPrograms(off("block_io", "block_latency"))).toEqual(new Set());
    expect(unwantedPrograms(off("block_io", "block_latency", "block_errors"))).toEqual(new Set(["on_block_rq_complete"]));
    const tcp = catalogue.filter(({ name, family }) => family === "tcp" || name === "packet_drops").map(({ name }) => name);
    expect(unwantedPrograms(off(...tcp))).toContain("on_inet_sock_set_state");
    expect(unwantedPrograms(off(...tcp.filter((name) => name !== "packet_drops")))).not.toContain("on_inet_sock_set_state");
    const everything = unwantedPrograms(off(...exact.map(({ signal }) => signal)));
    for (const plan of programPlans) if (plan.tracepoint !== null) expect(everything).toContain(plan.name);
  });

  it("says of each signal what it means for it, the worst first to be seen", () => {
    const mode: WindowMode = {
      off: new Map([["tcp_rtt", { state: "shed", reason: "over the budget" }]]),
      sampling: new Map([["calls", { shift: 6, reason: "over the budget" }]]),
      coarse: new Map([["file", "over the budget"]]),
    };
    expect(stateOf(mode, "syscalls")).toEqual({
      signal: "syscalls",
      state: "sampled",
      reason: "1 of 64 system calls, each counted as 64: over the budget",
    });
    expect(stateOf(mode, "file_io")?.state).toBe("sampled");
    expect(stateOf(mode, "file_io")?.reason).toContain("files are not told apart");
    expect(stateOf(mode, "dns_queries")?.state).toBe("shed");
    expect(stateOf(mode, "off_cpu")?.state).toBe("fallback");
    expect(stateOf(mode, "tcp_rtt")).toEqual({ signal: "tcp_rtt", state: "shed", reason: "over the budget" });
    expect(stateOf(mode, "tcp_connections")?.state).toBe("exact");
  });

  it("leaves what this kernel cannot do at all unsupported", () => {
    const unsupported = [{ signal: "tcp_rtt", state: "unsupported" as const, reason: "no such hook" }];
    expect(qualify(unsupported, off("tcp_rtt"))).toEqual(unsupported);
  });

  it("has signals to every coarse key and every family", () => {
    for (const key of Object.keys(coarseKeys)) expect(signalsOfKey(key as keyof typeof coarseKeys).length).toBeGreaterThan(0);
    for (const family of hookFamilies) {
      expect(signalsOfFamily(family).length).toBeGreaterThan(0);
      for (const program of family.programs) expect(programPlans.map(({ name }) => name)).toContain(program);
    }
  });
});
