// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { KeptAnswers } from "./kept-answers.ts";

describe("kept answers", () => {
  it("hold for the version they were made of, and are dropped by another", () => {
    const kept = new KeptAnswers<string>(800);
    kept.put("a", "1", "one", 10);
    expect(kept.get("a", "1")).toBe("one");
    expect(kept.get("a", "2")).toBeUndefined();
    expect(kept.get("a", "1")).toBeUndefined();
    expect(kept.size).toBe(0);
  });

  it("go in the order in which nobody asked for them, when there is no more room", () => {
    const kept = new KeptAnswers<number>(800);
    for (let index = 0; index < 8; index++) kept.put(String(index), "1", index, 100);
    expect(kept.get("0", "1")).toBe(0);
    kept.put("8", "1", 8, 100);
    expect(kept.get("0", "1")).toBe(0);
    expect(kept.get("1", "1")).toBeUndefined();
    expect(kept.size).toBe(800);
  });

  it("do not let one push out all others, and count a replaced one once", () => {
    const kept = new KeptAnswers<number>(800);
    kept.put("a", "1", 1, 50);
    kept.put("large", "1", 2, 101);
    expect(kept.get("large", "1")).toBeUndefined();
    kept.put("a", "2", 3, 60);
    expect([kept.get("a", "2"), kept.size]).toEqual([3, 60]);
  });
});
