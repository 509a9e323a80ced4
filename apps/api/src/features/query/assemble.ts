// SPDX-License-Identifier: Apache-2.0
import { bucketLower, bucketUpper, OTHER } from "@waggle/signals";
import { AppError } from "../../common/app-error.ts";
import type { Reports } from "./coverage.ts";
import { type QuantileName, quantiles, type Selection, type StatementForm } from "./measures.ts";
import { quantile, valueInBucket } from "./quantile.ts";
import type { HeatmapSeries, ValueSeries } from "./query.schemas.ts";
import type { Plan } from "./sql.ts";
import { quantilesOf } from "./statements.ts";

/** Cells of all heat maps of one answer; more would be megabytes that no screen can show. */
const CELLS_MAX = 2_000_000;

/** A row of `seriesStatement`: step, g0…, and what its form says. */
export type SeriesRow = Readonly<Record<string, unknown>>;

/** The rows of one statement and the selections it answers. */
export interface FormRows {
  readonly form: StatementForm;
  readonly selections: readonly Selection[];
  readonly rows: readonly SeriesRow[];
}

/**
 * Columnar series out of statement rows: groups in the order of `top`, `~other` last; within a group the order of the selections.
 * @param top the groups that were ranked; null = the query has no `by`, so there is exactly one group
 * @param hostName name of a `host` value
 */
export function assembleSeries(
  plan: Plan,
  top: readonly (readonly string[])[] | null,
  tables: readonly FormRows[],
  reports: Reports,
  hostName: (id: string) => string,
): (ValueSeries | HeatmapSeries)[] {
  const hostAt = plan.by.indexOf("host");
  const groups = new Map<string, readonly string[]>();
  const addGroup = (group: readonly string[]): string => {
    const key = JSON.stringify(group);
    if (!groups.has(key)) groups.set(key, group);
    return key;
  };
  if (top === null) addGroup([]);
  for (const group of top ?? []) addGroup(group);

  const grouped = tables.map((table) => {
    const byGroup = new Map<string, SeriesRow[]>();
    for (const row of table.rows) {
      const key = addGroup(plan.by.map((_, index) => String(row[`g${index}`])));
      const rows = byGroup.get(key);
      if (rows === undefined) byGroup.set(key, [row]);
      else rows.push(row);
    }
    return byGroup;
  });

  const shownHosts = hostAt < 0 ? [] : [...new Set((top ?? []).map((group) => group[hostAt] as string))];
  let cells = 0;
  const series: (ValueSeries | HeatmapSeries)[] = [];
  for (const [key, group] of groups) {
    const host = hostAt < 0 ? undefined : (group[hostAt] as string);
    const isReported = (step: number): boolean => {
      if (host === undefined) return reports.any(step);
      return host === OTHER ? reports.anyBut(isWholeHost(plan) ? shownHosts : [], step) : reports.host(host, step);
    };
    const labels = Object.fromEntries(
      plan.by.map((name, index) => [name, name === "host" && group[index] !== OTHER ? hostName(group[index] as string) : (group[index] as string)]),
    );
    for (const selection of plan.selections) {
      const tableIndex = tables.findIndex((table) => table.selections.includes(selection));
      const table = tables[tableIndex];
      if (table === undefined) continue;
      const rows = grouped[tableIndex]?.get(key) ?? [];
      const head = { measure: selection.measure, unit: selection.unit, labels };
      if (selection.aggregate === "heatmap") {
        const heatmap = { ...head, aggregate: "heatmap" as const, ...heatmapOf(rows, plan.steps.count, isReported) };
        cells += heatmap.buckets.length * plan.steps.count;
        if (cells > CELLS_MAX) {
          throw new AppError(
            "QUERY_TOO_LARGE",
            `The heat maps have more than ${CELLS_MAX} cells. Ask for fewer points, a smaller limit, or fewer dimensions in \`by\`.`,
          );
        }
        series.push(heatmap);
      } else series.push({ ...head, aggregate: selection.aggregate, values: valuesOf(selection, table, rows, plan.steps.count, isReported) });
    }
  }
  return series;
}

/** Whether `~other` in the host label means "all hosts that are not shown": only when hosts are not cut further. */
function isWholeHost(plan: Plan): boolean {
  return plan.by.length === 1;
}

function valuesOf(
  selection: Selection,
  table: FormRows,
  rows: readonly SeriesRow[],
  count: number,
  isReported: (step: number) => boolean,
): (number | null)[] {
  // "Reported, and nothing counted" is 0 for what is counted; a percentile or an extreme of nothing does not exist.
  const isCount = table.form === "sums" || table.form === "gaugesByHost" || table.form === "gaugesByWindow" || selection.aggregate === "count";
  const values = Array.from({ length: count }, (_, step): number | null => (isCount && isReported(step) ? 0 : null));
  const read = reader(selection, table);
  for (const row of rows) {
    const step = row.step as number;
    if (step >= 0 && step < count) values[step] = read(row);
  }
  return values;
}

function reader(selection: Selection, table: FormRows): (row: SeriesRow) => number | null {
  switch (table.form) {
    case "sums":
    case "gaugesByHost":
    case "gaugesByWindow": {
      const column = `v${table.selections.indexOf(selection)}`;
      return (row) => row[column] as number | null;
    }
    case "extents":
      switch (selection.aggregate) {
        case "count":
          return (row) => row.n as number;
        case "min":
          return (row) => row.lowest as number;
        case "max":
          return (row) => row.highest as number;
        default:
          return (row) => (row.total as number) / (row.n as number);
      }
    case "quantiles": {
      const position = quantilesOf(table.selections).indexOf(selection.aggregate as QuantileName);
      return (row) => valueInBucket((row.ranks as number[])[position] as number, row.lowest as number, row.highest as number);
    }
    case "buckets": {
      const q = quantiles[selection.aggregate as QuantileName];
      return (row) => quantile({ indexes: row.indexes as number[], counts: row.counts as number[] }, q, row.lowest as number, row.highest as number);
    }
  }
}

/**
 * Rates out of the sums of a fleet reading: over the mean time that the hosts which reported in the step did so. Equal to adding up each host's rate
 * when all of them reported all of the step.
 */
export function ratesOfFleet(table: FormRows, reports: Reports): FormRows {
  const rates = table.selections.flatMap((selection, index) => (selection.aggregate === "rate" ? [`v${index}`] : []));
  const rows = table.rows.map((row) => {
    const step = row.step as number;
    const coveredMs = reports.coveredMs(step);
    const perSecond = (value: unknown): number | null => (coveredMs > 0 ? ((value as number) * 1_000 * reports.hosts(step)) / coveredMs : null);
    return { ...row, ...Object.fromEntries(rates.map((name) => [name, perSecond(row[name])])) };
  });
  return { ...table, rows };
}

function heatmapOf(rows: readonly SeriesRow[], count: number, isReported: (step: number) => boolean): Pick<HeatmapSeries, "buckets" | "cells"> {
  let lowest = Number.POSITIVE_INFINITY;
  let highest = Number.NEGATIVE_INFINITY;
  const hasRow = new Set<number>();
  for (const row of rows) {
    hasRow.add(row.step as number);
    for (const index of row.indexes as number[]) {
      lowest = Math.min(lowest, index);
      highest = Math.max(highest, index);
    }
  }
  if (lowest > highest) return { buckets: [], cells: [] };
  const indexes = Array.from({ length: highest - lowest + 1 }, (_, i) => lowest + i);
  const empty = Array.from({ length: count }, (_, step) => (hasRow.has(step) || isReported(step) ? 0 : null));
  const cells = indexes.map(() => [...empty]);
  for (const row of rows) {
    const counts = row.counts as number[];
    (row.indexes as number[]).forEach((index, i) => {
      (cells[index - lowest] as (number | null)[])[row.step as number] = counts[i] as number;
    });
  }
  return { buckets: indexes.map((index) => ({ lower: bucketLower(index), upper: bucketUpper(index) })), cells };
}
