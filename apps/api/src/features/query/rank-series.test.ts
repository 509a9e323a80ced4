// SPDX-License-Identifier: Apache-2.0
import { getSignalOrThrow, OTHER } from "@waggle/signals";
import { describe, expect, it } from "vitest";
import { rankSeries } from "./rank-series.ts";
import type { Plan } from "./sql.ts";

const plan = (limit: number): Plan => ({
  tenant: "t",
  signal: getSignalOrThrow("tcp_retransmits"),
  selections: [],
  by: ["process", "peer"],
  filters: [],
  hosts: ["h"],
  steps: { fromMs: 0, toMs: 20_000, stepMs: 10_000, count: 2 },
  limit,
});
const row = (step: number, process: string, peer: string, v0: number | null, v1: number | null) => ({ step, g0: process, g1: peer, v0, v1 });

describe("series that are ranked", () => {
  it("show the groups with the largest volume over all steps first, and add up the others step by step", () => {
    const rows = [
      row(0, "a", "x", 1, 10),
      row(1, "a", "x", 2, 20),
      row(0, "b", "x", 3, 25),
      row(0, "c", "x", 4, 1),
      row(1, "d", "x", 5, 2),
      row(0, "d", "x", 6, 3),
    ];
    expect(rankSeries(plan(2), rows, 1)).toEqual({
      top: [
        ["a", "x"],
        ["b", "x"],
      ],
      groups: 4,
      rows: [rows[0], rows[1], rows[2], { step: 1, g0: OTHER, g1: OTHER, v0: 5 }, { step: 0, g0: OTHER, g1: OTHER, v0: 10 }],
    });
  });

  it("go by name where volumes are equal, and last where there is none", () => {
    const rows = [row(0, "b", "x", 1, 1), row(0, "a", "y", 1, 1), row(0, "a", "x", 1, 1), row(0, "0", "x", 1, null)];
    expect(rankSeries(plan(9), rows, 1).top).toEqual([
      ["a", "x"],
      ["a", "y"],
      ["b", "x"],
      ["0", "x"],
    ]);
  });

  it("take the agent's own overflow for the rest and for no group", () => {
    const rows = [row(0, OTHER, OTHER, 9, 9), row(0, "a", OTHER, 1, 1)];
    expect(rankSeries(plan(5), rows, 1)).toEqual({ top: [["a", OTHER]], groups: 1, rows: [rows[1], { step: 0, g0: OTHER, g1: OTHER, v0: 9 }] });
  });

  it("have no value in ~other where none of the rest has one", () => {
    expect(
      rankSeries(plan(1), [row(0, "a", "x", 1, 5), row(0, "b", "x", null, 1), row(1, "b", "x", null, 1), row(1, "c", "x", 2, 1)], 1).rows,
    ).toEqual([row(0, "a", "x", 1, 5), { step: 0, g0: OTHER, g1: OTHER, v0: null }, { step: 1, g0: OTHER, g1: OTHER, v0: 2 }]);
  });
});
