// SPDX-License-Identifier: Apache-2.0
import { OTHER } from "@waggle/signals";
import { groupOf, type SeriesRow } from "./assemble.ts";
import { type QuantileName, quantiles, type Selection } from "./measures.ts";
import { bucketOfRank } from "./quantile.ts";
import type { Plan } from "./sql.ts";

/** Forms of values over a range that are those of its stretches put together. */
export const mergeableForms = ["sums", "extents", "buckets"] as const;
export type MergeableForm = (typeof mergeableForms)[number];

const keyOf = (plan: Plan, row: SeriesRow): string => JSON.stringify(groupOf(plan, row));

/** Puts rows of stretches together: one per group, with g0… and what `seriesStatement` says of the form; `step` is 0. */
export function mergeStretches(plan: Plan, form: MergeableForm, rows: readonly SeriesRow[]): readonly SeriesRow[] {
  const groups = new Map<string, SeriesRow[]>();
  for (const row of rows) {
    const key = keyOf(plan, row);
    const known = groups.get(key);
    if (known === undefined) groups.set(key, [row]);
    else known.push(row);
  }
  const namesOf = (row: SeriesRow | undefined) => Object.fromEntries(plan.by.map((_, index) => [`g${index}`, row?.[`g${index}`]]));
  return [...groups.values()].map((own) => merged(form, own, namesOf(own[0])));
}

/** The same step by step: one row per step and group. */
export function mergeSteps(plan: Plan, form: MergeableForm, rows: readonly SeriesRow[]): readonly SeriesRow[] {
  return [...Map.groupBy(rows, (row) => row["step"])].flatMap(([step, own]) => mergeStretches(plan, form, own).map((row) => ({ ...row, step })));
}

/** @param names g0… of the row that comes out */
function merged(form: MergeableForm, rows: readonly SeriesRow[], names: Readonly<Record<string, unknown>>): SeriesRow {
  const least = (name: string): number => rows.reduce((found, row) => Math.min(found, row[name] as number), Number.POSITIVE_INFINITY);
  const most = (name: string): number => rows.reduce((found, row) => Math.max(found, row[name] as number), Number.NEGATIVE_INFINITY);
  const sum = (name: string): number => rows.reduce((found, row) => found + (row[name] as number), 0);
  switch (form) {
    case "sums": {
      const values = Object.keys(rows[0] as SeriesRow).filter((name) => name.startsWith("v"));
      return { step: 0, ...names, ...Object.fromEntries(values.map((name) => [name, sumOfKnown(rows, name)])) };
    }
    case "extents":
      return { step: 0, ...names, n: sum("n"), total: sum("total"), lowest: least("lowest"), highest: most("highest") };
    case "buckets": {
      const counts = new Map<number, number>();
      for (const row of rows) {
        const own = row["counts"] as readonly number[];
        for (const [position, index] of (row["indexes"] as readonly number[]).entries())
          counts.set(index, (counts.get(index) ?? 0) + (own[position] as number));
      }
      const indexes = [...counts.keys()].sort((a, b) => a - b);
      return { step: 0, ...names, indexes, counts: indexes.map((index) => counts.get(index)), lowest: least("lowest"), highest: most("highest") };
    }
  }
}

/** Rates of hosts of which it is not known how long they reported are null, and in no sum. */
function sumOfKnown(rows: readonly SeriesRow[], name: string): number | null {
  let total: number | null = null;
  for (const row of rows) {
    const value = row[name] as number | null;
    if (value !== null) total = (total ?? 0) + value;
  }
  return total;
}

/**
 * Sums of hosts as rates: each host's over the time in which it reported, and only then added up, as its statement would (`sums` in statements.ts).
 * @param asked the plan of the sums: `by` of the plan, and `host` behind it where that does not have it
 * @param selections of the rows' v0…
 * @returns a row per group of the plan; a rate is null where none of its hosts is known to have reported
 */
export function ratesOfHosts(
  plan: Plan,
  asked: Plan,
  selections: readonly Selection[],
  sums: readonly SeriesRow[],
  hosts: ReadonlyMap<string, { readonly coveredMs: number }>,
): readonly SeriesRow[] {
  const host = `g${asked.by.indexOf("host")}`;
  const rates = selections.flatMap(({ aggregate }, index) => (aggregate === "rate" ? [`v${index}`] : []));
  const rows = sums.map((row) => {
    const coveredMs = hosts.get(String(row[host]))?.coveredMs ?? 0;
    const perSecond = (sum: unknown): number | null => (coveredMs > 0 ? ((sum as number) * 1_000) / coveredMs : null);
    return { ...row, ...Object.fromEntries(rates.map((name) => [name, perSecond(row[name])])) };
  });
  return asked === plan ? rows : mergeStretches(plan, "sums", rows);
}

export interface RankedTotals {
  /** The groups that are shown, largest first. */
  readonly top: readonly (readonly string[])[];
  /** How many there are in all. */
  readonly groups: number;
}

/**
 * Ranks groups as `rankedStatement` does, by their value of a selection, equal ones by name; the agent's own overflow row is nobody's group.
 * @param selection null: by how many values were counted, as `volumeStatement` does
 * @param index of the selection among those of its row
 */
export function rankTotals(plan: Plan, totals: readonly SeriesRow[], selection: Selection | null, index: number): RankedTotals {
  const ranked = totals
    .map((row) => ({ names: groupOf(plan, row), order: selection === null ? [countIn(row)] : orderOf(row, selection, index) }))
    .filter(({ names }) => !names.every((name) => name === OTHER))
    .sort((a, b) => compare(b.order, a.order) || compareNames(a.names, b.names));
  return { top: ranked.slice(0, plan.limit).map(({ names }) => names), groups: ranked.length };
}

/** What groups are ranked by, most significant first. */
function orderOf(row: SeriesRow, { form, aggregate }: Selection, index: number): readonly number[] {
  switch (form) {
    case "buckets":
      // Of two groups in one bucket the one that reaches higher comes first.
      return [
        bucketOfRank({ indexes: row["indexes"] as number[], counts: row["counts"] as number[] }, quantiles[aggregate as QuantileName]) ?? -1,
        row["highest"] as number,
      ];
    case "extents": {
      const n = countIn(row);
      return [
        aggregate === "count"
          ? n
          : aggregate === "min"
            ? (row["lowest"] as number)
            : aggregate === "max"
              ? (row["highest"] as number)
              : (row["total"] as number) / n,
      ];
    }
    default:
      // What is not known comes last.
      return [(row[`v${index}`] as number | null) ?? Number.NEGATIVE_INFINITY];
  }
}

function countIn(row: SeriesRow): number {
  return (row["n"] as number | undefined) ?? (row["counts"] as readonly number[]).reduce((sum, count) => sum + count, 0);
}

function compare(a: readonly number[], b: readonly number[]): number {
  for (const [index, value] of a.entries()) if (value !== b[index]) return value - (b[index] as number);
  return 0;
}

function compareNames(a: readonly string[], b: readonly string[]): number {
  const at = a.findIndex((name, index) => name !== b[index]);
  return at < 0 ? 0 : (a[at] as string) < (b[at] as string) ? -1 : 1;
}

/** The rows of the groups that are shown, and of all others as `~other`. */
export function cutTotals(plan: Plan, form: MergeableForm, totals: readonly SeriesRow[], top: RankedTotals["top"]): readonly SeriesRow[] {
  if (plan.by.length === 0) return totals;
  const shown = new Set(top.map((names) => JSON.stringify(names)));
  const isShown = (row: SeriesRow): boolean => shown.has(keyOf(plan, row));
  const rest = totals.filter((row) => !isShown(row));
  const other = Object.fromEntries(plan.by.map((_, index) => [`g${index}`, OTHER]));
  return [...totals.filter(isShown), ...(rest.length === 0 ? [] : [merged(form, rest, other)])];
}
