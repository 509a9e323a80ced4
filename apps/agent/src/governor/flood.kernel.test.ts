// SPDX-License-Identifier: Apache-2.0
import { setTimeout } from "node:timers/promises";
import { afterAll, beforeAll, expect, it } from "vitest";
import { describeKernel, hurry, openSource, rowsOf, sumOf, Workload } from "../../test/kernel-testing.ts";
import { GovernedSource, type GovernedWindow } from "./governed-source.ts";

const WINDOW_MS = 1_000;
/** Bounds of the flood, whatever becomes of the test. */
const FLOOD_CALLS = 60_000_000;
/** Shares of a core that nothing here reaches: nothing is done about the cost. */
const NO_BUDGET = 10;

const costOf = (window: GovernedWindow): number => window.governor.kernel;
const stateOf = (window: GovernedWindow, signal: string): string | undefined => window.coverage.find((entry) => entry.signal === signal)?.state;
const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] as number;

describeKernel("a flood of system calls", () => {
  let source: GovernedSource;
  let workload: Workload;
  const next = async (): Promise<GovernedWindow> => {
    await setTimeout(WINDOW_MS);
    return source.readWindow();
  };

  beforeAll(async () => {
    workload = new Workload();
    // The process of this test does much more than an agent: only the kernel's side is held to the budget.
    source = new GovernedSource(await openSource(), { budget: NO_BUDGET, cpuNs: () => 0 });
  });
  afterAll(() => {
    source?.close();
    workload?.[Symbol.dispose]();
  });

  it("is brought under the budget within three windows, is said to be shed, takes no more memory, and everything is back when it is over", async () => {
    const calm = [await next(), await next(), await next()];
    const flooder = new Workload();
    const flood = flooder.run("wgl-flood", "getppid", [FLOOD_CALLS]).catch(() => {});
    await setTimeout(100);
    hurry("wgl-flood");
    const free = [await next(), await next()];
    const [calmCost, freeCost] = [median(calm.map(costOf)), median(free.map(costOf))];
    expect(freeCost).toBeGreaterThan(3 * calmCost);
    const budget = calmCost + (freeCost - calmCost) / 3;
    source.setBudget(budget);
    const windows: GovernedWindow[] = [];
    for (let window = 0; window < 8; window++) windows.push(await next());
    const later = windows.slice(3);
    // Of five, as the machine's other work may make one dearer.
    const costs = [calm, free, windows].map((some) => some.map((window) => costOf(window).toFixed(3)).join(" "));
    expect(median(later.map(costOf)), costs.join(" | ")).toBeLessThanOrEqual(budget);
    for (const window of later) {
      expect(stateOf(window, "syscalls")).toMatch(/^(shed|sampled)$/);
      expect(stateOf(window, "tcp_connections")).toBe("exact");
      expect(window.mapBytes).toBe(calm[0]?.mapBytes);
    }
    flooder[Symbol.dispose]();
    await flood;
    let last = windows.at(-1) as GovernedWindow;
    for (let window = 0; window < 60 && stateOf(last, "syscalls") !== "exact"; window++) last = await next();
    expect(stateOf(last, "syscalls")).toBe("exact");
    await workload.run("wgl-after", "getppid", [1009]);
    expect(sumOf(rowsOf(await next(), "syscalls", { process: "wgl-after", syscall: "getppid" }), "count")).toBe(1009);
  });
});
