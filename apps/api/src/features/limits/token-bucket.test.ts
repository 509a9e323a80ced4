// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { TokenBucket } from "./token-bucket.ts";

describe("TokenBucket", () => {
  it("gives its burst at once and then its rate", () => {
    const bucket = new TokenBucket(10, 5, 0);
    expect(bucket.tryTake(50, 0)).toBe(true);
    expect(bucket.tryTake(10, 0)).toBe(false);
    expect(bucket.waitMs(10, 0)).toBe(1_000);
    expect(bucket.tryTake(10, 1_000)).toBe(true);
    expect(bucket.tryTake(1, 1_000)).toBe(false);
  });

  it("lets an amount larger than itself pass when it is full, and makes what follows wait for all of it", () => {
    const bucket = new TokenBucket(10, 5, 0);
    expect(bucket.tryTake(100, 0)).toBe(true);
    expect(bucket.used(0)).toBe(100);
    expect(bucket.waitMs(1, 0)).toBe(5_100);
  });

  it("of nothing gives nothing, at no time", () => {
    const bucket = new TokenBucket(0, 5, 0);
    expect(bucket.tryTake(1, 0)).toBe(false);
    expect(bucket.waitMs(1, 1_000_000)).toBe(Number.POSITIVE_INFINITY);
    bucket.resize(10, 5, 1_000_000);
    expect(bucket.tryTake(50, 1_000_000)).toBe(true);
  });

  it("keeps what was used when its rate changes, and takes nothing back when the clock does", () => {
    const bucket = new TokenBucket(10, 5, 10_000);
    bucket.take(30, 10_000);
    bucket.resize(20, 5, 10_000);
    expect(bucket.used(10_000)).toBe(30);
    expect(bucket.used(5_000)).toBe(30);
  });
});
