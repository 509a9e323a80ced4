// SPDX-License-Identifier: Apache-2.0
import { getSignalOrThrow } from "@waggle/signals";
import { expect, it } from "vitest";
import { byStatement, measuresOf, type QueryableMeasure, toSelection } from "./measures.ts";

const statements = (...aggregates: string[]) => {
  const rtt = measuresOf(getSignalOrThrow("tcp_rtt")).find(({ name }) => name === "rtt") as QueryableMeasure;
  const found = byStatement(aggregates.map((aggregate) => toSelection(rtt, aggregate as never)));
  return Object.fromEntries([...found].map(([form, selections]) => [form, selections.map(({ aggregate }) => aggregate)]));
};

it("counts and extremes come out of the rows of percentiles, averages do not", () => {
  expect(statements("p50", "count", "min", "max")).toEqual({ quantiles: ["p50", "count", "min", "max"] });
  expect(statements("count", "p99", "avg")).toEqual({ quantiles: ["count", "p99"], extents: ["avg"] });
  expect(statements("count", "avg", "max")).toEqual({ extents: ["count", "avg", "max"] });
});

it("a heat map takes them along only where it is not ranked by one of them", () => {
  expect(statements("heatmap", "p50", "max")).toEqual({ buckets: ["heatmap", "p50", "max"] });
  expect(statements("max", "heatmap", "p50")).toEqual({ extents: ["max"], buckets: ["heatmap", "p50"] });
});
