// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { FrameDictionary } from "./frame-dictionary.ts";

const hour = 3_600_000;
const stacksOf = (rows: ReturnType<FrameDictionary["take"]>): string[] => rows.map(({ stack }) => stack as string);

describe("FrameDictionary", () => {
  it("sends a stack's frames once in an hour, and again in the next", () => {
    const dictionary = new FrameDictionary();
    const use = (at: number): string[] => {
      dictionary.begin(at);
      dictionary.add([["a", "main;work"]]);
      return stacksOf(dictionary.take(100));
    };
    expect([use(10), use(20), use(hour - 1), use(hour), use(hour + 10)]).toEqual([["a"], [], [], ["a"], []]);
  });

  it("says when an hour begins", () => {
    const dictionary = new FrameDictionary();
    expect([10, 20, hour, 2 * hour - 1, 2 * hour].map((at) => dictionary.begin(at))).toEqual([true, false, true, false, true]);
  });

  it("spreads what is too much over windows, what is new before what waits", () => {
    const dictionary = new FrameDictionary();
    dictionary.begin(0);
    const text = "f".repeat(1_600);
    const many = Array.from({ length: 100 }, (_, index) => [`s${index}`, text] as const);
    dictionary.add(many);
    const first = stacksOf(dictionary.take(1_000));
    expect(first.length).toBeGreaterThan(50);
    expect(first).toEqual(many.map(([stack]) => stack).slice(0, first.length));
    expect(dictionary.has("s99")).toBe(true);
    dictionary.add([["new", text]]);
    expect(stacksOf(dictionary.take(1_000))).toEqual(["new", ...many.map(([stack]) => stack).slice(first.length)]);
    expect(stacksOf(dictionary.take(1_000))).toEqual([]);
  });

  it("keeps to the rows it is asked for", () => {
    const dictionary = new FrameDictionary();
    dictionary.begin(0);
    dictionary.add(Array.from({ length: 10 }, (_, index) => [`s${index}`, "main"] as const));
    expect(stacksOf(dictionary.take(3))).toEqual(["s0", "s1", "s2"]);
    expect(stacksOf(dictionary.take(100))).toHaveLength(7);
  });

  it("lets go of what waits beyond its room, and takes it at its next use", () => {
    const dictionary = new FrameDictionary();
    dictionary.begin(0);
    const text = "f".repeat(8_000);
    dictionary.add(Array.from({ length: 300 }, (_, index) => [`s${index}`, text] as const));
    expect([dictionary.has("s0"), dictionary.has("s299")]).toEqual([true, false]);
    dictionary.take(1_000);
    dictionary.add([["s299", text]]);
    expect(stacksOf(dictionary.take(1_000))[0]).toBe("s299");
  });
});
