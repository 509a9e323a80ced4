// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from "node:child_process";
import { bucketIndex, type WireRow } from "@waggle/signals";
import { afterAll, beforeAll, expect, it, vi } from "vitest";
import { describeKernel, openSource, rowsOf, signalsOf, sumOf, Workload } from "../../test/kernel-testing.ts";
import { BpfMap } from "../libbpf/bpf-map.ts";
import type { KernelSource, WindowData } from "./window-reader.ts";

const bucketsOf = (row: WireRow | undefined): number[] => [...((row?.k ?? []) as number[])];
const bucketCounts = (row: WireRow | undefined): bigint => ((row?.c ?? []) as bigint[]).reduce((sum, count) => sum + count, 0n);

const signals = signalsOf("syscall");

describeKernel("system calls", () => {
  let source: KernelSource;
  let workload: Workload;

  beforeAll(async () => {
    workload = new Workload();
    source = await openSource({ signals });
  });
  afterAll(() => {
    source?.close();
    workload?.[Symbol.dispose]();
  });

  it("counts 1,009 getppid calls of a process that just renamed itself as 1,009 under its new name", async () => {
    await source.readWindow();
    await workload.run("wgl-getppid", "getppid", [1009]);
    const window = await source.readWindow();
    const filter = { process: "wgl-getppid", syscall: "getppid" };
    expect(sumOf(rowsOf(window, "syscalls", filter), "count")).toBe(1009);
    expect(sumOf(rowsOf(window, "syscall_latency", filter), "count")).toBe(1009);
    expect(rowsOf(window, "syscall_latency", filter)).toHaveLength(1);
    const [row] = rowsOf(window, "syscall_latency", filter);
    expect(bucketCounts(row)).toBe(1009n);
    const buckets = bucketsOf(row);
    expect(bucketIndex(row?.min as bigint)).toBe(buckets[0]);
    expect(bucketIndex(row?.max as bigint)).toBe(buckets.at(-1));
  });

  it("has no row for what was quiet in the window", async () => {
    await workload.run("wgl-quiet", "getppid", [23]);
    const busy = await source.readWindow();
    const quiet = await source.readWindow();
    expect(sumOf(rowsOf(busy, "syscalls", { process: "wgl-quiet", syscall: "getppid" }), "count")).toBe(23);
    expect(rowsOf(quiet, "syscalls", { process: "wgl-quiet" })).toEqual([]);
    expect(rowsOf(quiet, "syscall_latency", { process: "wgl-quiet" })).toEqual([]);
  });

  it("keeps to the rows it is asked for in one window, the rest in ~other, and to its own cap in the next", async () => {
    await source.readWindow();
    await workload.run("wgl-cap-a", "getppid", [1009]);
    await workload.run("wgl-cap-b", "getppid", [23]);
    const capped = await source.readWindow(3);
    const rows = rowsOf(capped, "syscalls", {});
    expect(rows).toHaveLength(3);
    expect(rows.filter(({ process }) => process === "~other")).toHaveLength(1);
    expect(sumOf(rows, "count")).toBeGreaterThanOrEqual(1032);
    expect(rowsOf(await source.readWindow(), "syscalls", {}).length).toBeGreaterThan(3);
  });

  it("sums rows of watched processes into ~other last, however few their calls are", async () => {
    await source.readWindow();
    source.setWatched(new Set(["wgl-watched"]));
    try {
      await workload.run("wgl-cap-a", "getppid", [1013]);
      await workload.run("wgl-watched", "getppid", [29]);
      const rows = rowsOf(await source.readWindow(40), "syscalls", {});
      expect(rows).toHaveLength(40);
      expect(
        sumOf(
          rows.filter(({ process, syscall }) => process === "wgl-watched" && syscall === "getppid"),
          "count",
        ),
      ).toBe(29);
    } finally {
      source.setWatched(new Set());
    }
  });

  it("counts 1,013 opens of a missing file as 1,013 ENOENT", async () => {
    await source.readWindow();
    await workload.run("wgl-enoent", "enoent", [1013]);
    const window = await source.readWindow();
    expect(sumOf(rowsOf(window, "syscall_errors", { process: "wgl-enoent", errno: "ENOENT", syscall: "openat" }), "count")).toBe(1013);
  });

  it("counts 23 sleeps that a signal ends as 23 EINTR, and shows none of the kernel's own error numbers", async () => {
    await source.readWindow();
    await workload.run("wgl-signal", "interrupted", [23]);
    const rows = rowsOf(await source.readWindow(), "syscall_errors", { process: "wgl-signal" });
    expect(rows.filter(({ syscall }) => syscall === "nanosleep")).toMatchObject([{ errno: "EINTR", count: 23n }]);
    expect(rows.filter(({ syscall }) => syscall === "rt_sigreturn")).toEqual([]);
    expect(rows.filter(({ errno }) => /^ERESTART|^errno_/.test(errno as string))).toEqual([]);
  });

  it("calls a program of Node.js node, also one that ended within the window, unless it chose a title", async () => {
    await source.readWindow();
    const calls = "for (let i = 0; i < 1009; i++) process.ppid";
    execFileSync(process.execPath, ["-e", calls]);
    execFileSync(process.execPath, ["-e", `process.title = "wgl-titled"; ${calls}`]);
    const rows = rowsOf(await source.readWindow(), "syscalls", { syscall: "getppid" });
    expect(
      sumOf(
        rows.filter(({ process }) => process === "node"),
        "count",
      ),
    ).toBeGreaterThanOrEqual(1009);
    expect(rows.filter(({ process }) => process === "wgl-titled")).toMatchObject([{ count: 1009n }]);
    expect(rows.filter(({ process }) => process === "MainThread")).toEqual([]);
  });

  it("puts 23 sleeps of 20 ms into buckets at and above 20 ms", async () => {
    await source.readWindow();
    await workload.run("wgl-sleep", "sleep", [23, 20]);
    const rows = rowsOf(await source.readWindow(), "syscall_latency", { process: "wgl-sleep", syscall: "nanosleep" });
    expect(sumOf(rows, "count")).toBe(23);
    expect(bucketsOf(rows[0])[0]).toBeGreaterThanOrEqual(bucketIndex(20_000_000n));
    expect(Number(rows[0]?.sum)).toBeGreaterThanOrEqual(23 * 20e6);
  });

  it("splits calls over windows without losing or repeating one", async () => {
    await source.readWindow();
    const windows = [];
    const work = workload.run("wgl-split", "getppid", [1_000_003]);
    let done = false;
    const watch = work.then(() => {
      done = true;
    });
    while (!done) windows.push(await source.readWindow());
    await watch;
    windows.push(await source.readWindow());
    expect(windows.length).toBeGreaterThan(2);
    expect(sumOf(rowsOf(windows, "syscalls", { process: "wgl-split", syscall: "getppid" }), "count")).toBe(1_000_003);
    expect(sumOf(rowsOf(windows, "syscall_latency", { process: "wgl-split", syscall: "getppid" }), "count")).toBe(1_000_003);
  });

  it("follows a process through 1,000 names", async () => {
    await source.readWindow();
    await workload.run("wgl-many-", "rename", [1000, 7]);
    const window = await source.readWindow();
    const rows = rowsOf(window, "syscalls", { syscall: "getppid" }).filter((row) => (row.process as string).startsWith("wgl-many-"));
    expect(rows.filter((row) => row.count === 7n)).toHaveLength(1000);
    expect(sumOf(rows, "count")).toBe(7000);
  });

  it("counts a fork once, for the process that made the call and not for the one it made", async () => {
    await source.readWindow();
    await workload.run("wgl-fork", "fork", [23]);
    const rows = rowsOf(await source.readWindow(), "syscalls", { process: "wgl-fork" });
    expect(
      sumOf(
        rows.filter(({ syscall }) => ["clone", "clone3", "fork", "vfork"].includes(syscall as string)),
        "count",
      ),
    ).toBe(23);
  });

  it.runIf(process.arch === "x64")("names 32-bit calls by the 32-bit table", async () => {
    await source.readWindow();
    await workload.run("wgl-compat", "compat", [23]);
    const window = await source.readWindow();
    expect(rowsOf(window, "syscalls", { process: "wgl-compat", syscall: "compat:getppid" })).toMatchObject([{ count: 23n }]);
  });

  it("says that the signals are exact and drops nothing", async () => {
    const window = await source.readWindow();
    const states = window.coverage.filter(({ signal }) => signals.includes(signal));
    expect(states).toEqual(signals.map((signal) => ({ signal, state: "exact", reason: "" })));
    expect(window.drops).toEqual([]);
  });
});

describeKernel("more processes than are remembered", () => {
  it("never take the name of one that lives", async () => {
    using workload = new Workload();
    using source = await openSource({ signals: [...signals, "tcp_connections"], processesMax: 2 });
    await workload.start("wgl-server", "serve", ["127.0.0.1", 47_401]);
    const lives = await workload.start("wgl-lives", "send", ["127.0.0.1", 47_401, 1]);
    await source.readWindow();
    for (let i = 0; i < 8; i++) {
      await workload.run("wgl-mortal", "rename", [20, 1]);
      // Every third window is a quiet one, so that it may be forgotten and has to come back.
      if (i % 3 !== 0) await lives.next();
      const window = await source.readWindow();
      expect(sumOf(rowsOf(window, "syscalls", { process: "wgl-lives", syscall: "write" }), "count")).toBe(i % 3 === 0 ? 0 : 2);
      expect(rowsOf(window, "tcp_connections", { process: "wgl-lives" })).toMatchObject([{ active: 1n }]);
      expect(window.drops).toEqual([]);
    }
  });
});

describeKernel("a map that is too small", () => {
  it("keeps totals exact in ~other", async () => {
    using workload = new Workload();
    using source = await openSource({
      signals,
      mapEntries: { syscall_latency_a: 4, syscall_latency_b: 4, syscall_errors_a: 1, syscall_errors_b: 1 },
    });
    const windows = [await source.readWindow()];
    for (let i = 0; i < 3; i++) {
      await workload.run("wgl-overflow", "getppid", [10_007]);
      await workload.run("wgl-overflow", "enoent", [1009]);
      windows.push(await source.readWindow());
    }
    const counted = windows.map((window) => sumOf(rowsOf(window, "syscalls"), "count"));
    const runs = windows.map((window) => Number(window.programs.find(({ program }) => program === "on_sys_exit")?.events));
    const sum = (values: number[]) => values.reduce((a, b) => a + b, 0);
    // Runs are read after the flip: up to there all of windows 0 to n are counted, and nothing that is not in windows 0 to n + 1.
    expect(sum(runs.slice(1, 3))).toBeLessThanOrEqual(sum(counted.slice(1, 4)));
    expect(sum(runs.slice(1, 3))).toBeGreaterThanOrEqual(counted[2] as number);
    for (const window of windows.slice(1)) {
      expect(rowsOf(window, "syscalls", { process: "~other", unit: "~other", syscall: "~other" })).toHaveLength(1);
      const [latency] = rowsOf(window, "syscall_latency", { process: "~other" });
      expect(bucketCounts(latency)).toBe(latency?.count);
      expect(sumOf(rowsOf(window, "syscall_errors"), "count")).toBeGreaterThanOrEqual(1009);
      expect(window.drops.map(({ reason }) => reason)).toContain("syscall_latency_full");
    }
  });
});

describeKernel("a map that cannot be read in one window", () => {
  it("loses nothing: its counts come with this copy's next turn, and both windows say that they are not what they should be", async () => {
    using workload = new Workload();
    using source = await openSource({ signals });
    await source.readWindow();
    await workload.run("wgl-unreadable", "getppid", [1009]);
    const drain = BpfMap.prototype.drain;
    const broken = vi.spyOn(BpfMap.prototype, "drain").mockImplementation(function (this: BpfMap, visit) {
      if (/^syscall_latency_[ab]$/.test(this.name)) throw new Error("EINTR");
      return drain.call(this, visit);
    });
    const stateOf = (window: WindowData) => window.coverage.find(({ signal }) => signal === "syscalls");
    const failed = await source.readWindow();
    broken.mockRestore();
    const [between, late, after] = [await source.readWindow(), await source.readWindow(), await source.readWindow()];
    expect(stateOf(failed)).toMatchObject({ state: "failed", reason: "EINTR" });
    expect(stateOf(between)).toMatchObject({ state: "exact" });
    expect(sumOf(rowsOf(late, "syscalls", { process: "wgl-unreadable", syscall: "getppid" }), "count")).toBe(1009);
    expect(stateOf(late)).toMatchObject({ state: "fallback", reason: expect.stringContaining("earlier window") });
    expect(stateOf(after)).toMatchObject({ state: "exact" });
  });
});

describeKernel("more rows than a signal may have", () => {
  it("go to ~other, smallest first, and are counted as cut", async () => {
    using workload = new Workload();
    using source = await openSource({ signals, rowCaps: ({ name }) => (name === "syscalls" ? 5 : 20_000) });
    await source.readWindow();
    await workload.run("wgl-capped", "rename", [20, 100]);
    await workload.run("wgl-largest", "getppid", [1_000_003]);
    const window = await source.readWindow();
    const total = window.rows.total("syscalls", "count");
    const rows = rowsOf(window, "syscalls");
    expect(rows).toHaveLength(5);
    expect(rows.filter(({ process }) => process === "wgl-largest")).toMatchObject([{ syscall: "getppid", count: 1_000_003n }]);
    expect(rows.reduce((sum, row) => sum + (row["count"] as bigint), 0n)).toBe(total);
    expect(window.cuts.get("syscalls")).toBeGreaterThan(40 - 5);
  });
});
