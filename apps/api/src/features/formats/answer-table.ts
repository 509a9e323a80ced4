// SPDX-License-Identifier: Apache-2.0
import type { Answer, HeatmapSeries, ValueSeries } from "../query/query.schemas.ts";
import type { Column, ColumnType, Table } from "./table.ts";

const isHeatmap = (series: Answer["series"][number]): series is HeatmapSeries => "cells" in series;

/**
 * A query's answer as rows: `time` (start of the step), one column per dimension, one per selection (`rtt_p99`), and `coverage`, the step's share of the
 * expected host time that was reported. A heat map becomes a row per bucket in which something was counted (`lower`, `upper`, `count`); a step in which nothing
 * was is one row without bounds, whose count is 0 where hosts reported and nothing where none did. Where an answer has both, `row` says which a row is. An earlier
 * window is a column more (`rtt_p99_compared`, of a heat map `count_compared`).
 */
export function answerTable({ meta, series }: Answer): Table {
  const { coverage, compare, explain: _, ...rest } = meta;
  const { steps } = coverage;
  const groups = [...Map.groupBy(series, ({ labels }) => JSON.stringify(labels)).values()];
  const labelNames = [...new Set(series.flatMap(({ labels }) => Object.keys(labels)))];
  const valueNames = [
    ...new Set(groups.flatMap((group) => columnsOf(group.filter((one): one is ValueSeries => !isHeatmap(one))).map(([name]) => name))),
  ];
  const hasHeatmaps = series.some(isHeatmap);
  const hasBoth = hasHeatmaps && valueNames.length > 0;
  const hasCompared = series.some((one) => isHeatmap(one) && one.compared !== undefined);
  const builder = new Builder([
    ["time", "time"],
    ...labelNames.map((name) => [name, "text"] as const),
    ...(hasBoth ? [["row", "text"] as const] : []),
    ...valueNames.map((name) => [name, "number"] as const),
    ...(hasHeatmaps ? (["lower", "upper", "count"] as const).map((name) => [name, "number"] as const) : []),
    ...(hasCompared ? [["count_compared", "number"] as const] : []),
    ["coverage", "number"],
  ]);
  const fromMs = Date.parse(meta.from);
  const toMs = Date.parse(meta.to);
  const stepMs = meta.points === 0 ? 0 : (toMs - fromMs) / meta.points;
  for (const group of groups) {
    const labels = group[0]?.labels ?? {};
    const columns = columnsOf(group.filter((one): one is ValueSeries => !isHeatmap(one)));
    for (let step = 0; step < meta.points; step++) {
      const head = { time: fromMs + step * stepMs, ...labels, coverage: steps[step] ?? null };
      if (columns.length > 0)
        builder.add({ ...head, row: "values", ...Object.fromEntries(columns.map(([name, values]) => [name, values[step] ?? null])) });
      for (const heatmap of group.filter(isHeatmap)) addBuckets(builder, heatmap, step, { ...head, row: "bucket" });
    }
  }
  return {
    meta,
    summary: {
      ...rest,
      coverage: summed(coverage),
      ...(compare === undefined ? {} : { compare: { ...compare, coverage: summed(compare.coverage) } }),
    },
    columns: builder.columns,
    rows: builder.rows,
  };
}

function addBuckets(builder: Builder, { buckets, cells, compared = [] }: HeatmapSeries, step: number, head: Record<string, unknown>): void {
  let counted = 0;
  for (const [index, { lower, upper }] of buckets.entries()) {
    const [count = null, before = null] = [cells[index]?.[step], compared[index]?.[step]];
    if ((count ?? 0) === 0 && (before ?? 0) === 0) continue;
    counted++;
    builder.add({ ...head, lower, upper, count, count_compared: before });
  }
  if (counted > 0) return;
  // No bucket at all says nothing about single steps.
  const nothing = (of: typeof cells): number | null => (of.some((row) => row[step] !== null) ? 0 : null);
  builder.add({ ...head, count: nothing(cells), count_compared: nothing(compared) });
}

/** Coverage without what there is of each step or host. */
function summed({ steps: _, stepHosts: __, missing: ___, ...rest }: Answer["meta"]["coverage"]): Record<string, unknown> {
  return rest;
}

/** Columns of a group's series, in their order; the second of two of one name gets a number, and an earlier window stands beside what it is compared with. */
function columnsOf(group: readonly ValueSeries[]): [name: string, values: readonly (number | null)[]][] {
  const seen = new Map<string, number>();
  return group.flatMap(({ measure, aggregate, values, compared }) => {
    const bare = `${measure}_${aggregate}`;
    const times = (seen.get(bare) ?? 0) + 1;
    seen.set(bare, times);
    const name = times === 1 ? bare : `${bare}_${times}`;
    return [
      [name, values] as [string, typeof values],
      ...(compared === undefined ? [] : [[`${name}_compared`, compared] as [string, typeof compared]]),
    ];
  });
}

/** Collects rows into columns. */
class Builder {
  readonly columns: readonly (Column & { readonly values: unknown[] })[];
  rows = 0;

  constructor(columns: readonly (readonly [name: string, type: ColumnType])[]) {
    this.columns = columns.map(([name, type]) => ({ name, type, values: [] }));
  }

  add(row: Readonly<Record<string, unknown>>): void {
    for (const { name, values } of this.columns) values.push(row[name] ?? null);
    this.rows++;
  }
}
