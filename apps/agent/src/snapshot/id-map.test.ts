// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { halvesOf, IdMap } from "./id-map.ts";

describe("IdMap", () => {
  it("keeps what a Map of bigints keeps, over many ids, changes and deletions", () => {
    const ids = new IdMap<number>();
    const map = new Map<bigint, number>();
    let state = 12345n;
    for (let step = 0; step < 20_000; step++) {
      state = BigInt.asUintN(64, state * 6364136223846793005n + 1442695040888963407n);
      // Ids that differ in one half only, ids that are small, and ids that come again.
      const id = step % 3 === 0 ? state : step % 3 === 1 ? BigInt(step % 500) : (state >> 54n) << 32n;
      ids.set(...halvesOf(id), step);
      map.set(id, step);
      if (step % 5_000 !== 4_999) continue;
      ids.keep((value) => value % 2 === 0);
      for (const [key, value] of map) if (value % 2 !== 0) map.delete(key);
    }
    expect(ids.size).toBe(map.size);
    for (const [id, value] of map) expect(ids.get(...halvesOf(id))).toBe(value);
    expect([...ids.values()].toSorted((a, b) => a - b)).toEqual([...map.values()].toSorted((a, b) => a - b));
    expect(ids.get(...halvesOf(1n << 63n))).toBeUndefined();
  });

  it("tells apart ids whose halves are the same in the other order, and holds 0 and the largest", () => {
    const ids = new IdMap<string>();
    for (const [id, name] of [
      [0n, "zero"],
      [(1n << 64n) - 1n, "largest"],
      [(1n << 32n) | 2n, "a"],
      [(2n << 32n) | 1n, "b"],
    ] as const)
      ids.set(...halvesOf(id), name);
    expect([0n, (1n << 64n) - 1n, (1n << 32n) | 2n, (2n << 32n) | 1n].map((id) => ids.get(...halvesOf(id)))).toEqual(["zero", "largest", "a", "b"]);
    expect(ids.get(...halvesOf(3n))).toBeUndefined();
  });

  it("is empty when it is cleared, and can be filled again", () => {
    const ids = new IdMap<number>();
    for (let id = 0; id < 1_000; id++) ids.set(id, 7, id);
    ids.clear();
    expect([ids.size, ids.get(5, 7), [...ids.values()]]).toEqual([0, undefined, []]);
    ids.set(5, 7, 1);
    expect([ids.size, ids.get(5, 7)]).toEqual([1, 1]);
  });
});
