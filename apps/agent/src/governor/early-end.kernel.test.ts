// SPDX-License-Identifier: Apache-2.0
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { afterAll, beforeAll, expect, it, onTestFinished } from "vitest";
import { describeKernel, hurry, openSource, Workload } from "../../test/kernel-testing.ts";
import { SystemClock } from "../host/clock.ts";
import { silentLogger } from "../log.ts";
import { exactMode } from "../snapshot/window-mode.ts";
import { Spool } from "../spool/spool.ts";
import { ServerClock } from "../stream/server-clock.ts";
import type { ClosedWindow } from "../window/clock.ts";
import { WindowLoop } from "../window/window-loop.ts";
import { GovernedSource, type GovernedWindow } from "./governed-source.ts";

const WINDOW_MS = 10_000;
const LOOPBACK = "127.0.0.1";
const PORT = 47_613;
/** Bounds of the floods, whatever becomes of the test. */
const FLOOD_CALLS = 200_000_000;
const WINDOWS_MAX = 4;
/** Shares of a core that nothing here reaches: nothing is done about the cost. */
const NO_BUDGET = 10;
/** Changes of a connection's state of which the kernel did not tell the program. */
const SKIPPED = "recursion:on_inet_sock_set_state";
/** Connections of one client. */
const CONNECTIONS = 97;

interface Seen {
  readonly window: ClosedWindow;
  readonly data: GovernedWindow;
  readonly opened: number;
}
const stateOf = ({ data }: Seen, signal: string): string | undefined => data.coverage.find((entry) => entry.signal === signal)?.state;
const boundaryOf = ({ window }: Seen): number => Math.floor(window.startMs / WINDOW_MS);

describeKernel("a flood of system calls that begins out of nowhere", () => {
  let source: GovernedSource;
  let workload: Workload;
  let stateDirectory: string;
  beforeAll(async () => {
    workload = new Workload();
    stateDirectory = mkdtempSync(join(tmpdir(), "waggle-early-end-"));
    await workload.start("wgl-server", "serve", [LOOPBACK, PORT]);
  });
  afterAll(() => {
    workload?.[Symbol.dispose]();
    rmSync(stateDirectory, { recursive: true, force: true });
  });

  /** Returns what ends it. */
  const flood = async (): Promise<() => Promise<void>> => {
    const flooder = new Workload();
    const run = flooder.run("wgl-flood", "getppid", [FLOOD_CALLS]).catch(() => {});
    await setTimeout(100);
    hurry("wgl-flood");
    return async () => {
      flooder[Symbol.dispose]();
      await run;
    };
  };
  /** Share of a core that the programs take while something goes on. */
  const priceOf = async (start?: () => Promise<() => Promise<void>>): Promise<number> => {
    await source.readWindow();
    const end = await start?.();
    await setTimeout(2_000);
    const { governor } = await source.readWindow();
    await end?.();
    // What was left of it is in nobody's window.
    await source.readWindow();
    return governor.kernel;
  };

  it("ends the window under way, what is given up for it is in force before that window would have ended, and what is not given up is counted on both sides of the cut", async () => {
    // The process of this test does much more than an agent: only the kernel's side is held to the budget.
    source = new GovernedSource(await openSource(), { budget: NO_BUDGET, cpuNs: () => 0 });
    onTestFinished(() => source.close());
    const seen: Seen[] = [];
    const waiting: (() => void)[] = [];
    let opened = 0;
    const loop = new WindowLoop({
      source: {
        beginWindow: (plan) => source.beginWindow(plan),
        look: () => source.look(),
        readWindow: async (rowsMax) => {
          const data = await source.readWindow(rowsMax);
          opened = Number(data.rows.total("tcp_connections", "opened", { process: "wgl-steady" }) ?? 0n);
          return data;
        },
        close: () => {},
      },
      spool: Spool.open({ stateDirectory, bytesMax: 1e8, framesMax: 100, log: silentLogger }),
      clock: new SystemClock(),
      serverClock: new ServerClock(7n),
      identity: { machineKey: "a".repeat(64), machineKeySource: "machine-id", bootId: "boot", bootTag: 7n },
      windowMs: WINDOW_MS,
      log: silentLogger,
      onWindow: ({ window, data }) => {
        seen.push({ window, data: data as GovernedWindow, opened });
        for (const resolve of waiting.splice(0)) resolve();
      },
    });
    const next = async (): Promise<Seen> => {
      await new Promise<void>((resolve) => waiting.push(resolve));
      return seen.at(-1) as Seen;
    };
    const calm = await priceOf();
    const free = await priceOf(flood);
    expect(free).toBeGreaterThan(3 * calm);
    // A half of a window of it is more than twice what all of the window may cost.
    source.setBudget(calm + (free - calm) / 5);

    loop.start();
    await next();
    const end = await flood();
    let clients = 0;
    let isOver = false;
    const steady = (async () => {
      for (; !isOver; clients++) await workload.run("wgl-steady", "connect", [LOOPBACK, PORT, CONNECTIONS]);
    })();
    let cut = await next();
    for (let windows = 0; windows < WINDOWS_MAX && cut.data.governor.endedEarly === null; windows++) cut = await next();
    const rest = await next();
    isOver = true;
    await steady;
    await end();
    await loop.stop();

    const story = seen.map(
      ({ window, data }) => `${window.startMs % 100_000}+${window.lengthMs} ${data.governor.kernel.toFixed(3)} ${data.governor.endedEarly}`,
    );
    expect(cut.data.governor.endedEarly, story.join("\n")).not.toBeNull();
    expect(cut.window.lengthMs).toBeLessThan(WINDOW_MS);
    expect(stateOf(cut, "syscalls")).toBe("exact");
    expect(cut.data.governor.steps.length).toBeGreaterThan(0);
    expect(boundaryOf(rest)).toBe(boundaryOf(cut));
    expect(stateOf(rest, "syscalls")).toMatch(/^(shed|sampled)$/);
    expect(rest.data.governor.kernel).toBeLessThan(cut.data.governor.kernel);
    for (const [index, { window }] of seen.slice(1).entries()) {
      const before = (seen[index] as Seen).window;
      expect(window.startMs, story.join("\n")).toBe(before.startMs + before.lengthMs);
    }
    for (const one of seen) expect(stateOf(one, "tcp_connections")).toBe("exact");
    const counted = seen.reduce((sum, one) => sum + one.opened, 0);
    // A kernel that lets programs be preempted skips those of the same hook meanwhile, which beside a flood may be long; it counts what it skips.
    const skipped = seen.flatMap(({ data }) => data.drops).reduce((sum, { reason, count }) => sum + (reason === SKIPPED ? Number(count) : 0), 0);
    expect(counted).toBeLessThanOrEqual(clients * CONNECTIONS);
    expect(counted + skipped, `${skipped} skipped\n${story.join("\n")}`).toBeGreaterThanOrEqual(clients * CONNECTIONS);
  });

  it("is counted as sampling promises when it is sampled from the flip on that it came before", async () => {
    using kernel = await openSource();
    const CALLS = 1_000_003;
    const weight = 8;
    const run = workload.run("wgl-across", "getppid", [CALLS]);
    const across = { process: "wgl-across", syscall: "getppid" };
    const mode = { ...exactMode, sampling: new Map([["calls", { shift: 3, reason: "a test asks for it" }]] as const) };
    const before = await kernel.readWindow(undefined, () => kernel.setSavings(mode));
    const exact = Number(before.rows.total("syscalls", "count", across) ?? 0n);
    await run;
    const after = await kernel.readWindow();
    const sampled = Number(after.rows.total("syscalls", "count", across) ?? 0n);
    expect(after.coverage.find(({ signal }) => signal === "syscalls")).toMatchObject({ state: "sampled" });
    expect(exact).toBeLessThan(CALLS);
    // Five standard deviations of a binomial count.
    expect(Math.abs(exact + sampled - CALLS)).toBeLessThan(5 * Math.sqrt((CALLS - exact) * (weight - 1)));
  });
});
