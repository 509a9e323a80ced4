// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { parseCpuList } from "./cpu-clock.ts";

describe("parseCpuList", () => {
  it("reads single CPUs and ranges", () => {
    expect(parseCpuList("0-3,5,8-9\n")).toEqual([0, 1, 2, 3, 5, 8, 9]);
    expect(parseCpuList("0\n")).toEqual([0]);
    expect(parseCpuList("\n")).toEqual([]);
  });
});
