// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { RowEstimates, stretchesOf } from "./row-estimates.ts";

const MINUTE = 60_000;
const stretch = (fromMs: number, toMs: number, table = "tcp_rtt") => ({ table, fromMs, toMs, readMs: toMs - fromMs });

describe("estimates of rows", () => {
  it("answer for a stretch of like length that mostly overlaps, in proportion", () => {
    const estimates = new RowEstimates();
    estimates.put("t", stretch(0, 60 * MINUTE), 6_000, 0);
    expect(estimates.of("t", [stretch(MINUTE, 61 * MINUTE)], 1_000)).toBe(6_000);
    expect(estimates.of("t", [stretch(0, 66 * MINUTE)], 1_000)).toBeCloseTo(6_600);
    expect(estimates.of("t", [stretch(31 * MINUTE, 91 * MINUTE)], 1_000)).toBeUndefined();
    expect(estimates.of("t", [stretch(0, 24 * 60 * MINUTE)], 1_000)).toBeUndefined();
    expect(estimates.of("t", [stretch(0, 30 * MINUTE)], 1_000)).toBeUndefined();
  });

  it("are of one table and scope, and for some seconds", () => {
    const estimates = new RowEstimates();
    estimates.put("t", stretch(0, MINUTE), 10, 0);
    estimates.put("t", stretch(0, MINUTE, "tcp_rtt_1m"), 1, 0);
    expect(estimates.of("t", [stretch(0, MINUTE), stretch(0, MINUTE, "tcp_rtt_1m")], 1_000)).toBe(11);
    expect(estimates.of("t", [stretch(0, MINUTE), stretch(0, MINUTE, "syscalls")], 1_000)).toBeUndefined();
    expect(estimates.of("another", [stretch(0, MINUTE)], 1_000)).toBeUndefined();
    expect(estimates.of("t", [stretch(0, MINUTE)], 30_000)).toBeUndefined();
  });

  it("of lengths that are asked in turns stand beside each other, the newest of each", () => {
    const estimates = new RowEstimates();
    estimates.put("t", stretch(0, MINUTE), 10, 0);
    estimates.put("t", stretch(0, 10 * MINUTE), 100, 0);
    estimates.put("t", stretch(0, MINUTE), 20, 1_000);
    expect(estimates.of("t", [stretch(0, MINUTE)], 2_000)).toBe(20);
    expect(estimates.of("t", [stretch(0, 10 * MINUTE)], 2_000)).toBe(100);
  });

  it("know what of a table is read between its ends", () => {
    expect(stretchesOf([stretch(0, 10), stretch(50, 60), stretch(10, 50, "other")], ({ table }) => table)).toEqual([
      { table: "tcp_rtt", fromMs: 0, toMs: 60, readMs: 20 },
      { table: "other", fromMs: 10, toMs: 50, readMs: 40 },
    ]);
  });
});
