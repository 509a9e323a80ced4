// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import type { QueryMeta, ValueSeries } from "./api/types";
import { gapsOf, groupTracks, isolated, ratio, ribbonRuns, toRows, zeros } from "./series";

const from = Date.UTC(2026, 7, 16, 13, 0, 0);

function meta(steps: number[], missing: QueryMeta["coverage"]["missing"] = []): QueryMeta {
  return {
    signal: "tcp_rtt",
    from: new Date(from).toISOString(),
    to: new Date(from + steps.length * 10_000).toISOString(),
    stepSeconds: 10,
    points: steps.length,
    unit: "ns",
    coverage: { hosts: 1, reporting: 1, missing, steps, stepHosts: { reporting: [], expected: [] }, states: [], note: null },
    truncated: null,
    level: "raw",
    scope: "host",
    sources: [],
    rowsRead: 0,
    elapsedMs: 0,
    plannerMs: 0,
    assemblyMs: 0,
  };
}

function series(process: string, values: (number | null)[]): ValueSeries {
  return { measure: "segments", aggregate: "rate", unit: "segments/s", labels: { process }, values };
}

describe("gaps", () => {
  it("are runs of steps that nobody reported", () => {
    const gaps = gapsOf(meta([1, 0, 0, 0, 1, 1]), false);
    expect(gaps).toEqual([{ fromMs: from + 10_000, toMs: from + 40_000, label: "no data 30 s" }]);
  });
  it("carry the reason the API gives for what is still missing", () => {
    const missing = [{ host: "web-1", reason: "agent restarted", state: "offline", since: null }];
    expect(gapsOf(meta([1, 0, 0, 0], missing), false)[0]?.label).toBe("no data 30 s: agent restarted");
  });
  it("do not include steps of a live range that may still arrive", () => {
    expect(gapsOf(meta([1, 1, 0]), true)).toEqual([]);
    expect(gapsOf(meta([1, 0, 0, 0]), true)).toHaveLength(1);
  });
});

it("rows keep a missing value missing and a zero zero", () => {
  const rows = toRows(meta([1, 0, 1]), [{ key: "p99", label: "p99", unit: "ns", values: [5, null, 0] }]);
  expect(rows.map((r) => r["p99"])).toEqual([5, null, 0]);
  expect(rows[0]?.t).toBe(from + 5000);
});

it("zero is drawn where the signal was covered and only there", () => {
  expect(zeros(meta([1, 0, 0.5]))).toEqual([0, null, 0]);
});

it("a lone sample is found, because a line needs two", () => {
  const values = [null, 3, null, 4, 5];
  expect(values.map((_, i) => isolated(values, i))).toEqual([false, true, false, false, false]);
});

it("a share of nothing is zero, a share of unknown is unknown", () => {
  expect(ratio([1, 0, null, 2], [10, 0, 5, null])).toEqual([0.1, 0, null, null]);
});

describe("ribbon", () => {
  const picture = (steps: number[], live: boolean) =>
    ribbonRuns(meta(steps), live)
      .map((r) => ({ full: "=", partial: "~", none: ".", pending: "?" })[r.level].repeat(r.length))
      .join("");
  it("shows full, partial, none and not yet", () => {
    expect(picture([1, 1, 0.5, 0, 0, 0, 1], false)).toBe("==~...=");
    expect(picture([1, 1, 0], true)).toBe("==?");
    expect(picture([1, 0, 0, 0, 0], true)).toBe("=....");
  });
});

describe("groups", () => {
  it("keeps the largest, adds the rest up exactly and counts it", () => {
    const tracks = groupTracks([series("b", [1, 1]), series("a", [9, 9]), series("c", [2, null]), series("~other", [4, null])], "process", 1, 5);
    expect(tracks.map((t) => t.label)).toEqual(["a", "other (7)"]);
    expect(tracks[1]?.values).toEqual([7, 1]);
  });
});
