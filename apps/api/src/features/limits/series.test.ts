// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { SeriesCount } from "./series.ts";

const MINUTE_MS = 60_000;

describe("SeriesCount", () => {
  it("counts each host's newest window, however many it sends", () => {
    const series = new SeriesCount();
    series.admit("a", 10, 1, 100);
    series.admit("a", 30, 2, 100);
    series.admit("a", 90, 1, 100);
    series.admit("b", 5, 1, 100);
    expect(series.total).toBe(35);
  });

  it("over the limit refuses only hosts beyond an equal share, and asks all to fold", () => {
    const series = new SeriesCount();
    expect(series.admit("large", 80, 1, 100)).toBe(true);
    expect(series.rowsMax).toBe(0);
    expect(series.admit("small", 50, 1, 100)).toBe(true);
    expect(series.admit("large", 80, 2, 100)).toBe(false);
    expect(series.rowsMax).toBe(6);
    expect(series.admit("large", 48, 3, 100)).toBe(true);
    expect(series.total).toBe(98);
  });

  it("forgets hosts that went silent and eases the cap step by step once there is ample room", () => {
    const series = new SeriesCount();
    series.admit("gone", 90, 0, 100);
    series.admit("a", 20, 0, 100);
    series.admit("b", 60, 0, 100);
    const cap = series.rowsMax;
    expect(cap).toBeGreaterThan(0);
    series.review(100, MINUTE_MS);
    expect(series.rowsMax).toBe(cap);
    series.review(100, 20 * MINUTE_MS);
    expect(series.total).toBe(0);
    expect(series.rowsMax).toBe(cap * 2);
    series.review(100, 20 * MINUTE_MS);
    expect(series.rowsMax).toBe(0);
  });
});
