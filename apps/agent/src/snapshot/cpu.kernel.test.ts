// SPDX-License-Identifier: Apache-2.0
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { WireRow } from "@waggle/signals";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { describeKernel, openSource, rowsOf, sumOf, Workload } from "../../test/kernel-testing.ts";
import type { KernelSource, WindowData } from "./window-reader.ts";

/** What the kernel itself says of a process with one thread (/proc/PID/schedstat): time on CPUs, time waiting for one, and how often it got one. */
interface Schedstat {
  readonly ranNs: number;
  readonly waitedNs: number;
  readonly waits: number;
}

const TRIES = 200;
const ROUNDS = 5;
const TICK_NS = 10_000_000;
const WINDOWS_THROUGH = 10;

/** Waits until the process sleeps, so that its figures stand still, and reads them. */
async function settledSchedstat(pid: number): Promise<Schedstat> {
  let last = "";
  for (let tries = 0; tries < TRIES; tries++) {
    const state = / \((.*)\) (\w) /s.exec(readFileSync(`/proc/${pid}/stat`, "utf8"))?.[2];
    const text = readFileSync(`/proc/${pid}/schedstat`, "utf8");
    if (state === "S" && text === last) {
      const [ranNs, waitedNs, waits] = text.trim().split(" ").map(Number) as [number, number, number];
      return { ranNs, waitedNs, waits };
    }
    last = text;
    await sleep(10);
  }
  throw new Error(`process ${pid} does not come to rest`);
}

/** Fields of /proc/PID/stat, by their number in proc(5). */
function statField(pid: number, field: number): number {
  const text = readFileSync(`/proc/${pid}/stat`, "utf8");
  return Number(text.slice(text.lastIndexOf(")") + 2).split(" ")[field - 3]);
}
const MINFLT = 10;
const MAJFLT = 12;
const UTIME = 14;
const STIME = 15;

/** The family. */
const signals = ["cpu_time", "run_queue_latency", "page_faults", "process_exec", "process_exits", "oom_kills"];

let workload: Workload;
let source: KernelSource;

/** Windows until the rows say what they should, as the last readings of threads come when the kernel lets go of them. */
async function windowsUntil(isComplete: (windows: readonly WindowData[]) => boolean, of = source): Promise<WindowData[]> {
  const windows: WindowData[] = [];
  for (let tries = 0; tries < TRIES; tries++) {
    windows.push(await of.readWindow());
    if (isComplete(windows)) break;
    await sleep(10);
  }
  return windows;
}

const cpuNs = (windows: WindowData | readonly WindowData[], process: string): number => {
  const rows = rowsOf(windows, "cpu_time", { process });
  return sumOf(rows, "user") + sumOf(rows, "system");
};

/** Runs children that use 10 ms each, or 10 ms in each of two threads of which the second then executes a program, and expects what wait4() says of them. */
async function expectChildren(of: KernelSource, count: number, name: string, executed?: string): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "waggle-cpu-"));
  const used = join(directory, "used");
  await of.readWindow();
  await workload.run(name, "burn-children", [count, 10, used, ...(executed === undefined ? [] : [workload.linkAs(executed)])]);
  const [usedNs, parentNs] = readFileSync(used, "utf8")
    .split(" ")
    .map((us) => Number(us) * 1000) as [number, number];
  rmSync(directory, { recursive: true });
  const ofBoth = (windows: readonly WindowData[]): number => cpuNs(windows, name) + (executed === undefined ? 0 : cpuNs(windows, executed));
  const windows = await windowsUntil((seen) => ofBoth(seen) >= usedNs, of);
  // The execution ends the first thread, whatever that has still to do.
  expect(usedNs).toBeGreaterThanOrEqual(count * 10e6);
  // The parent itself, which forks and waits, is in it too: in an emulated machine that takes longer than what the children do.
  expect(ofBoth(windows)).toBeGreaterThanOrEqual(usedNs);
  expect(ofBoth(windows)).toBeLessThan((usedNs + parentNs) * 1.25);
}

function withTasks(body: () => void): void {
  beforeAll(async () => {
    workload = new Workload("task-workload.c");
    source = await openSource({ signals });
  });
  afterAll(() => {
    source?.close();
    workload?.[Symbol.dispose]();
  });
  body();
}

describeKernel("waiting for a CPU", () =>
  withTasks(() => {
    it("counts each wait of a process that sleeps 1,009 times, and sums them, as /proc/PID/schedstat does", async () => {
      const running = await workload.start("wgl-waits", "sleep", [1009]);
      const before = await settledSchedstat(running.pid);
      const windows: WindowData[] = [];
      await source.readWindow();
      let waited: Schedstat;
      let rows: WireRow[];
      // Switches that the program was not called for (test/blind-spot.ts) are counted with the next wait (sched.bpf.c); when the last ones are among them, another
      // round brings it.
      for (let round = 0; ; round++) {
        await running.next();
        const after = await settledSchedstat(running.pid);
        windows.push(await source.readWindow());
        rows = rowsOf(windows, "run_queue_latency", { process: "wgl-waits" });
        waited = { ranNs: after.ranNs - before.ranNs, waitedNs: after.waitedNs - before.waitedNs, waits: after.waits - before.waits };
        if (sumOf(rows, "count") === waited.waits || round === ROUNDS) break;
      }
      await running.finish();
      expect(rows).toHaveLength(windows.length);
      expect(sumOf(rows, "count")).toBe(waited.waits);
      expect(sumOf(rows, "count")).toBeGreaterThanOrEqual(1009);
      expect(sumOf(rows, "sum")).toBe(waited.waitedNs);
      for (const row of rows) expect((row["c"] as bigint[]).reduce((sum, count) => sum + count, 0n)).toBe(row["count"]);
    });

    it("counts the waits of two processes that want one CPU: each waits while the other runs", async () => {
      const running = await workload.start("wgl-compete", "compete", [200]);
      await source.readWindow();
      await running.next();
      const rows = rowsOf(await source.readWindow(), "run_queue_latency", { process: "wgl-compete" });
      await running.finish();
      // 400 ms of work on one CPU: whoever ends last has waited for the other's 200 ms.
      expect(sumOf(rows, "sum")).toBeGreaterThanOrEqual(200e6);
    });

    it("has no row for a process that sleeps all the time", async () => {
      const running = await workload.start("wgl-asleep", "sleep", [1]);
      await settledSchedstat(running.pid);
      await source.readWindow();
      expect(rowsOf(await source.readWindow(), "run_queue_latency", { process: "wgl-asleep" })).toEqual([]);
      await running.finish();
    });
  }),
);

describeKernel("CPU time and page faults", () =>
  withTasks(() => {
    it("is to the nanosecond what /proc/PID/schedstat says, split as /proc/PID/stat does", async () => {
      const running = await workload.start("wgl-burn", "burn", [300]);
      const before = await settledSchedstat(running.pid);
      const userBefore = statField(running.pid, UTIME);
      await source.readWindow();
      await running.next();
      const after = await settledSchedstat(running.pid);
      const userTicks = statField(running.pid, UTIME) - userBefore;
      const rows = rowsOf(await source.readWindow(), "cpu_time", { process: "wgl-burn" });
      await running.finish();
      expect(sumOf(rows, "user") + sumOf(rows, "system")).toBe(after.ranNs - before.ranNs);
      expect(Math.abs(sumOf(rows, "user") / TICK_NS - userTicks)).toBeLessThanOrEqual(1);
    });

    it("loses and repeats nothing of a process that runs through many windows, and counts its switches", async () => {
      const running = await workload.start("wgl-through", "burn-until-line", []);
      const before = await settledSchedstat(running.pid);
      await source.readWindow();
      const windows: WindowData[] = [];
      const ranIn = (): number => windows.filter((window) => cpuNs(window, "wgl-through") > 0).length;
      const begun = running.next();
      // Reading a window takes from milliseconds to a second, by the machine.
      while (ranIn() < WINDOWS_THROUGH && windows.length < TRIES) windows.push(await source.readWindow());
      await Promise.all([begun, running.next()]);
      const after = await settledSchedstat(running.pid);
      windows.push(await source.readWindow());
      const rows = rowsOf(windows, "cpu_time", { process: "wgl-through" });
      await running.finish();
      expect(ranIn()).toBeGreaterThanOrEqual(WINDOWS_THROUGH);
      expect(cpuNs(windows, "wgl-through")).toBe(after.ranNs - before.ranNs);
      // It was asleep before and is now: it left the CPU as often as it got it.
      expect(sumOf(rows, "voluntary_switches") + sumOf(rows, "involuntary_switches")).toBe(after.waits - before.waits);
    });

    it("has the whole time of threads that ended within a window", async () => {
      const running = await workload.start("wgl-threads", "burn-threads", [7, 30]);
      await settledSchedstat(running.pid);
      const ticks = (): number => statField(running.pid, UTIME) + statField(running.pid, STIME);
      const before = ticks();
      await source.readWindow();
      await running.next();
      await settledSchedstat(running.pid);
      const ranNs = (ticks() - before) * TICK_NS;
      const windows = await windowsUntil((seen) => cpuNs(seen, "wgl-threads") >= Math.max(7 * 30e6, ranNs - 2 * TICK_NS));
      await running.finish();
      expect(cpuNs(windows, "wgl-threads")).toBeGreaterThanOrEqual(7 * 30e6);
      expect(Math.abs(cpuNs(windows, "wgl-threads") - ranNs)).toBeLessThanOrEqual(2 * TICK_NS);
    });

    it("has the whole time of 23 processes that came and went within a window, as wait4() says", () => expectChildren(source, 23, "wgl-children"));

    it("has the whole time of 7 processes of which another thread than the first executed a program", () =>
      expectChildren(source, 7, "wgl-in-thread", "wgl-anew"));

    it("has both also of threads for which there is no place", async () => {
      using crowded = await openSource({ signals, mapEntries: { task_places: 1 } });
      await expectChildren(crowded, 7, "wgl-no-place");
      await expectChildren(crowded, 7, "wgl-no-place-1", "wgl-no-place-2");
    });

    it("does not count what a process did before the agent was there", async () => {
      const running = await workload.start("wgl-before", "burn", [300]);
      await running.next();
      const before = await settledSchedstat(running.pid);
      using late = await openSource({ signals });
      await late.readWindow();
      await running.next();
      const after = await settledSchedstat(running.pid);
      const window = await late.readWindow();
      await running.finish();
      expect(cpuNs(window, "wgl-before")).toBe(after.ranNs - before.ranNs);
    });

    it("counts 1,009 pages touched for the first time as 1,009 minor faults", async () => {
      const running = await workload.start("wgl-touch", "touch", [1009]);
      // The first round faults the program's own pages in.
      await running.next();
      await source.readWindow();
      const before = statField(running.pid, MINFLT);
      await running.next();
      const window = await source.readWindow();
      const faults = statField(running.pid, MINFLT) - before;
      await running.finish();
      expect(faults).toBe(1009);
      expect(rowsOf(window, "page_faults", { process: "wgl-touch" })).toMatchObject([{ minor: 1009n, major: 0n }]);
    });

    it("counts pages that come from a disk as major faults, as many as /proc/PID/stat", async () => {
      // Not in /tmp, which may have no disk behind it.
      const directory = mkdtempSync(join(process.cwd(), ".waggle-cpu-"));
      try {
        const file = join(directory, "file");
        writeFileSync(file, Buffer.alloc(101 * 4096, 1));
        const running = await workload.start("wgl-major", "map-file", [file, 101]);
        await running.next();
        await source.readWindow();
        const before = statField(running.pid, MAJFLT);
        await running.next();
        const window = await source.readWindow();
        const faults = statField(running.pid, MAJFLT) - before;
        await running.finish();
        expect(faults).toBeGreaterThan(0);
        expect(sumOf(rowsOf(window, "page_faults", { process: "wgl-major" }), "major")).toBe(faults);
      } finally {
        rmSync(directory, { recursive: true });
      }
    });
  }),
);

describeKernel("starts and ends of processes", () =>
  withTasks(() => {
    const exits = (windows: readonly WindowData[], process: string): Record<string, number> =>
      Object.fromEntries(rowsOf(windows, "process_exits", { process }).map((row) => [row["exit_status"], Number(row["count"])]));

    it("counts 101 executions for the program that was executed, its processes for the one that forked, and their ends", async () => {
      await source.readWindow();
      await workload.run("wgl-execute", "execute", [workload.linkAs("wgl-executed"), 101, 7]);
      const window = await source.readWindow();
      expect(rowsOf(window, "process_exec", { process: "wgl-executed" })).toMatchObject([{ count: 101n, forked: 0n, threads: 0n }]);
      expect(rowsOf(window, "process_exec", { process: "wgl-execute" })).toMatchObject([{ count: 0n, forked: 101n, threads: 0n }]);
      expect(exits([window], "wgl-executed")).toEqual({ 7: 101 });
      expect(exits([window], "wgl-execute")).toEqual({ 0: 1 });
    });

    it("does not count an execution that failed", async () => {
      await source.readWindow();
      await workload.run("wgl-missing", "execute-missing", [23]);
      const window = await source.readWindow();
      expect(rowsOf(window, "process_exec", { process: "wgl-missing" })).toEqual([]);
      expect(exits([window], "wgl-missing")).toEqual({ 0: 1 });
    });

    it("counts 23 threads as threads, and their ends not as ends of a process", async () => {
      await source.readWindow();
      await workload.run("wgl-threaded", "threads", [23]);
      const window = await source.readWindow();
      expect(rowsOf(window, "process_exec", { process: "wgl-threaded" })).toMatchObject([{ count: 0n, forked: 0n, threads: 23n }]);
      expect(exits([window], "wgl-threaded")).toEqual({ 0: 1 });
    });

    it.each([
      ["by exit()", "wgl-end-exit", ["exit", 3], "3"],
      ["by a signal", "wgl-end-kill", ["kill", 9], "SIGKILL"],
      ["by a signal that leaves a core", "wgl-end-abort", ["kill", 6], "SIGABRT"],
      ["because one of nine threads ends the process", "wgl-end-group", ["group", 5], "5"],
      ["with the last of seven threads that outlive the first", "wgl-end-leader", ["leader", 11], "11"],
    ] as const)("counts 23 processes that end %s once each", async (_how, name, how, status) => {
      await source.readWindow();
      await workload.run(name, "children", [23, ...how]);
      const window = await source.readWindow();
      expect(exits([window], name)).toEqual({ 0: 1, [status]: 23 });
    });

    it("says that all signals of the family are exact, and drops nothing of theirs", async () => {
      const window = await source.readWindow();
      expect(window.coverage.filter(({ signal }) => signals.includes(signal))).toEqual(
        signals.map((signal) => ({ signal, state: "exact", reason: "" })),
      );
      const reasons = window.drops.map(({ reason }) => reason);
      expect(reasons.filter((reason) => reason === "task_storage" || signals.some((name) => reason === `${name}_full`))).toEqual([]);
    });
  }),
);

/** A control group with 16 MiB of memory, of either version; null where none can be made. */
function memoryGroup(): { readonly members: string; remove(): void } | null {
  const versions = [
    { root: "/sys/fs/cgroup/memory", limit: "memory.limit_in_bytes", swap: "memory.swappiness", swapValue: "0" },
    { root: "/sys/fs/cgroup", limit: "memory.max", swap: "memory.swap.max", swapValue: "0" },
  ];
  for (const { root, limit, swap, swapValue } of versions) {
    const path = join(root, `waggle-cpu-${process.pid}`);
    if (!existsSync(join(root, "cgroup.procs"))) continue;
    try {
      mkdirSync(path);
      if (existsSync(join(path, limit))) {
        writeFileSync(join(path, limit), String(16 * 2 ** 20));
        if (existsSync(join(path, swap))) writeFileSync(join(path, swap), swapValue);
        return { members: join(path, "cgroup.procs"), remove: () => rmdirSync(path) };
      }
      rmdirSync(path);
    } catch {
      // Not writable: the next one, or none.
    }
  }
  return null;
}

describeKernel("out of memory", () => {
  const group = memoryGroup();
  describe.skipIf(group === null)("in a control group", () =>
    withTasks(() => {
      afterAll(() => group?.remove());

      it("counts 5 victims by their own name, in the kernel's words, and their ends by SIGKILL", async () => {
        await source.readWindow();
        await workload.run("wgl-exhaust", "exhaust", [5, group?.members ?? "", 64 * 2 ** 20]);
        const window = await source.readWindow();
        expect(rowsOf(window, "oom_kills")).toMatchObject([{ process: "wgl-exhaust", count: 5n }]);
        expect(rowsOf(window, "process_exits", { process: "wgl-exhaust", exit_status: "SIGKILL" })).toMatchObject([{ count: 5n }]);
      });

      it("has no row when nobody was killed", async () => {
        await source.readWindow();
        expect(rowsOf(await source.readWindow(), "oom_kills")).toEqual([]);
      });
    }),
  );
});
