// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { DrainRate } from "./drain-rate.ts";

describe("DrainRate", () => {
  it("tells the rate of the last minute, from the first frame on", () => {
    const rate = new DrainRate();
    expect(rate.perSecond(1_000_000)).toBeUndefined();
    for (let ms = 0; ms <= 10_000; ms += 100) rate.add(1_000_000 + ms);
    expect(rate.perSecond(1_010_000)).toBeCloseTo(10, 0);
    for (let ms = 10_000; ms <= 300_000; ms += 500) rate.add(1_000_000 + ms);
    expect(rate.perSecond(1_300_000)).toBeGreaterThan(1.7);
    expect(rate.perSecond(1_300_000)).toBeLessThan(2.2);
  });

  it("says nothing once nothing went for a minute, and does not count the pause afterwards", () => {
    const rate = new DrainRate();
    rate.add(0);
    expect(rate.perSecond(70_000)).toBeUndefined();
    for (let ms = 0; ms < 2_000; ms += 100) rate.add(500_000 + ms);
    expect(rate.perSecond(502_000)).toBeCloseTo(10, 0);
  });
});
