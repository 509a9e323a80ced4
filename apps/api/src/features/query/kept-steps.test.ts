// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { type KeptStep, KeptSteps } from "./kept-steps.ts";

interface Row {
  readonly v0: number;
}

const steps = (...all: [atMs: number, version: string, ...rows: Row[]][]): Map<number, KeptStep<Row>> =>
  new Map(all.map(([atMs, version, ...rows]) => [atMs, { version, rows }]));

describe("kept steps", () => {
  it("are given in the version they were kept in, and in no other", () => {
    const kept = new KeptSteps<Row>(100);
    kept.put("q", steps([0, "a", { v0: 1 }], [10, "b"]));
    expect(kept.get("q", 0, "a")).toEqual([{ v0: 1 }]);
    expect(kept.get("q", 10, "b")).toEqual([]);
    expect(kept.get("q", 0, "b")).toBeUndefined();
    expect(kept.get("q", 20, "a")).toBeUndefined();
    expect(kept.get("other", 0, "a")).toBeUndefined();
  });

  it("are replaced by a later version", () => {
    const kept = new KeptSteps<Row>(100);
    kept.put("q", steps([0, "a", { v0: 1 }, { v0: 2 }]));
    kept.put("q", steps([0, "b", { v0: 3 }]));
    expect(kept.get("q", 0, "a")).toBeUndefined();
    expect(kept.get("q", 0, "b")).toEqual([{ v0: 3 }]);
    expect(kept.size).toBe(2);
  });

  it("of the question that was not asked for longest go when there is no more room", () => {
    const kept = new KeptSteps<Row>(6);
    kept.put("old", steps([0, "a", { v0: 1 }]));
    kept.put("older", steps([0, "a", { v0: 1 }]));
    kept.get("old", 0, "a");
    kept.put("new", steps([0, "a", { v0: 1 }], [10, "a"]));
    expect(kept.get("older", 0, "a")).toBeUndefined();
    expect(kept.get("old", 0, "a")).toBeDefined();
    expect(kept.size).toBeLessThanOrEqual(6);
  });

  it("count every entry of an array, and of one question only so many steps are held, the latest", () => {
    const kept = new KeptSteps<{ readonly counts: readonly number[] }>(10_000);
    kept.put("q", new Map([[0, { version: "a", rows: [{ counts: [1, 2, 3] }] }]]));
    expect(kept.size).toBe(4);
    kept.put("q", new Map(Array.from({ length: 2_000 }, (_, index) => [(index + 1) * 10, { version: "a", rows: [] }])));
    expect(kept.get("q", 0, "a")).toBeUndefined();
    expect(kept.get("q", 20_000, "a")).toEqual([]);
    expect(kept.size).toBe(1_500);
  });
});
