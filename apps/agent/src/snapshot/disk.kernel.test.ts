// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from "node:child_process";
import { closeSync, existsSync, ftruncateSync, mkdtempSync, openSync, readFileSync, rmSync, truncateSync } from "node:fs";
import { basename, join } from "node:path";
import type { WireRow } from "@waggle/signals";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { describeKernel, openSource, rowsOf, sumOf, Workload } from "../../test/kernel-testing.ts";
import type { KernelSource } from "./window-reader.ts";

const MIB = 2 ** 20;
const SECTOR = 512;

/** A block device on a file of 64 MiB, attached so that reading behind the file's end is an error. */
class LoopDevice implements Disposable {
  // Not in /tmp, which may be a file system without direct I/O.
  readonly #directory = mkdtempSync(join(process.cwd(), ".waggle-disk-"));
  readonly file = join(this.#directory, "disk");
  readonly path: string;

  constructor() {
    const fd = openSync(this.file, "w");
    ftruncateSync(fd, 64 * MIB);
    closeSync(fd);
    try {
      this.path = execFileSync("losetup", ["--find", "--show", "--direct-io=on", this.file], { encoding: "utf8" }).trim();
    } catch (error) {
      rmSync(this.#directory, { recursive: true });
      throw error;
    }
  }

  get name(): string {
    return basename(this.path);
  }

  /** The kernel's own figures of the device (Documentation/admin-guide/iostats.rst). */
  statistics(): { requests: number; bytes: number; busyMs: number } {
    const [reads, , readSectors, readMs, writes, , writtenSectors, writeMs, , , , discards, , discardedSectors, discardMs] = readFileSync(
      `/sys/block/${this.name}/stat`,
      "utf8",
    )
      .trim()
      .split(/\s+/)
      .map(Number) as number[] as [
      number,
      number,
      number,
      number,
      number,
      number,
      number,
      number,
      number,
      number,
      number,
      number,
      number,
      number,
      number,
    ];
    return {
      requests: reads + writes + discards,
      bytes: (readSectors + writtenSectors + discardedSectors) * SECTOR,
      busyMs: readMs + writeMs + discardMs,
    };
  }

  [Symbol.dispose](): void {
    execFileSync("losetup", ["--detach", this.path]);
    rmSync(this.#directory, { recursive: true });
  }
}

describeKernel("disks", () =>
  describe.skipIf(!existsSync("/dev/loop-control"))("a loop device", () => {
    let workload: Workload;
    let source: KernelSource;
    let disk: LoopDevice;

    beforeAll(async () => {
      workload = new Workload("task-workload.c");
      disk = new LoopDevice();
      source = await openSource({ signals: ["block_io", "block_latency", "block_errors"] });
    });
    afterAll(() => {
      source?.close();
      disk?.[Symbol.dispose]();
      workload?.[Symbol.dispose]();
    });

    const io = (rows: readonly WireRow[]): Record<string, { count: number; bytes: number }> =>
      Object.fromEntries(rows.map((row) => [row["operation"], { count: Number(row["count"]), bytes: Number(row["bytes"]) }]));

    it("counts 1,009 reads of 4 KiB and 503 writes of 8 KiB as that, each with a latency", async () => {
      await source.readWindow();
      await workload.run("wgl-disk", "disk", [disk.path, "read", 1009, 4096]);
      await workload.run("wgl-disk", "disk", [disk.path, "write", 503, 8192]);
      const window = await source.readWindow();
      const device = { device: disk.name };
      expect(io(rowsOf(window, "block_io", device))).toEqual({
        read: { count: 1009, bytes: 1009 * 4096 },
        write: { count: 503, bytes: 503 * 8192 },
      });
      const latencies = rowsOf(window, "block_latency", device);
      expect(Object.fromEntries(latencies.map((row) => [row["operation"], row["count"]]))).toEqual({ read: 1009n, write: 503n });
      for (const row of latencies) expect(row["min"]).toBeGreaterThan(0n);
      expect(rowsOf(window, "block_errors", device)).toEqual([]);
    });

    it("counts 23 flushes as flushes, the steps of each as nothing more", async () => {
      await source.readWindow();
      await workload.run("wgl-disk", "disk", [disk.path, "flush", 23, 0]);
      const window = await source.readWindow();
      expect(io(rowsOf(window, "block_io", { device: disk.name }))).toEqual({ flush: { count: 23, bytes: 0 } });
      expect(sumOf(rowsOf(window, "block_latency", { device: disk.name, operation: "flush" }), "count")).toBe(23);
    });

    it("counts discards", async () => {
      await source.readWindow();
      for (let i = 0; i < 7; i++)
        execFileSync("blkdiscard", ["--force", "--offset", String(i * MIB), "--length", String(MIB), disk.path], { stdio: "pipe" });
      const { discard } = io(rowsOf(await source.readWindow(), "block_io", { device: disk.name }));
      expect(discard).toEqual({ count: 7, bytes: 7 * MIB });
    });

    it("sums what the kernel sums itself: requests, bytes, and time to the millisecond", async () => {
      await source.readWindow();
      const before = disk.statistics();
      await workload.run("wgl-disk", "disk", [disk.path, "read", 211, 65_536]);
      await workload.run("wgl-disk", "disk", [disk.path, "write", 211, 65_536]);
      await workload.run("wgl-disk", "disk", [disk.path, "flush", 11, 0]);
      const window = await source.readWindow();
      const after = disk.statistics();
      const rows = rowsOf(window, "block_io", { device: disk.name });
      expect(sumOf(rows, "count")).toBe(after.requests - before.requests);
      expect(sumOf(rows, "bytes")).toBe(after.bytes - before.bytes);
      const summedMs = sumOf(rowsOf(window, "block_latency", { device: disk.name }), "sum") / 1e6;
      // The kernel looks at the clock a little after the tracepoint, and each of its three figures is cut to whole milliseconds.
      expect(Math.abs(summedMs - (after.busyMs - before.busyMs))).toBeLessThan(3 + 0.02 * (after.requests - before.requests));
    });

    it("has no row of a disk that does nothing", async () => {
      await source.readWindow();
      const window = await source.readWindow();
      for (const signal of ["block_io", "block_latency", "block_errors"]) expect(rowsOf(window, signal, { device: disk.name })).toEqual([]);
    });

    it("counts 23 reads from where the disk has nothing as 23 EIO", async () => {
      truncateSync(disk.file, 32 * MIB);
      try {
        await source.readWindow();
        await workload.run("wgl-disk", "disk-fail", [disk.path, 23, 40 * MIB]);
        const window = await source.readWindow();
        expect(rowsOf(window, "block_errors", { device: disk.name })).toMatchObject([{ operation: "read", errno: "EIO", count: 23n }]);
        expect(io(rowsOf(window, "block_io", { device: disk.name }))["read"]?.count).toBe(23);
      } finally {
        truncateSync(disk.file, 64 * MIB);
      }
    });

    it("says that the signals are exact", async () => {
      const names = ["block_io", "block_latency", "block_errors"];
      const { coverage } = await source.readWindow();
      expect(coverage.filter(({ signal }) => names.includes(signal))).toEqual(names.map((signal) => ({ signal, state: "exact", reason: "" })));
    });
  }),
);
