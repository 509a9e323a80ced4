// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { Backoff } from "./backoff.ts";

describe("Backoff", () => {
  it("doubles its ceiling up to the maximum and starts over after a success", () => {
    const backoff = new Backoff({ minMs: 500, maxMs: 30_000, random: () => 1 });
    expect(Array.from({ length: 8 }, () => backoff.nextMs())).toEqual([500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
    backoff.reset();
    expect(backoff.nextMs()).toBe(500);
  });

  it("draws from the whole range below the ceiling, but is never a busy loop", () => {
    const backoff = new Backoff({ minMs: 500, maxMs: 30_000, random: () => 0 });
    expect(Array.from({ length: 5 }, () => backoff.nextMs())).toEqual([50, 50, 50, 50, 50]);
  });

  it("stays finite after years of failing", () => {
    const backoff = new Backoff({ minMs: 500, maxMs: 30_000, random: () => 0.5 });
    for (let attempt = 0; attempt < 5_000; attempt++) backoff.nextMs();
    expect(backoff.nextMs()).toBe(15_000);
  });
});
