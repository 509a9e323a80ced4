// SPDX-License-Identifier: Apache-2.0
import { setTimeout } from "node:timers/promises";
import { afterAll, beforeAll, expect, it } from "vitest";
import { describeKernel, openSource, rowsOf, sumOf, Workload } from "../../test/kernel-testing.ts";
import { GovernedSource, type GovernedWindow } from "./governed-source.ts";

const WINDOW_MS = 1_000;
/** The process of this test does much more than an agent: only the kernel's side is held to the budget. */
const BUDGET = 0.04;
/** Bounds of the flood, whatever becomes of the test. */
const FLOOD_CALLS = 40_000_000;

const costOf = (window: GovernedWindow): number => window.governor.kernel;
const stepsOf = (window: GovernedWindow): string[] => window.governor.steps.map(({ name }) => name);
const stateOf = (window: GovernedWindow, signal: string): string | undefined => window.coverage.find((entry) => entry.signal === signal)?.state;

describeKernel("a flood of system calls", () => {
  let source: GovernedSource;
  let workload: Workload;
  const next = async (): Promise<GovernedWindow> => {
    await setTimeout(WINDOW_MS);
    return source.readWindow();
  };

  beforeAll(async () => {
    workload = new Workload();
    source = new GovernedSource(await openSource(), { budget: BUDGET, cpuNs: () => 0 });
  });
  afterAll(() => {
    source?.close();
    workload?.[Symbol.dispose]();
  });

  it("costs less than the budget from the third window on, is said to be shed, takes no more memory, and everything is back when it is over", async () => {
    for (let window = 0; window < 3; window++) await next();
    const calm = await next();
    const flooder = new Workload();
    const flood = flooder.run("wgl-flood", "getppid", [FLOOD_CALLS]).catch(() => {});
    const windows: GovernedWindow[] = [];
    for (let window = 0; window < 8; window++) windows.push(await next());
    expect(costOf(windows[0] as GovernedWindow)).toBeGreaterThan(BUDGET);
    for (const window of windows.slice(3)) {
      expect(costOf(window)).toBeLessThanOrEqual(BUDGET);
      expect(stateOf(window, "syscalls")).toMatch(/^(shed|sampled)$/);
      expect(stateOf(window, "tcp_connections")).toBe("exact");
      expect(window.mapBytes).toBe(calm.mapBytes);
    }
    expect(stepsOf(windows.at(-1) as GovernedWindow).length).toBeGreaterThan(0);
    flooder[Symbol.dispose]();
    await flood;
    let last = windows.at(-1) as GovernedWindow;
    for (let window = 0; window < 60 && stateOf(last, "syscalls") !== "exact"; window++) last = await next();
    expect(stateOf(last, "syscalls")).toBe("exact");
    await workload.run("wgl-after", "getppid", [1009]);
    expect(sumOf(rowsOf(await next(), "syscalls", { process: "wgl-after", syscall: "getppid" }), "count")).toBe(1009);
  }, 120_000);
});
