// SPDX-License-Identifier: Apache-2.0
import { isHostKey } from "@waggle/query";
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

type Groups = readonly (readonly string[])[];

/** What stands beside the rows of an answer. */
export interface Beside {
  readonly reports: Reports;
  /** Name of a `host` value. */
  readonly hostName: (id: string) => string;
  /** Groups to show, whether or not rows have them. */
  readonly groups?: readonly (readonly string[])[];
  /** Values of all groups together per statement, also of those that are not in the answer; left out: the groups are all there are. */
  readonly totals?: readonly FormRows[];
  /** Which buckets the heat maps have; left out: those between the lowest and the highest of each one's own rows. */
  readonly grids?: HeatmapGrids;
}

/** Indexes of the lowest and the highest bucket in which something was counted. */
interface Extent {
  readonly lowest: number;
  readonly highest: number;
}

/** By selection and group: the buckets that two windows have together, so that their heat maps can be laid upon each other. */
export type HeatmapGrids = ReadonlyMap<Selection, ReadonlyMap<string, Extent>>;

/** The keys of `by` that tell hosts apart: `host` alone if it is there, or what is known of hosts. */
export function reporterKeys(by: readonly string[]): readonly string[] {
  return by.includes("host") ? ["host"] : by.filter(isHostKey);
}

/** The groups of a statement's rows. */
export function groupOf(plan: Plan, row: SeriesRow): readonly string[] {
  // Nearly all of the large answers are by host alone.
  return plan.by.length === 1 ? [String(row["g0"])] : plan.by.map((_, index) => String(row[`g${index}`]));
}

/** Names a group among those of one plan. */
function keyOf(group: readonly string[]): string {
  return group.length === 1 ? (group[0] as string) : JSON.stringify(group);
}

/** The grids of heat maps whose rows were read for several windows. */
export function heatmapGrids(plan: Plan, windows: readonly (readonly FormRows[])[]): HeatmapGrids {
  const heatmaps = plan.selections.filter(({ aggregate }) => aggregate === "heatmap");
  return new Map(
    heatmaps.map((selection) => {
      const tables = windows.flatMap((window) => window.filter(({ selections }) => selections.includes(selection)));
      const byGroup = Map.groupBy(
        tables.flatMap(({ rows }) => rows),
        (row) => keyOf(groupOf(plan, row)),
      );
      return [selection, new Map([...byGroup].map(([group, rows]) => [group, extentOf(rows)]))];
    }),
  );
}

/**
 * Columnar series out of statement rows: groups in the order of `top`, `~other` last; within a group the order of the selections.
 * @param top the groups that were ranked; null = the query has no `by`, so there is exactly one group
 */
export function assembleSeries(
  plan: Plan,
  top: readonly (readonly string[])[] | null,
  tables: readonly FormRows[],
  { reports, hostName, groups: further = [], totals = tables, grids }: Beside,
): (ValueSeries | HeatmapSeries)[] {
  const groups = new Map<string, readonly string[]>();
  const addGroup = (group: readonly string[]): string => {
    const key = keyOf(group);
    if (!groups.has(key)) groups.set(key, group);
    return key;
  };
  if (top === null) addGroup([]);
  for (const group of top ?? []) addGroup(group);

  const isOneStep = plan.steps.count === 1;
  const grouped = tables.map((table) => {
    const byGroup = new Map<string, SeriesRow | SeriesRow[]>();
    for (const row of table.rows) {
      const key = addGroup(groupOf(plan, row));
      // Of one step a group has one row: ten thousand groups do without a list each.
      const rows = isOneStep ? undefined : byGroup.get(key);
      if (rows === undefined) byGroup.set(key, isOneStep ? row : [row]);
      else (rows as SeriesRow[]).push(row);
    }
    return byGroup;
  });

  for (const group of further) addGroup(group);

  const keys = reporterKeys(plan.by);
  const reportersOf = (group: readonly string[]): readonly string[] => keys.map((name) => group[plan.by.indexOf(name)] as string);
  // `~other` means "all hosts that are not shown" only where hosts are not cut further.
  const isWhole = plan.by.every((name) => name === "host" || isHostKey(name));
  let known: Groups | undefined;
  const shown = (): Groups => {
    known ??= isWhole ? [...new Map((top ?? []).map(reportersOf).map((reporters) => [keyOf(reporters), reporters])).values()] : [];
    return known;
  };
  const totalsOf = totalsByStep(plan, totals);
  const selected = plan.selections.flatMap((selection) => {
    const index = tables.findIndex((table) => table.selections.includes(selection));
    const table = tables[index];
    return table === undefined ? [] : [{ selection, table, byGroup: grouped[index], read: readerUnlessHeatmap(selection, table) }];
  });
  const labelNames = plan.by.map((name, index) => plan.labels?.[index] ?? name);
  const hostAt = plan.by.indexOf("host");
  const cellsMax = grids === undefined ? CELLS_MAX : CELLS_MAX / 2;
  let cells = 0;
  const series: (ValueSeries | HeatmapSeries)[] = [];
  for (const [key, group] of groups) {
    const reporters = keys.length === 1 && group.length === 1 ? group : reportersOf(group);
    const isReported = (step: number): boolean => {
      if (reporters.length === 0) return reports.any(step);
      return reporters.every((value) => value === OTHER) ? reports.anyBut(shown(), step) : reports.of(reporters, step);
    };
    const labels: Record<string, string> = {};
    for (const [index, name] of labelNames.entries()) {
      const value = group[index] as string;
      labels[name] = index === hostAt && value !== OTHER ? hostName(value) : value;
    }
    for (const { selection, table, byGroup, read } of selected) {
      const found = byGroup?.get(key);
      if (isOneStep && selection.aggregate !== "heatmap") {
        const value = found === undefined ? undefined : read(found as SeriesRow);
        const own = value !== undefined ? value : isCounted(selection, table) && isReported(0) ? 0 : null;
        const total = totalsOf.get(selection);
        const { measure, unit, aggregate } = selection;
        series.push({ measure, unit, labels, aggregate, values: [total === undefined ? own : share(own, total[0])] });
        continue;
      }
      const rows = found === undefined ? [] : isOneStep ? [found as SeriesRow] : (found as readonly SeriesRow[]);
      const head = { measure: selection.measure, unit: selection.unit, labels };
      if (selection.aggregate === "heatmap") {
        const extent = grids?.get(selection)?.get(key) ?? extentOf(rows);
        const heatmap = { ...head, aggregate: "heatmap" as const, ...heatmapOf(rows, extent, plan.steps.count, isReported) };
        cells += heatmap.buckets.length * plan.steps.count;
        if (cells > cellsMax) {
          throw new AppError(
            "QUERY_TOO_LARGE",
            `The heat maps${grids === undefined ? "" : " of each of the two windows"} have more than ${cellsMax} cells. Ask for fewer points, a smaller limit, or fewer dimensions in \`by\`.`,
          );
        }
        series.push(heatmap);
      } else {
        const values = valuesOf(selection, table, rows, plan.steps.count, isReported, read);
        const total = totalsOf.get(selection);
        series.push({
          ...head,
          aggregate: selection.aggregate,
          values: total === undefined ? values : values.map((value, step) => share(value, total[step])),
        });
      }
    }
  }
  return series;
}

/** Per selection that is a share: what all groups add up to in each step. */
function totalsByStep(plan: Plan, tables: readonly FormRows[]): ReadonlyMap<Selection, readonly number[]> {
  return new Map(
    plan.selections.flatMap((selection) => {
      const table = selection.aggregate === "share" ? tables.find((candidate) => candidate.selections.includes(selection)) : undefined;
      if (table === undefined) return [];
      const read = reader(selection, table);
      const totals = new Array<number>(plan.steps.count).fill(0);
      for (const row of table.rows) totals[row.step as number] = (totals[row.step as number] ?? 0) + (read(row) ?? 0);
      return [[selection, totals] as const];
    }),
  );
}

/** Of nothing there is no share. */
function share(value: number | null, total = 0): number | null {
  return value === null || total === 0 ? null : value / total;
}

/** Puts the values of the earlier window beside those of the answer, cells of heat maps on the same grid. A group that came up between two statements has no earlier values. */
export function withCompared(
  series: readonly (ValueSeries | HeatmapSeries)[],
  earlier: readonly (ValueSeries | HeatmapSeries)[],
): (ValueSeries | HeatmapSeries)[] {
  const nameOf = ({ measure, aggregate, labels }: ValueSeries | HeatmapSeries): string => JSON.stringify([measure, aggregate, Object.values(labels)]);
  const byName = new Map(earlier.map((one) => [nameOf(one), one]));
  return series.map((one) => {
    const other = byName.get(nameOf(one));
    if (!("values" in one)) {
      const before = other !== undefined && "cells" in other ? other.cells : one.cells.map((row) => row.map(() => null));
      return { ...one, compared: before };
    }
    const before = other !== undefined && "values" in other ? other.values : one.values.map(() => null);
    return { ...one, compared: before, change: changeOf(one.values, before) };
  });
}

function changeOf(values: readonly (number | null)[], earlier: readonly (number | null)[]): number | null {
  let [sum, sumBefore] = [0, 0];
  for (const [step, value] of values.entries()) {
    const before = earlier[step] ?? null;
    if (value === null || before === null) continue;
    sum += value;
    sumBefore += before;
  }
  return sumBefore === 0 ? null : (sum - sumBefore) / sumBefore;
}

function valuesOf(
  selection: Selection,
  table: FormRows,
  rows: readonly SeriesRow[],
  count: number,
  isReported: (step: number) => boolean,
  read: (row: SeriesRow) => number | null,
): (number | null)[] {
  const isCount = isCounted(selection, table);
  const values = new Array<number | null | undefined>(count).fill(undefined);
  for (const row of rows) {
    const step = row.step as number;
    if (step >= 0 && step < count) values[step] = read(row);
  }
  // Who reported is only looked up where no row says so.
  return values.map((value, step) => (value !== undefined ? value : isCount && isReported(step) ? 0 : null));
}

/** "Reported, and nothing counted" is 0 for what is counted; a percentile or an extreme of nothing does not exist. */
function isCounted(selection: Selection, { form }: FormRows): boolean {
  return form === "sums" || form === "gaugesByHost" || form === "gaugesByWindow" || selection.aggregate === "count";
}

/** A heat map has no one value in a step. */
function readerUnlessHeatmap(selection: Selection, table: FormRows): (row: SeriesRow) => number | null {
  return selection.aggregate === "heatmap" ? () => null : reader(selection, table);
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
      return extentReader(selection, (row) => row.n as number);
    case "quantiles": {
      if (selection.form === "extents") return extentReader(selection, (row) => row.n as number);
      const position = quantilesOf(table.selections).indexOf(selection.aggregate as QuantileName);
      return (row) => valueInBucket((row.ranks as number[])[position] as number, row.lowest as number, row.highest as number);
    }
    case "buckets": {
      if (selection.form === "extents") return extentReader(selection, (row) => (row.counts as number[]).reduce((sum, count) => sum + count, 0));
      const q = quantiles[selection.aggregate as QuantileName];
      return (row) => quantile({ indexes: row.indexes as number[], counts: row.counts as number[] }, q, row.lowest as number, row.highest as number);
    }
  }
}

function extentReader({ aggregate }: Selection, countOf: (row: SeriesRow) => number): (row: SeriesRow) => number {
  switch (aggregate) {
    case "count":
      return countOf;
    case "min":
      return (row) => row.lowest as number;
    case "max":
      return (row) => row.highest as number;
    default:
      return (row) => (row.total as number) / countOf(row);
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

function extentOf(rows: readonly SeriesRow[]): Extent {
  let lowest = Number.POSITIVE_INFINITY;
  let highest = Number.NEGATIVE_INFINITY;
  for (const row of rows) {
    for (const index of row.indexes as number[]) {
      lowest = Math.min(lowest, index);
      highest = Math.max(highest, index);
    }
  }
  return { lowest, highest };
}

function heatmapOf(
  rows: readonly SeriesRow[],
  { lowest, highest }: Extent,
  count: number,
  isReported: (step: number) => boolean,
): Pick<HeatmapSeries, "buckets" | "cells"> {
  if (lowest > highest) return { buckets: [], cells: [] };
  const hasRow = new Set(rows.map((row) => row.step as number));
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
