// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { chanceOf, informationGain, leastChance, lift, surprise } from "./measures-of-difference.ts";

describe("information gain", () => {
  it("is what the split takes from the entropy of the groups", () => {
    expect(informationGain({ a: 7, aTotal: 7, b: 0, bTotal: 7 })).toBeCloseTo(1, 12);
    expect(informationGain({ a: 5, aTotal: 10, b: 10, bTotal: 20 })).toBeCloseTo(0, 12);
    // The weather of Quinlan's example: 9 of one class, 5 of the other; of the 7 humid days 3 and 4.
    expect(informationGain({ a: 3, aTotal: 9, b: 4, bTotal: 5 })).toBeCloseTo(0.1518, 4);
    expect(informationGain({ a: 0, aTotal: 0, b: 0, bTotal: 0 })).toBe(0);
  });
});

describe("the chance of a finding", () => {
  it("is Fisher's: of the tea tasted right in 4 of 4 cups 1 in 70, of 3 of 4 17 in 70", () => {
    expect(chanceOf({ a: 4, aTotal: 4, b: 0, bTotal: 4 })).toBeCloseTo(1 / 70, 12);
    expect(chanceOf({ a: 3, aTotal: 4, b: 1, bTotal: 4 })).toBeCloseTo(17 / 70, 12);
    expect(chanceOf({ a: 0, aTotal: 4, b: 4, bTotal: 4 })).toBeCloseTo(1, 12);
    expect(chanceOf({ a: 14, aTotal: 14, b: 3, bTotal: 198 })).toBeLessThan(1e-18);
    expect(chanceOf({ a: 3, aTotal: 3, b: 5, bTotal: 5 })).toBeCloseTo(1, 12);
  });

  it("cannot be small where there are few hosts", () => {
    expect(leastChance(1, 3)).toBeCloseTo(0.25, 12);
    expect(leastChance(4, 4)).toBeCloseTo(1 / 70, 12);
  });
});

it("lift is how many times more frequent it is, and nothing where it is nowhere else", () => {
  expect(lift({ a: 14, aTotal: 14, b: 3, bTotal: 198 })).toBeCloseTo(66, 6);
  expect(lift({ a: 14, aTotal: 14, b: 0, bTotal: 198 })).toBeNull();
});

describe("surprise", () => {
  it("adds up to 0 for the same shares, to 1 for shares that have nothing in common", () => {
    expect(surprise(0.3, 0.3) + surprise(0.7, 0.7)).toBeCloseTo(0, 12);
    expect(surprise(1, 0) + surprise(0, 1)).toBeCloseTo(1, 12);
    expect(surprise(0.5, 0.25)).toBeCloseTo(0.5 * (0.5 * Math.log2(1 / 0.75) + 0.25 * Math.log2(0.5 / 0.75)), 12);
  });
});
