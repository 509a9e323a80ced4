// SPDX-License-Identifier: Apache-2.0
import { getSignalOrThrow, OTHER } from "@waggle/signals";
import { describe, expect, it } from "vitest";
import type { SeriesRow } from "./assemble.ts";
import { measuresOf, type QueryableMeasure, type Selection, toSelection } from "./measures.ts";
import { cutTotals, mergeStretches, rankTotals, ratesOfHosts } from "./rank-totals.ts";
import type { Plan } from "./sql.ts";

const plan = (limit: number, by: readonly string[] = ["process"]): Plan => ({
  tenant: "t",
  signal: getSignalOrThrow("tcp_rtt"),
  selections: [],
  by,
  filters: [],
  hosts: null,
  steps: { fromMs: 0, toMs: 60_000, stepMs: 60_000, count: 1 },
  limit,
});

function selection(signal: string, name: string, aggregate: string): Selection {
  const measure = measuresOf(getSignalOrThrow(signal)).find((candidate) => candidate.name === name) as QueryableMeasure;
  return toSelection(measure, aggregate as never);
}

const sums = (g0: string, v0: number, v1 = 0): SeriesRow => ({ step: 7, g0, v0, v1 });
const buckets = (g0: string, counts: Record<number, number>, lowest: number, highest: number): SeriesRow => ({
  step: 7,
  g0,
  indexes: Object.keys(counts).map(Number),
  counts: Object.values(counts),
  lowest,
  highest,
});

describe("values of stretches", () => {
  it("add up by group", () => {
    expect(mergeStretches(plan(9), "sums", [sums("a", 1, 5), sums("b", 2), sums("a", 3, 6)])).toEqual([
      { step: 0, g0: "a", v0: 4, v1: 11 },
      { step: 0, g0: "b", v0: 2, v1: 0 },
    ]);
    const extents = { step: 1, g0: "a", n: 2, total: 10, lowest: 3, highest: 7 };
    expect(mergeStretches(plan(9), "extents", [extents, { ...extents, lowest: 1 }, { ...extents, highest: 9, total: 20 }])).toEqual([
      { step: 0, g0: "a", n: 6, total: 40, lowest: 1, highest: 9 },
    ]);
    expect(mergeStretches(plan(9), "buckets", [buckets("a", { 5: 1, 8: 2 }, 40, 90), buckets("a", { 2: 4, 8: 1 }, 10, 80)])).toEqual([
      { step: 0, g0: "a", indexes: [2, 5, 8], counts: [4, 1, 3], lowest: 10, highest: 90 },
    ]);
    expect(
      mergeStretches(plan(9, []), "sums", [
        { step: 0, v0: 1 },
        { step: 3, v0: 2 },
      ]),
    ).toEqual([{ step: 0, v0: 3 }]);
  });

  it("are ranked by the value of a selection, then by name; the agent's overflow is nobody's group", () => {
    const rows = [sums("c", 1, 9), sums("a", 5, 1), sums("b", 5, 1), sums(OTHER, 99, 99)];
    const total = selection("tcp_retransmits", "segments", "sum");
    expect(rankTotals(plan(2), rows, total, 0)).toEqual({ top: [["a"], ["b"]], groups: 3 });
    expect(rankTotals(plan(2), rows, total, 1)).toEqual({ top: [["c"], ["a"]], groups: 3 });
  });

  it("are ranked by the bucket of a percentile, and in one bucket by who reaches higher", () => {
    const rows = [buckets("a", { 5: 9, 9: 1 }, 1, 50), buckets("b", { 5: 9, 9: 1 }, 1, 60), buckets("c", { 6: 1 }, 1, 10)];
    expect(rankTotals(plan(9), rows, selection("tcp_rtt", "rtt", "p50"), 0).top).toEqual([["c"], ["b"], ["a"]]);
    expect(rankTotals(plan(9), rows, selection("tcp_rtt", "rtt", "p99"), 0).top).toEqual([["b"], ["a"], ["c"]]);
    expect(rankTotals(plan(9), rows, selection("tcp_rtt", "rtt", "count"), 0).top).toEqual([["a"], ["b"], ["c"]]);
    expect(rankTotals(plan(9), rows, selection("tcp_rtt", "rtt", "max"), 0).top).toEqual([["b"], ["a"], ["c"]]);
    expect(rankTotals(plan(2), [...rows, buckets("d", { 1: 99 }, 1, 2)], null, 0)).toEqual({ top: [["d"], ["a"]], groups: 4 });
  });

  it("of groups that are not shown are in ~other, with the agent's own", () => {
    const rows = [sums("a", 1), sums("b", 2), sums("c", 4), sums(OTHER, 8)];
    expect(cutTotals(plan(1), "sums", rows, [["c"]])).toEqual([sums("c", 4), { step: 0, g0: OTHER, v0: 11, v1: 0 }]);
    expect(cutTotals(plan(9), "sums", rows.slice(0, 1), [["a"]])).toEqual([sums("a", 1)]);
    expect(cutTotals(plan(9, []), "sums", [{ step: 0, v0: 1 }], [])).toEqual([{ step: 0, v0: 1 }]);
  });
});

describe("rates of hosts", () => {
  const selections = [selection("tcp_retransmits", "segments", "rate"), selection("tcp_retransmits", "segments", "sum")];
  const hosts = new Map([
    ["h1", { coveredMs: 10_000 }],
    ["h2", { coveredMs: 5_000 }],
    ["silent", { coveredMs: 0 }],
  ]);

  it("are each host's sum over its own time, and only then added up", () => {
    const [of, asked] = [plan(9), plan(9, ["process", "host"])];
    const rows = [
      { step: 0, g0: "a", g1: "h1", v0: 20, v1: 20 },
      { step: 0, g0: "a", g1: "h2", v0: 20, v1: 20 },
      { step: 0, g0: "b", g1: "h1", v0: 0, v1: 0 },
    ];
    expect(ratesOfHosts(of, asked, selections, rows, hosts)).toEqual([
      { step: 0, g0: "a", v0: 6, v1: 40 },
      { step: 0, g0: "b", v0: 0, v1: 0 },
    ]);
  });

  it("are null, and no zero, of who is not known to have reported; such groups rank last, and take nothing from the others", () => {
    const of = plan(9, ["host"]);
    const rows = ["h1", "silent", "unknown"].map((g0) => ({ step: 0, g0, v0: g0 === "h1" ? 0 : 7, v1: 7 }));
    const rates = ratesOfHosts(of, of, selections, rows, hosts);
    expect(rates.map(({ v0 }) => v0)).toEqual([0, null, null]);
    expect(rankTotals(of, rates, selections[0] as Selection, 0).top).toEqual([["h1"], ["silent"], ["unknown"]]);
    expect(cutTotals(of, "sums", rates, [["h1"]]).at(-1)).toEqual({ step: 0, g0: OTHER, v0: null, v1: 14 });
    expect(cutTotals(of, "sums", rates, [["silent"]]).at(-1)).toEqual({ step: 0, g0: OTHER, v0: 0, v1: 14 });
  });
});
