// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { completeMs, completeOfFleetMs, stepOfRange } from "./steps.ts";

const now = 1_800_000_020_000;
const host = (agoMs: number, lengthMs: number) => ({ endMs: now - agoMs, lengthMs, longestMs: lengthMs });

describe("what is complete", () => {
  it("of a fleet ends with a window that has had time to arrive", () => {
    expect([completeOfFleetMs(now + 3_000, 10_000), completeOfFleetMs(now + 3_300, 10_000)]).toEqual([now - 10_000, now]);
  });

  it.each([
    ["the only host", [host(1_000, 1_000)], 1_000],
    ["the slower of two", [host(1_000, 1_000), host(4_000, 1_000)], 4_000],
    ["a host with long windows, until it is overdue", [host(24_000, 10_000)], 24_000],
    ["those that are there, without one that fell silent", [host(1_000, 1_000), host(60_000, 1_000)], 1_000],
    ["no host: time goes on in default windows", [host(60_000, 1_000)], 10_000],
    ["nobody that ever said anything", [], 10_000],
    ["a host whose clock is ahead, up to now", [host(-5_000, 1_000)], 0],
  ])("of %s", (_, hosts, agoMs) => {
    expect(completeMs(hosts, now - 60_000, now)).toBe(now - agoMs);
  });

  it("never goes back", () => {
    expect(completeMs([host(9_000, 10_000)], now - 1_000, now)).toBe(now - 1_000);
  });
});

describe("the step of a range", () => {
  it.each([
    [0, 10_000, 10_000, 10_000],
    [0, 3_000, 1_000, 1_000],
    [0, 20_000, 1_000, 1_000],
    [10_000, 40_000, 30_000, 10_000],
    [30_000, 60_000, 30_000, 30_000],
    // A range that begins within a long window is cut as it can be.
    [7_000, 10_000, 10_000, 1_000],
    [0, 5_000, 0, 1_000],
  ])("from %s to %s with windows of %s is %s", (from, to, longest, step) => {
    expect(stepOfRange(now - 20_000 + from, now - 20_000 + to, longest)).toBe(step);
  });
});
