// SPDX-License-Identifier: Apache-2.0
import { readdirSync, readlinkSync } from "node:fs";
import { expect, it } from "vitest";
import { describeKernel, openSource, rowsOf, sumOf, Workload } from "../../test/kernel-testing.ts";
import { loadConfig } from "../config/config.ts";
import { programPlans } from "../probes/programs.ts";
import { watchInit } from "./init-sight.ts";
import { tryPrograms } from "./trial.ts";

/** Programs, maps and attachments that this process holds. */
function bpfDescriptors(): Record<string, number> {
  const targets = readdirSync("/proc/self/fd").flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/self/fd/${fd}`)];
    } catch {
      return [];
    }
  });
  const counts: Record<string, number> = {};
  for (const target of targets) if (/bpf|perf_event/.test(target)) counts[target] = (counts[target] ?? 0) + 1;
  return counts;
}

describeKernel("doctor's trial of all programs", () => {
  it("leaves nothing behind", async () => {
    const before = bpfDescriptors();
    const trial = await tryPrograms(loadConfig({}).config);
    expect(trial.programs.filter(({ attached }) => attached).length).toBeGreaterThan(0);
    expect(bpfDescriptors()).toEqual(before);
  });

  it("leaves a running agent's counts as they are", async () => {
    using workload = new Workload();
    using source = await openSource();
    await source.readWindow();
    const [trial] = await Promise.all([tryPrograms(loadConfig({}).config), workload.run("wgl-doctor-a", "getppid", [1009])]);
    await workload.run("wgl-doctor-b", "getppid", [10_007]);
    const window = await source.readWindow();
    expect(sumOf(rowsOf(window, "syscalls", { process: "wgl-doctor-a", syscall: "getppid" }), "count")).toBe(1009);
    expect(sumOf(rowsOf(window, "syscalls", { process: "wgl-doctor-b", syscall: "getppid" }), "count")).toBe(10_007);
    expect(sumOf(rowsOf(window, "syscall_latency", { process: "wgl-doctor-b", syscall: "getppid" }), "count")).toBe(10_007);
    // The trial says of this kernel what the agent itself finds.
    const attached = (programs: readonly { program: string; attached: boolean }[]) =>
      programs.filter((entry) => entry.attached).map(({ program }) => program);
    expect(attached(trial.programs)).toEqual(attached(source.programs()));
    for (const [program, bytes] of trial.jitedBytes) expect(bytes, program).toBeGreaterThan(0);
    expect(trial.programs.length).toBeLessThanOrEqual(programPlans.length);
  });
});

describeKernel("doctor's look at init", () => {
  it("sees init be switched to as often as it gets a CPU, and leaves nothing behind", async () => {
    const before = bpfDescriptors();
    const { switchesTo, switchesFrom } = await watchInit(loadConfig({}).config);
    expect(bpfDescriptors()).toEqual(before);
    // All of them are seen, or none is.
    expect(switchesFrom === 0 || Math.abs(switchesTo - switchesFrom) <= readdirSync("/proc/1/task").length).toBe(true);
  });
});
