// SPDX-License-Identifier: Apache-2.0
import { formatClock, formatDay, formatValue, type Zone } from "@waggle/units";
import type { HeatmapSeries, QueryMeta } from "@/lib/api/types";
import { rowBounds, toGrid } from "@/lib/heatmap";
import { stepCount, stepStart, type Track } from "@/lib/series";
import { type Twin, twinOf } from "../chart-card";
import type { Column } from "../data-table";

interface StepRow {
  readonly index: number;
}

function timeColumn(meta: QueryMeta, zone: Zone): Column<StepRow> {
  return {
    key: "t",
    header: zone === "utc" ? "time, UTC" : "time",
    sort: (row) => row.index,
    render: (row) => {
      const ms = stepStart(meta, row.index);
      return (
        <span className="mono">{meta.stepSeconds >= 3600 ? `${formatDay(ms, zone)} ${formatClock(ms, zone)}` : formatClock(ms, zone, "always")}</span>
      );
    },
  };
}

/** The table with the same numbers as a line chart, newest step first. Uncovered steps say "no data". */
export function tracksTwin(meta: QueryMeta, tracks: readonly Track[], zone: Zone): Twin {
  const rows = Array.from({ length: stepCount(meta) }, (_, i) => ({ index: stepCount(meta) - 1 - i }));
  const columns: Column<StepRow>[] = [
    timeColumn(meta, zone),
    ...tracks.map(
      (track): Column<StepRow> => ({
        key: track.key,
        header: track.label,
        align: "right",
        sort: (row) => track.values[row.index] ?? null,
        render: (row) => ((meta.coverage.steps[row.index] ?? 0) > 0 ? formatValue(track.values[row.index] ?? null, track.unit) : "no data"),
      }),
    ),
  ];
  return twinOf(columns, rows);
}

interface CellRow {
  readonly index: number;
  readonly lower: number;
  readonly upper: number;
  readonly count: number;
}

/** The table with the same numbers as a heat map: one row per counted cell, newest and slowest first. */
export function heatTwin(meta: QueryMeta, series: HeatmapSeries, zone: Zone, noun: string): Twin {
  const grid = toGrid(series, 2);
  const rows: CellRow[] = [];
  if (grid) {
    for (let column = grid.columns - 1; column >= 0; column--) {
      for (let row = grid.rows - 1; row >= 0; row--) {
        const count = grid.counts[row * grid.columns + column] ?? 0;
        if (count > 0) rows.push({ index: column, count, ...rowBounds(grid, row) });
      }
    }
  }
  const time = timeColumn(meta, zone);
  return twinOf<CellRow>(
    [
      { ...time, render: time.render, sort: (row) => row.index },
      { key: "from", header: "over", align: "right", sort: (row) => row.lower, render: (row) => formatValue(row.lower, series.unit) },
      { key: "to", header: "up to", align: "right", sort: (row) => row.upper, render: (row) => formatValue(row.upper, series.unit) },
      { key: "count", header: noun, align: "right", sort: (row) => row.count, render: (row) => formatValue(row.count, "1") },
    ],
    // More rows than a person reads; the API has them all.
    rows.slice(0, 500),
  );
}
