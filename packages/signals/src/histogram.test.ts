// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { bucketIndex, bucketLower, bucketUpper } from "./histogram.ts";

describe("bucketIndex", () => {
  it("puts a value inside its bucket's bounds, upper bound inclusive", () => {
    for (let exponent = 0; exponent < 63; exponent++) {
      for (const offset of [-1n, 0n, 1n, (1n << BigInt(exponent)) / 3n]) {
        const value = (1n << BigInt(exponent)) + offset;
        if (value < 2n || value > 1n << 52n) continue;
        const index = bucketIndex(value);
        expect(Number(value)).toBeGreaterThan(bucketLower(index) * (1 - 1e-9));
        expect(Number(value)).toBeLessThanOrEqual(bucketUpper(index) * (1 + 1e-9));
      }
    }
  });

  it("puts a power of two at the top of the octave below", () => {
    expect(bucketIndex(1024n)).toBe(79);
    expect(bucketIndex(1025n)).toBe(80);
  });

  it("keeps 0 and 1 in bucket 0 and the largest value on the grid", () => {
    expect([bucketIndex(0n), bucketIndex(1n)]).toEqual([0, 0]);
    expect(bucketIndex((1n << 64n) - 1n)).toBe(511);
  });

  it("never falls when the value rises", () => {
    let last = 0;
    for (let value = 1n; value < 1n << 40n; value = (value * 21n) / 20n + 1n) {
      const index = bucketIndex(value);
      expect(index).toBeGreaterThanOrEqual(last);
      last = index;
    }
  });
});
