// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { lowerBound, RangeTable } from "./range-table.ts";

describe("RangeTable", () => {
  it("finds the range that holds an address, end excluded, whatever order they came in", () => {
    const table = new RangeTable(100);
    table.add(300, 400, "c");
    table.add(100, 200, "a");
    table.add(200, 300, "b");
    expect([99, 100, 199, 200, 299, 300, 399, 400].map((address) => table.get(address))).toEqual([
      undefined,
      "a",
      "a",
      "b",
      "b",
      "c",
      "c",
      undefined,
    ]);
  });

  it("keeps the names that are known where a new range overlaps them", () => {
    const table = new RangeTable(100);
    table.add(100, 200, "known");
    table.add(50, 150, "below");
    table.add(150, 250, "above");
    table.add(120, 130, "inside");
    expect([50, 99, 100, 125, 199, 200, 249].map((address) => table.get(address))).toEqual([
      "below",
      "below",
      "known",
      "known",
      "known",
      "above",
      "above",
    ]);
  });

  it("starts over when it is full", () => {
    const table = new RangeTable(2);
    table.add(0, 1, "a");
    table.add(1, 2, "b");
    table.add(2, 3, "c");
    expect([table.size, table.get(0), table.get(2)]).toEqual([1, undefined, "c"]);
  });
});

describe("lowerBound", () => {
  it("is the first position that is not below the value", () => {
    const numbers = Float64Array.of(1, 3, 3, 7);
    expect([0, 1, 2, 3, 4, 7, 8].map((value) => lowerBound(numbers, value))).toEqual([0, 0, 1, 1, 3, 3, 4]);
  });
});
