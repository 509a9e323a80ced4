// SPDX-License-Identifier: Apache-2.0
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { describeKernel, kernelTells, objectDirectory, openSource, rowsOf, sumOf, Workload } from "../../test/kernel-testing.ts";
import { MAP_BYTES_MAX, readMapShapes } from "../probes/probe-set.ts";
import { programPlans } from "../probes/programs.ts";
import { exactMode, type WindowMode } from "../snapshot/window-mode.ts";
import type { KernelSource, WindowData } from "../snapshot/window-reader.ts";
import { planMaps } from "./map-plan.ts";

const CALLS = 400_009;
const SHIFT = 3;
/** Standard deviations of a binomial count within which 1 - 1e-6 of all outcomes lie (normal approximation: 4.9). */
const DEVIATIONS = 5;

const sampled = (name: "calls" | "switches" | "softirqs"): WindowMode => ({
  ...exactMode,
  sampling: new Map([[name, { shift: SHIFT, reason: "a test asks for it" }]]),
});
const stateOf = (window: WindowData, signal: string) => window.coverage.find((entry) => entry.signal === signal);
const programOf = (window: WindowData, program: string) => window.programs.find((entry) => entry.program === program);

describeKernel("the memory of maps", () => {
  it("is at most 32 MiB for 128 CPUs, with room for thousands of keys in the maps that need it", () => {
    const plan = planMaps(readMapShapes(objectDirectory, programPlans), 128, MAP_BYTES_MAX);
    expect(plan.bytes).toBeLessThanOrEqual(32 * 2 ** 20);
    const entriesOf = (map: string): number => plan.maps.find(({ name }) => name === map)?.entries ?? 0;
    expect(entriesOf("syscall_latency_a")).toBeGreaterThan(16_384);
    expect(entriesOf("tcp_connections_b")).toBeGreaterThan(8_192);
    expect(entriesOf("processes")).toBeGreaterThan(8_192);
  });
});

describeKernel("how a window is measured", () => {
  let source: KernelSource;
  let workload: Workload;
  const calls = async (comm: string, count = CALLS): Promise<WindowData> => {
    await workload.run(comm, "getppid", [count]);
    return source.readWindow();
  };

  beforeAll(async () => {
    workload = new Workload();
    source = await openSource();
  });
  afterAll(() => {
    source?.close();
    workload?.[Symbol.dispose]();
  });

  describe("sampling", () => {
    it("of one call in 8 gives the number of calls within its binomial bounds, says so, and is exact again afterwards", async () => {
      source.setSavings(sampled("calls"));
      await source.readWindow();
      const window = await calls("wgl-sampled");
      source.setSavings(exactMode);
      const row = { process: "wgl-sampled", syscall: "getppid" };
      const weight = 2 ** SHIFT;
      const bound = DEVIATIONS * Math.sqrt(CALLS * (weight - 1));
      for (const signal of ["syscalls", "syscall_latency"]) {
        const count = sumOf(rowsOf(window, signal, row), "count");
        expect(count % weight).toBe(0);
        expect(Math.abs(count - CALLS)).toBeLessThan(bound);
        expect(count).not.toBe(CALLS);
        expect(stateOf(window, signal)).toMatchObject({ state: "sampled", reason: "1 of 8 system calls, each counted as 8: a test asks for it" });
      }
      expect(stateOf(window, "dns_queries")?.state).toBe("shed");
      expect(Number(programOf(window, "on_sys_exit")?.events)).toBeGreaterThanOrEqual(CALLS);
      await source.readWindow();
      const after = await calls("wgl-exact", 1009);
      expect(sumOf(rowsOf(after, "syscalls", { process: "wgl-exact", syscall: "getppid" }), "count")).toBe(1009);
      expect(sumOf(rowsOf(after, "syscall_latency", { process: "wgl-exact", syscall: "getppid" }), "count")).toBe(1009);
      expect(stateOf(after, "syscalls")).toMatchObject({ state: "exact" });
    });

    it("of waits for a CPU counts each as 8, and measures none that is longer than the window", async () => {
      source.setSavings(sampled("switches"));
      await source.readWindow();
      const startedAt = performance.now();
      await workload.run("wgl-sleeps", "sleep", [997, 1]);
      const window = await source.readWindow();
      source.setSavings(exactMode);
      const rows = rowsOf(window, "run_queue_latency", { process: "wgl-sleeps" });
      const count = sumOf(rows, "count");
      expect(count % 8).toBe(0);
      // Beside each sleep there may be preemptions, of which nobody knows the number.
      expect(count).toBeGreaterThan(997 - DEVIATIONS * Math.sqrt(997 * 7));
      const [row] = rows;
      expect(Number(row?.max)).toBeLessThan((performance.now() - startedAt) * 1e6);
      expect(stateOf(window, "run_queue_latency")?.state).toBe("sampled");
      await source.readWindow();
    });
  });

  describe("signals that are off", () => {
    it("have no rows and say who wants it so, their programs leave their hooks, and all are back without a restart", async () => {
      const all = [
        "syscalls",
        "syscall_errors",
        "syscall_latency",
        "file_io",
        "file_opens",
        "fsync_latency",
        "udp_traffic",
        "dns_queries",
        "tcp_accept_delay",
      ];
      source.setDisabled(new Set(all), "switched off by a test");
      await source.readWindow();
      const off = await calls("wgl-off");
      expect(rowsOf(off, "syscalls")).toEqual([]);
      for (const signal of all) expect(stateOf(off, signal)).toEqual({ signal, state: "disabled", reason: "switched off by a test" });
      for (const program of ["on_sys_enter", "on_sys_exit"]) expect(programOf(off, program)).toMatchObject({ attached: false });
      expect(programOf(off, "on_sys_exit")?.events).toBe(0n);
      // On a busy machine it is `sampled` as well, for a reason of its own.
      expect(stateOf(off, "off_cpu")?.reason).toContain("have no user stack");
      source.setDisabled(new Set(), "switched off by a test");
      await source.readWindow();
      const on = await calls("wgl-on", 1009);
      expect(sumOf(rowsOf(on, "syscalls", { process: "wgl-on", syscall: "getppid" }), "count")).toBe(1009);
      const [latency] = rowsOf(on, "syscall_latency", { process: "wgl-on", syscall: "getppid" });
      expect(latency).toMatchObject({ count: 1009n });
      expect(stateOf(on, "syscalls")).toMatchObject({ state: "exact" });
    });

    it("of a program that others need too cost a test only, and leave the others exact", async () => {
      source.setDisabled(new Set(["syscall_errors"]), "switched off by a test");
      await source.readWindow();
      await workload.run("wgl-gated", "enoent", [1013]);
      const window = await source.readWindow();
      source.setDisabled(new Set(), "switched off by a test");
      expect(rowsOf(window, "syscall_errors")).toEqual([]);
      expect(sumOf(rowsOf(window, "syscalls", { process: "wgl-gated", syscall: "openat" }), "count")).toBeGreaterThanOrEqual(1013);
      expect(stateOf(window, "syscalls")).toMatchObject({ state: "exact" });
      await source.readWindow();
    });
  });

  it("with coarser keys sums over files, and says so", async () => {
    source.setSavings({ ...exactMode, coarse: new Map([["file", "a test asks for it"]]) });
    await source.readWindow();
    await workload.run("wgl-coarse", "enoent", [1013]);
    const window = await source.readWindow();
    source.setSavings(exactMode);
    expect(rowsOf(window, "file_opens", { process: "wgl-coarse", result: "ENOENT" })).toMatchObject([{ file: "~other", count: 1013n }]);
    expect(stateOf(window, "file_opens")).toMatchObject({ state: "fallback", reason: "files are not told apart: a test asks for it" });
    await source.readWindow();
  });

  it("never takes more memory for maps than was planned, nor plans more than is allowed", async () => {
    const window = await source.readWindow();
    expect(window.mapPlan.bytes).toBeLessThanOrEqual(window.mapPlan.bytesMax);
    // What the kernel itself says.
    expect(window.mapBytes).toBeLessThanOrEqual(window.mapPlan.bytes);
    expect(window.mapBytes).toBeGreaterThan(window.mapPlan.bytes * (kernelTells.mapMemory ? 0.9 : 0.4));
  });
});
