// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { parseDiskstats } from "./disk-quantities.ts";
import { parseStat, parseVmstat } from "./task-quantities.ts";

describe("parseStat", () => {
  it("sums user, niced and system time in nanoseconds, and reads the number of tasks made", () => {
    const text = "cpu  189651 7 67876 173940 940 0 1715 310 0 0\ncpu0 94950 0 32595 88739 178 0 693 154 0 0\nctxt 50119\nprocesses 8123\n";
    expect(parseStat(text)).toEqual(
      new Map([
        ["cpu_time", 2_575_340_000_000n],
        ["processes", 8123n],
      ]),
    );
  });

  it("refuses a file that says neither", () => {
    expect(() => parseStat("intr 1\n")).toThrow("/proc/stat");
  });
});

describe("parseVmstat", () => {
  it("reads counters by name", () => {
    const counters = parseVmstat("nr_free_pages 5\npgfault 55356182\npgmajfault 1614\noom_kill 0\n");
    expect(["pgfault", "pgmajfault", "oom_kill"].map((name) => counters.get(name))).toEqual([55_356_182n, 1614n, 0n]);
  });
});

describe("parseDiskstats", () => {
  it("sums reads, writes and discards of disks that have requests, and nothing of partitions or of what has none", () => {
    const text = [
      " 254       0 vda 100 36755 800 35785 20 370198 160 157521 0 66216 238376 3 952 24 31877 26267 13192",
      " 254       1 vda1 90 0 700 0 10 0 80 0 0 0 0 0 0 0 0 0 0",
      " 253       0 dm-0 70 0 500 0 5 0 40 0 0 0 0 0 0 0 0 0 0",
      "   8       0 sda 1 0 8 0 2 0 16 0 0 0 0",
      "",
    ].join("\n");
    expect(parseDiskstats(text, (disk) => disk === "vda" || disk === "sda")).toEqual(
      new Map([
        ["disk_requests", 126n],
        ["disk_bytes", 1008n * 512n],
      ]),
    );
  });
});
