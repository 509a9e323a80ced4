// SPDX-License-Identifier: Apache-2.0
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { describeKernel, openSource, rowsOf, sumOf, Workload } from "../../test/kernel-testing.ts";
import { SAMPLE_HZ } from "../probes/probe-set.ts";
import type { KernelSource, WindowData } from "../snapshot/window-reader.ts";

/** Counts each wait: on a machine that does much else, those of a test would be thinned out with the rest. */
const exactWaits = { on_sched_switch: { off_cpu_exact_bits: 63 } };

/** What stacks are called, over windows. */
class Names {
  readonly #frames = new Map<string, string>();

  add(window: WindowData): WindowData {
    for (const { stack, frames } of window.rows.get("stack_frames") ?? []) this.#frames.set(stack as string, frames as string);
    return window;
  }

  /** Frames of a row's stack, the outermost first. */
  of(row: { stack?: unknown }): string[] {
    return (this.#frames.get(row.stack as string) ?? "").split(";");
  }
}

const isKernel = (frame: string): boolean => frame.endsWith("_[k]");

/** Reads windows until one has all frames of the process's stacks: on a busy machine those of others may come first. */
async function readUntilNamed(source: KernelSource, names: Names, signal: string, process: string): Promise<WindowData> {
  const window = names.add(await source.readWindow());
  for (let tries = 0; tries < 20 && rowsOf(window, signal, { process }).some((row) => names.of(row)[0] === ""); tries++) {
    names.add(await source.readWindow());
  }
  return window;
}

const signals = ["cpu_profile", "off_cpu", "stack_frames"];

describeKernel("CPU profile", () => {
  let source: KernelSource;
  let workload: Workload;
  const names = new Names();

  beforeAll(async () => {
    workload = new Workload("profile-workload.c");
    source = await openSource({ signals, constants: exactWaits });
  });
  afterAll(() => {
    source?.close();
    workload?.[Symbol.dispose]();
  });

  it("finds a C program that spins in one function there, in 95 of 100 samples and more, though it has ended by then", async () => {
    names.add(await source.readWindow());
    const cpuMs = 3_000;
    await workload.run("wgl-spin", "spin", [cpuMs]);
    const window = await readUntilNamed(source, names, "cpu_profile", "wgl-spin");
    const rows = rowsOf(window, "cpu_profile", { process: "wgl-spin" });
    const samples = sumOf(rows, "samples");
    const expected = (cpuMs / 1000) * SAMPLE_HZ;
    // A clock that ticks 49 times a second, whoever else shares the CPU: four standard deviations.
    expect(Math.abs(samples - expected)).toBeLessThan(4 * Math.sqrt(expected));
    const spinning = rows.filter((row) => {
      const user = names.of(row).filter((frame) => !isKernel(frame));
      return user.at(-1) === "spin_in_here [workload]" && user.at(-2) === "calls_the_spinner [workload]" && user.at(-3) === "main [workload]";
    });
    expect(sumOf(spinning, "samples") / samples).toBeGreaterThanOrEqual(0.95);
  });

  it("has no row for a process that did not run", async () => {
    names.add(await source.readWindow());
    expect(rowsOf(await source.readWindow(), "cpu_profile", { process: "wgl-spin" })).toEqual([]);
  });

  it("finds a Node.js program with --perf-basic-prof in its JavaScript function", async () => {
    const directory = mkdtempSync(join(tmpdir(), "waggle-node-"));
    let child: ChildProcess | undefined;
    try {
      const script = join(directory, "spin.cjs");
      writeFileSync(
        script,
        `process.title = "wgl-node";
function spinsInNode(until) { let sum = 0; while (process.cpuUsage().user < until) for (let i = 0; i < 1e6; i++) sum = (sum * 31 + i) % 1e9; return sum; }
process.stdin.on("data", () => {
  spinsInNode(process.cpuUsage().user + 1.5e6);
  console.log("done");
});
for (let call = 0; call < 50; call++) spinsInNode(process.cpuUsage().user + 1e4);
console.log("ready");`,
      );
      child = spawn(process.execPath, ["--perf-basic-prof", script], { cwd: directory, stdio: ["pipe", "pipe", "inherit"] });
      await new Promise((resolve) => child?.stdout?.once("data", resolve));
      // What Node.js does until it runs the script is not part of it, nor is running it before it is compiled, under the interpreter's name: in an emulated
      // machine either is a tenth of all.
      names.add(await source.readWindow());
      child.stdin?.write("\n");
      await new Promise((resolve) => child?.stdout?.once("data", resolve));
      const window = await readUntilNamed(source, names, "cpu_profile", "wgl-node");
      const rows = rowsOf(window, "cpu_profile", { process: "wgl-node" });
      expect(sumOf(rows, "samples")).toBeGreaterThan(SAMPLE_HZ);
      const inFunction = rows.filter((row) => names.of(row).some((frame) => frame.startsWith("spinsInNode [") && frame.includes("spin.cjs")));
      // The garbage collector and the compiler have threads of their own.
      const onMainThread = rows.filter((row) => !names.of(row).some((frame) => frame.includes("PlatformWorkerThread")));
      const elsewhere = onMainThread.filter((row) => !inFunction.includes(row)).map((row) => `${row["samples"]} ${names.of(row).join(";")}`);
      expect(sumOf(inFunction, "samples") / sumOf(onMainThread, "samples"), elsewhere.join("\n")).toBeGreaterThanOrEqual(0.95);
    } finally {
      child?.kill("SIGKILL");
      rmSync(directory, { recursive: true });
      if (child?.pid !== undefined) rmSync(`/tmp/perf-${child.pid}.map`, { force: true });
    }
  });

  it("calls one stack the same in two processes, wherever each has its code", async () => {
    names.add(await source.readWindow());
    await Promise.all([workload.run("wgl-twin-a", "spin", [1_000]), workload.run("wgl-twin-b", "spin", [1_000])]);
    const window = await readUntilNamed(source, names, "cpu_profile", "wgl-twin-b");
    const heaviest = (process: string) => rowsOf(window, "cpu_profile", { process })[0]?.stack;
    expect(heaviest("wgl-twin-a")).toMatch(/^[0-9a-f]{16}$/);
    expect(heaviest("wgl-twin-a")).toBe(heaviest("wgl-twin-b"));
  });

  it("sends a stack's frames once and not with each window", async () => {
    const first = names.add(await source.readWindow());
    const second = names.add(await source.readWindow());
    const sent = (window: WindowData) => (window.rows.get("stack_frames") ?? []).map(({ stack }) => stack);
    expect(sent(second).filter((stack) => sent(first).includes(stack))).toEqual([]);
  });
});

describeKernel("off-CPU profile", () => {
  let directory: string;
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), "waggle-waits-"));
  });
  afterAll(() => rmSync(directory, { recursive: true }));

  /** Sleeps, and returns how often the process waited by the kernel's own count: fewer than sleeps where the machine is busy. */
  const sleep = async (workload: Workload, comm: string, count: number, ms: number): Promise<number> => {
    await workload.run(comm, "sleep", [count, ms, join(directory, comm)]);
    return Number(readFileSync(join(directory, comm), "utf8"));
  };

  it("counts 23 sleeps of 20 ms as 23 waits below the function and the call that sleep", async () => {
    using workload = new Workload("profile-workload.c");
    using source = await openSource({ signals, constants: exactWaits });
    const names = new Names();
    names.add(await source.readWindow());
    const waits = await sleep(workload, "wgl-nap", 23, 20);
    expect(waits).toBeGreaterThan(15);
    expect(waits).toBeLessThanOrEqual(23);
    const window = await readUntilNamed(source, names, "off_cpu", "wgl-nap");
    const naps = rowsOf(window, "off_cpu", { process: "wgl-nap" }).filter((row) => names.of(row).includes("sleeps_in_here [workload]"));
    expect(sumOf(naps, "count")).toBe(waits);
    // One that was pushed off first sleeps for what is left of its time.
    expect(sumOf(naps, "blocked")).toBeGreaterThanOrEqual((waits - 3) * 20e6);
    for (const row of naps) {
      const frames = names.of(row);
      expect(frames).toContain("main [workload]");
      expect(frames.some((frame) => /nanosleep.*_\[k\]$/.test(frame))).toBe(true);
      expect(frames.findIndex(isKernel)).toBeGreaterThan(frames.indexOf("sleeps_in_here [workload]"));
    }
    expect(rowsOf(await source.readWindow(), "off_cpu", { process: "wgl-nap" })).toEqual([]);
  });

  it("leaves out waits that are shorter than asked for", async () => {
    using workload = new Workload("profile-workload.c");
    using source = await openSource({ signals, offCpuMinUs: 10_000_000 });
    await source.readWindow();
    await workload.run("wgl-short", "sleep", [23, 20]);
    expect(rowsOf(await source.readWindow(), "off_cpu", { process: "wgl-short" })).toEqual([]);
  });

  it("counts the stacks whose frames have no room in their window, and brings them with later ones", async () => {
    using workload = new Workload("profile-workload.c");
    const names = new Names();
    using narrow = await openSource({ signals, constants: exactWaits, rowCaps: ({ name }) => (name === "stack_frames" ? 2 : 20_000) });
    const unnamed = (window: WindowData): number =>
      new Set(
        ["cpu_profile", "off_cpu"].flatMap((signal) =>
          rowsOf(window, signal)
            .filter((row) => names.of(row)[0] === "" && row["stack"] !== "~other")
            .map(({ stack }) => stack),
        ),
      ).size;
    const late = ({ drops }: WindowData): number => Number(drops.find(({ reason }) => reason === "stack_frames_late")?.count ?? 0n);
    await workload.run("wgl-spin", "spin", [400]);
    await workload.run("wgl-sleep", "sleep", [20, 5]);
    const window = names.add(await narrow.readWindow());
    expect(window.rows.get("stack_frames")).toHaveLength(2);
    expect(late(window)).toBe(unnamed(window));
    expect(late(window)).toBeGreaterThan(0);
    const before = unnamed(window);
    for (let tries = 0; tries < 5; tries++) names.add(await narrow.readWindow());
    expect(unnamed(window)).toBeLessThan(before);
  });

  it("keeps sums exact when there is no room for stacks, and says so", async () => {
    using workload = new Workload("profile-workload.c");
    using source = await openSource({ signals, constants: exactWaits, mapEntries: { stack_chunks: 1 } });
    const names = new Names();
    names.add(await source.readWindow());
    const waits = await sleep(workload, "wgl-lost", 23, 20);
    const window = await readUntilNamed(source, names, "off_cpu", "wgl-lost");
    const rows = rowsOf(window, "off_cpu", { process: "wgl-lost" });
    // The start and the end of the process may have waited too.
    expect(sumOf(rows, "count")).toBeGreaterThanOrEqual(waits);
    expect(sumOf(rows, "count")).toBeLessThan(waits + 10);
    expect(rows.some((row) => names.of(row).some((frame) => frame.startsWith("[lost]")))).toBe(true);
    expect(window.drops.find(({ reason }) => reason === "stack_chunks_full")?.count).toBeGreaterThan(0n);
  });

  it("counts many waits by a part of them, each for several, right on average, and says so", async () => {
    using workload = new Workload("profile-workload.c");
    // Two of each second on a CPU are all counted.
    using source = await openSource({ signals, constants: { on_sched_switch: { off_cpu_exact_bits: 1 } } });
    await source.readWindow();
    // Ten processes with 100 waits each.
    await Promise.all(Array.from({ length: 10 }, () => workload.run("wgl-many", "sleep", [101, 5])));
    const window = await source.readWindow();
    const coverage = window.coverage.find(({ signal }) => signal === "off_cpu");
    expect(coverage).toMatchObject({ state: "sampled", reason: expect.stringContaining("more than") });
    const counted = sumOf(rowsOf(window, "off_cpu", { process: "wgl-many" }), "count");
    // Hundreds of draws of one in two to one in 256: a wide margin, but far from none and from one row per wait.
    expect(counted).toBeGreaterThan(300);
    expect(counted).toBeLessThan(3_000);
  });
});

describeKernel("a profile that is switched off", () => {
  it("is disabled in words, and the rest runs", async () => {
    using source = await openSource({ signals: [...signals, "syscalls"], sampleHz: 0 });
    const window = await source.readWindow();
    expect(window.coverage.find(({ signal }) => signal === "cpu_profile")).toMatchObject({ state: "disabled" });
    expect(window.coverage.find(({ signal }) => signal === "syscalls")?.state).toBe("exact");
    expect(rowsOf(window, "cpu_profile")).toEqual([]);
  });
});
