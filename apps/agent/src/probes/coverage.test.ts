// SPDX-License-Identifier: Apache-2.0
import { catalogue } from "@waggle/signals";
import { describe, expect, it } from "vitest";
import { coverageOf } from "./coverage.ts";
import type { ProgramState } from "./probe-set.ts";
import { programPlans } from "./programs.ts";

const attached = (): ProgramState[] => programPlans.map(({ name, hook }) => ({ program: name, hook, attached: true, failure: null }));
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

  it("says failed for a program that failed in this window only", () => {
    const coverage = coverageOf(attached(), new Map([["on_tcp_inventory", "on_tcp_inventory: EIO"]]));
    expect(stateOf(coverage, "tcp_rtt")).toEqual({ signal: "tcp_rtt", state: "failed", reason: "on_tcp_inventory: EIO" });
    expect(stateOf(coverage, "tcp_connect_latency")?.state).toBe("exact");
  });

  it("never claims a program it was told nothing about", () => {
    expect(coverageOf([]).every(({ state, reason }) => state === "failed" && reason !== "")).toBe(true);
  });
});
