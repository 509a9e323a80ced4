// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import type { LiveWindow } from "./api/types";
import { latest, sparkline, withWindow } from "./live-windows";

const start = Date.parse("2026-11-20T10:00:00Z");
const window = (second: number, values: (number | null)[]): LiveWindow =>
  ({
    query: 0,
    from: new Date(start + second * 1_000).toISOString(),
    to: new Date(start + (second + values.length) * 1_000).toISOString(),
    stepSeconds: 1,
    answer: { series: [{ values }] },
  }) as unknown as LiveWindow;

describe("a strip", () => {
  it("puts the values of several queries about one second beside each other", () => {
    let moments = withWindow([], window(0, [1, 2]), 0, 2, 60_000);
    moments = withWindow(moments, window(1, [7]), 1, 2, 60_000);
    expect(moments.map(({ fromMs, values }) => [fromMs - start, values])).toEqual([
      [0, [1, undefined]],
      [1_000, [2, 7]],
    ]);
    moments = withWindow(moments, window(2, [null]), 1, 2, 60_000);
    expect([latest(moments, 0), latest(moments, 1), latest(moments, 2)]).toEqual([2, null, undefined]);
  });

  it("keeps the newest minute", () => {
    let moments = withWindow([], window(0, [1]), 0, 1, 60_000);
    moments = withWindow(moments, window(60, [2]), 0, 1, 60_000);
    expect(moments.map(({ values }) => values)).toEqual([[2]]);
  });

  it("draws steps over their time, and nothing where nobody reported", () => {
    const moments = withWindow([], window(0, [4, 0, null, 2]), 0, 1, 4_000);
    expect(sparkline(moments, 0, 4_000, 40, 9)).toBe("M0.0 0.5H10.0L10.0 8.5H20.0M30.0 4.5H40.0");
  });

  it("draws zeros on the floor", () => {
    expect(sparkline(withWindow([], window(0, [0]), 0, 1, 1_000), 0, 1_000, 10, 9)).toBe("M0.0 8.5H10.0");
  });
});
