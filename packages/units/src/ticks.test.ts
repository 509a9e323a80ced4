// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { formatClock, formatMoment, formatRange, formatTimeTick, linearTicks, logTicks, timeTicks } from "./index.ts";

describe("linearTicks", () => {
  it("covers the largest value in round steps from zero", () => {
    expect(linearTicks(113)).toEqual([0, 50, 100, 150]);
    expect(linearTicks(0.081)).toEqual([0, 0.05, 0.1]);
    expect(linearTicks(6)).toEqual([0, 2, 4, 6]);
  });
  it("gives a flat zero line an axis", () => {
    expect(linearTicks(0)).toEqual([0, 1]);
  });
});

it("logTicks are the powers of ten inside the range", () => {
  expect(logTicks(90_000, 1.2e9)).toEqual([1e5, 1e6, 1e7, 1e8, 1e9]);
  expect(logTicks(0, 10)).toEqual([]);
});

describe("time", () => {
  const from = Date.UTC(2026, 7, 16, 13, 12, 10);
  const to = from + 3_600_000;
  it("ticks fall on round clock values inside the range", () => {
    const labels = timeTicks(from, to, 5).map((t) => formatTimeTick(t, to - from));
    expect(labels).toEqual(["13:15", "13:30", "13:45", "14:00"]);
  });
  it("names the zone and the day when the day is not obvious", () => {
    expect(formatRange(from, to)).toBe("13:12–14:12 UTC");
    expect(formatMoment(from, to)).toBe("13:12:10");
    expect(formatMoment(from, to + 86_400_000)).toBe("2026-08-16 13:12");
    expect(formatClock(from, "utc", "always")).toBe("13:12:10");
  });
});
