// SPDX-License-Identifier: Apache-2.0
import { catalogue } from "@waggle/signals";
import { describe, expect, it } from "vitest";
import { coverageOf } from "./coverage.ts";
import type { ProgramState } from "./program-state.ts";
import { programPlans } from "./programs.ts";

const attached = (): ProgramState[] =>
  programPlans.map(({ name, hook, without = null }) => ({
    program: name,
    hook,
    attached: true,
    isDetached: false,
    failure: null,
    decision: {},
    without,
    insteadOf: null,
  }));
const without = (name: string, state: "unsupported" | "failed"): ProgramState[] =>
  attached().map((program) =>
    program.program === name
      ? { ...program, attached: false, failure: { program: name, step: "load", errno: 3, errnoName: "ESRCH", state, message: `${name}: why` } }
      : program,
  );
const stateOf = (coverage: ReturnType<typeof coverageOf>, signal: string) => coverage.find((entry) => entry.signal === signal);

describe("coverageOf", () => {
  it("speaks of every signal that has a map, and knows every program that one needs", () => {
    const names = catalogue.filter(({ bpf }) => bpf !== null).map(({ name }) => name);
    expect(coverageOf(attached())).toEqual(names.map((signal) => ({ signal, state: "exact", reason: "" })));
    const known = programPlans.map(({ name }) => name);
    for (const { bpf } of catalogue) for (const program of bpf?.programs ?? []) expect(known).toContain(program);
  });

  it("takes only those signals away that need the absent program", () => {
    const coverage = coverageOf(without("on_sys_enter", "unsupported"));
    expect(stateOf(coverage, "syscall_latency")).toEqual({ signal: "syscall_latency", state: "unsupported", reason: "on_sys_enter: why" });
    expect(stateOf(coverage, "syscalls")?.state).toBe("exact");
  });

  it("says fallback for a program that another one stands in for, and for a signal that lacks something of its own", () => {
    const standIn: ProgramState = {
      ...(attached()[0] as ProgramState),
      program: "on_other",
      insteadOf: { program: "on_sys_enter", reason: "timed in another way" },
      decision: { signals: { syscall_latency: { state: "unsupported", reason: "no clock" } } },
    };
    const coverage = coverageOf([...without("on_sys_enter", "unsupported"), { ...standIn, decision: {} }]);
    expect(stateOf(coverage, "syscall_latency")).toEqual({ signal: "syscall_latency", state: "fallback", reason: "timed in another way" });
    expect(stateOf(coverage, "syscalls")?.state).toBe("exact");
    const worse = coverageOf([...without("on_sys_enter", "unsupported"), standIn]);
    expect(stateOf(worse, "syscall_latency")).toMatchObject({ state: "unsupported", reason: "timed in another way; no clock" });
  });

  it("says fallback, and what is missing, for a signal that can do without an absent program", () => {
    const coverage = coverageOf(without("on_tcp_cong_state_set", "unsupported"));
    expect(stateOf(coverage, "tcp_congestion")).toEqual({
      signal: "tcp_congestion",
      state: "fallback",
      reason: "states are read once per window, how often they were entered is not counted (on_tcp_cong_state_set: why)",
    });
    expect(stateOf(coverage, "socket_buffers")?.state).toBe("exact");
  });

  it("says failed for a program that failed in this window only", () => {
    const coverage = coverageOf(attached(), new Map([["on_tcp_inventory", "on_tcp_inventory: EIO"]]));
    expect(stateOf(coverage, "tcp_rtt")).toEqual({ signal: "tcp_rtt", state: "failed", reason: "on_tcp_inventory: EIO" });
    expect(stateOf(coverage, "tcp_connect_latency")?.state).toBe("exact");
  });

  it("never claims a program it was told nothing about", () => {
    expect(coverageOf([]).every(({ state, reason }) => state === "failed" && reason !== "")).toBe(true);
  });
});
