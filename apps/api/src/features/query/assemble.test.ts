// SPDX-License-Identifier: Apache-2.0
import { getSignalOrThrow, OTHER } from "@waggle/signals";
import { describe, expect, it } from "vitest";
import { assembleSeries, type FormRows, heatmapGrids, ratesOfFleet, withCompared } from "./assemble.ts";
import { Reports } from "./coverage.ts";
import { measuresOf, type Selection, toSelection } from "./measures.ts";
import type { HeatmapSeries, ValueSeries } from "./query.schemas.ts";
import type { Plan } from "./sql.ts";

const steps = { fromMs: 0, toMs: 40_000, stepMs: 10_000, count: 4 };

function selection(signalName: string, measureName: string, aggregate: string): Selection {
  const measure = measuresOf(getSignalOrThrow(signalName)).find((candidate) => candidate.name === measureName);
  if (measure === undefined) throw new Error(measureName);
  return toSelection(measure, aggregate as never);
}

function plan(signal: string, selections: readonly Selection[], by: readonly string[] = []): Plan {
  return { tenant: "t", signal: getSignalOrThrow(signal), selections, by, filters: [], hosts: null, steps, limit: 10 };
}

/** host a reported in steps 0 and 1, host b in steps 1 and 2, nobody in step 3. */
const reports = new Reports(
  [
    { step: 0, hosts: 1, covered_ms: 10_000 },
    { step: 1, hosts: 2, covered_ms: 20_000 },
    { step: 2, hosts: 1, covered_ms: 10_000 },
  ],
  [
    { reporters: ["a"], steps: [0, 1], covered_ms: [10_000, 10_000] },
    { reporters: ["b"], steps: [1, 2], covered_ms: [10_000, 10_000] },
  ],
  4,
);
const name = (id: string): string => `host-${id}`;
const picture = (series: readonly (ValueSeries | HeatmapSeries)[]) =>
  series.map((entry) => [...Object.values(entry.labels), "values" in entry ? entry.values : entry.cells]);

describe("series", () => {
  const segments = selection("tcp_retransmits", "segments", "sum");
  const table = (rows: Record<string, unknown>[], of: Selection = segments): FormRows[] => [{ form: of.form, selections: [of], rows }];

  it("are 0 where somebody reported and null where nobody did", () => {
    expect(picture(assembleSeries(plan("tcp_retransmits", [segments]), null, table([{ step: 1, v0: 7 }]), { reports, hostName: name }))).toEqual([
      [[0, 7, 0, null]],
    ]);
  });

  it("by host know each host's own gaps, and those of all the hosts in ~other", () => {
    const rows = [
      { step: 0, g0: "a", v0: 5 },
      { step: 1, g0: OTHER, v0: 2 },
    ];
    expect(picture(assembleSeries(plan("tcp_retransmits", [segments], ["host"]), [["a"]], table(rows), { reports, hostName: name }))).toEqual([
      ["host-a", [5, 0, null, null]],
      [OTHER, [null, 2, 0, null]],
    ]);
  });

  it("keep the order of the ranking, with ~other last", () => {
    const rows = [OTHER, "x", "y"].map((g0) => ({ step: 0, g0, v0: 1 }));
    const series = assembleSeries(plan("tcp_retransmits", [segments], ["process"]), [["y"], ["x"]], table(rows), { reports, hostName: name });
    expect(series.map((entry) => entry.labels.process)).toEqual(["y", "x", OTHER]);
  });

  it("show what was stored even where no coverage speaks of it", () => {
    expect(picture(assembleSeries(plan("tcp_retransmits", [segments]), null, table([{ step: 3, v0: 4 }]), { reports, hostName: name }))).toEqual([
      [[0, 0, 0, 4]],
    ]);
  });

  it("have no percentile, mean or extreme of nothing", () => {
    for (const aggregate of ["p50", "avg", "min", "max"]) {
      const of = selection("tcp_rtt", "rtt", aggregate);
      const row = { step: 1, indexes: [80], counts: [3], n: 3, total: 3_300, lowest: 1_100, highest: 1_100 };
      expect(picture(assembleSeries(plan("tcp_rtt", [of]), null, table([row], of), { reports, hostName: name })), aggregate).toEqual([
        [[null, 1_100, null, null]],
      ]);
    }
    const count = selection("tcp_rtt", "rtt", "count");
    expect(picture(assembleSeries(plan("tcp_rtt", [count]), null, table([{ step: 1, n: 3 }], count), { reports, hostName: name }))).toEqual([
      [[0, 3, 0, null]],
    ]);
  });

  it("of a heat map have a row for every bucket between the lowest and the highest", () => {
    const of = selection("tcp_rtt", "rtt", "heatmap");
    const rows = [
      { step: 0, indexes: [80], counts: [2] },
      { step: 2, indexes: [80, 82], counts: [1, 5] },
    ];
    expect(picture(assembleSeries(plan("tcp_rtt", [of]), null, table(rows, of), { reports, hostName: name }))).toEqual([
      [
        [
          [2, 0, 1, null],
          [0, 0, 0, null],
          [0, 0, 5, null],
        ],
      ],
    ]);
  });
});

it("the rate of a fleet's sum is over the mean time of the hosts that reported, and unknown where none did", () => {
  const selections = [selection("syscalls", "count", "rate"), selection("syscalls", "count", "sum")];
  const rows = [0, 1, 3].map((step) => ({ step, v0: 600, v1: 600 }));
  const partly = new Reports(
    [
      { step: 0, hosts: 2, covered_ms: 20_000 },
      { step: 1, hosts: 2, covered_ms: 15_000 },
    ],
    [],
    4,
  );
  const table = ratesOfFleet({ form: "sums", selections, rows }, partly);
  expect(table.rows.map((row) => [row.v0, row.v1])).toEqual([
    [60, 600],
    [80, 600],
    [null, 600],
  ]);
});

describe("a compared window", () => {
  const one = (process: string, values: (number | null)[]): ValueSeries => ({
    measure: "segments",
    aggregate: "sum",
    unit: "segments",
    labels: { process },
    values,
  });

  it("stands beside the series of the same name, wherever that is, and changes what both have values for", () => {
    const compared = withCompared([one("new", [1, 2]), one("b", [3, null]), one("a", [2, 4])], [one("a", [1, 1]), one("b", [2, 8])]) as ValueSeries[];
    expect(compared.map(({ labels, compared: before, change }) => [labels["process"], before, change])).toEqual([
      ["new", [null, null], null],
      ["b", [2, 8], 0.5],
      ["a", [1, 1], 2],
    ]);
  });

  it("of zeros has no relative change", () => {
    expect(withCompared([one("a", [1])], [one("a", [0])])[0]).toMatchObject({ compared: [0], change: null });
  });

  describe("of a heat map", () => {
    const of = selection("tcp_rtt", "rtt", "heatmap");
    const ofProcess = plan("tcp_rtt", [of], ["process"]);
    const tables = (rows: Record<string, unknown>[]): FormRows[] => [{ form: "buckets", selections: [of], rows }];
    const both = (now: FormRows[], before: FormRows[], top: string[][], beforeReports = reports) => {
      const grids = heatmapGrids(ofProcess, [now, before]);
      const series = (rows: FormRows[], of: Reports) => assembleSeries(ofProcess, top, rows, { reports: of, hostName: name, groups: top, grids });
      return withCompared(series(now, reports), series(before, beforeReports)) as HeatmapSeries[];
    };

    it("lies on the same buckets, those of the two together, also where neither has the ones between", () => {
      const now = tables([{ step: 0, g0: "a", indexes: [80, 81], counts: [2, 3] }]);
      const before = tables([{ step: 2, g0: "a", indexes: [84], counts: [7] }]);
      const [heatmap] = both(now, before, [["a"]]);
      expect(heatmap?.buckets).toHaveLength(5);
      expect(heatmap?.buckets.slice(1).map(({ lower }) => lower)).toEqual(heatmap?.buckets.slice(0, -1).map(({ upper }) => upper));
      expect(heatmap?.cells.map((row) => row[0])).toEqual([2, 3, 0, 0, 0]);
      expect(heatmap?.compared?.map((row) => row[2])).toEqual([0, 0, 0, 0, 7]);
    });

    it("knows the gaps of its own window, and a window in which nothing was counted has the other's buckets", () => {
      const now = tables([{ step: 1, g0: "a", indexes: [80], counts: [2] }]);
      const onlyFirst = new Reports([{ step: 0, hosts: 1, covered_ms: 10_000 }], [], 4);
      const [a, b] = both(now, tables([{ step: 0, g0: "b", indexes: [90], counts: [1] }]), [["a"], ["b"]], onlyFirst);
      expect([a?.cells, a?.compared]).toEqual([[[0, 2, 0, null]], [[0, null, null, null]]]);
      expect([b?.cells, b?.compared]).toEqual([[[0, 0, 0, null]], [[1, null, null, null]]]);
    });

    it("of nothing in either window has no buckets", () => {
      expect(both(tables([]), tables([]), [["a"]])[0]).toMatchObject({ buckets: [], cells: [], compared: [] });
    });
  });
});
