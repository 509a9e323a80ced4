// SPDX-License-Identifier: Apache-2.0
import { bucketIndex, RELATIVE_ERROR_MAX } from "@waggle/signals";
import { describe, expect, it } from "vitest";
import { type Buckets, quantile } from "./quantile.ts";

function bucketsOf(values: readonly number[]): Buckets {
  const counts = new Map<number, number>();
  for (const value of values) {
    const index = bucketIndex(BigInt(value));
    counts.set(index, (counts.get(index) ?? 0) + 1);
  }
  const indexes = [...counts.keys()].sort((a, b) => a - b);
  return { indexes, counts: indexes.map((index) => counts.get(index) as number) };
}

describe("a quantile", () => {
  it("is null of nothing", () => {
    expect(quantile({ indexes: [], counts: [] }, 0.5, 0, 0)).toBeNull();
    expect(quantile({ indexes: [3], counts: [0] }, 0.5, 0, 0)).toBeNull();
  });

  it("of a single value is that value, by the exact minimum and maximum", () => {
    for (const value of [1, 7, 1_000, 123_456_789]) {
      for (const q of [0, 0.5, 0.99, 1]) expect(quantile(bucketsOf([value]), q, value, value)).toBe(value);
    }
  });

  it("never lies outside the minimum and maximum", () => {
    const values = [1_001, 1_002, 1_003];
    expect(quantile(bucketsOf(values), 0.01, 1_001, 1_003)).toBeGreaterThanOrEqual(1_001);
    expect(quantile(bucketsOf(values), 0.999, 1_001, 1_003)).toBeLessThanOrEqual(1_003);
  });

  it("rises with q", () => {
    const buckets = bucketsOf(Array.from({ length: 500 }, (_, i) => 1_000 + i * i));
    const found = [0.01, 0.1, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999].map((q) => quantile(buckets, q, 1_000, 250_001) as number);
    expect(found).toEqual([...found].sort((a, b) => a - b));
  });

  it("is within the promised bound of the exact one, however the values are spread", () => {
    const spreads: Record<string, number[]> = {
      logUniform: Array.from({ length: 20_000 }, (_, i) => Math.round(10_000 * 10 ** ((4 * i) / 20_000))),
      // All values of a bucket at its upper end: what interpolation by rank gets wrong by almost 9 %.
      bucketEnds: Array.from({ length: 5_000 }, (_, i) => Math.floor(2 ** ((90 + (i % 40)) / 8))).sort((a, b) => a - b),
      twoPeaks: [...Array.from({ length: 990 }, (_, i) => 50_000 + i), ...Array.from({ length: 10 }, (_, i) => 90_000_000 + i)],
    };
    for (const values of Object.values(spreads)) {
      for (const q of [0.01, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999]) {
        const exact = values[Math.ceil(q * values.length) - 1] as number;
        const found = quantile(bucketsOf(values), q, values[0] as number, values[values.length - 1] as number) as number;
        expect(Math.abs(found - exact) / exact).toBeLessThanOrEqual(RELATIVE_ERROR_MAX);
      }
    }
  });
});
