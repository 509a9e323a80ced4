// SPDX-License-Identifier: Apache-2.0
import { getSignalOrThrow } from "@waggle/signals";
import { describe, expect, it } from "vitest";
import { AskedTogether } from "./asked-together.ts";
import type { Plan } from "./sql.ts";

const plan = (
  signal: string,
  { hosts = ["h"], fromMs = 0, count = 1 }: { hosts?: readonly string[]; fromMs?: number; count?: number } = {},
): Plan => ({
  tenant: "t",
  signal: getSignalOrThrow(signal),
  selections: [],
  by: [],
  filters: [],
  hosts,
  steps: { fromMs, toMs: fromMs + count * 10_000, stepMs: 10_000, count },
  limit: 10,
});

describe("signals that are asked together", () => {
  it("are those that were asked about the same hosts lately, whatever the range", () => {
    const together = new AskedTogether();
    expect(together.signalsFor(plan("tcp_rtt"), 0)).toEqual(["tcp_rtt"]);
    expect(together.signalsFor(plan("syscalls", { fromMs: 10_000 }), 1_000)).toEqual(["syscalls", "tcp_rtt"]);
    expect(together.signalsFor(plan("syscalls", { hosts: ["other"] }), 1_000)).toEqual(["syscalls"]);
    expect(together.signalsFor({ ...plan("syscalls"), tenant: "another" }, 1_000)).toEqual(["syscalls"]);
    expect(together.signalsFor(plan("tcp_rtt", { fromMs: 50_000 }), 31_500)).toEqual(["tcp_rtt"]);
  });

  it("are the same list for all questions of one range, so that their statements are the same", () => {
    const together = new AskedTogether();
    for (const signal of ["tcp_rtt", "syscalls"]) together.signalsFor(plan(signal), 0);
    const first = together.signalsFor(plan("tcp_rtt", { fromMs: 10_000 }), 10_000);
    together.signalsFor(plan("syscall_errors", { fromMs: 99_990_000 }), 10_000);
    expect(together.signalsFor(plan("syscalls", { fromMs: 10_000 }), 10_500)).toBe(first);
    expect(together.signalsFor(plan("syscall_errors", { fromMs: 10_000 }), 10_600)).toEqual(["syscall_errors", "syscalls", "tcp_rtt"]);
  });

  it("are the one alone where an answer about all would be long", () => {
    const together = new AskedTogether();
    for (const signal of ["tcp_rtt", "syscalls", "cpu_time"]) together.signalsFor(plan(signal), 0);
    expect(together.signalsFor(plan("tcp_rtt", { hosts: ["h"], count: 600 }), 0)).toHaveLength(3);
    const [a, b] = [{ hosts: ["h"], count: 5_001 }, plan("syscalls", { count: 5_001 })];
    expect(together.signalsFor(plan("tcp_rtt", a), 0)).toEqual(["tcp_rtt"]);
    expect(together.signalsFor(b, 0)).toEqual(["syscalls"]);
  });
});
