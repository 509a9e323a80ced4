// SPDX-License-Identifier: Apache-2.0
import type { QueryAnswer, ValueSeries } from "../../lib/api/types";
import { labelText, OTHER, single } from "../../lib/series";
import { keyOf } from "../facts";

/** A group's name in one piece; `~other` when all of it is. */
export function groupName(labels: Readonly<Record<string, string>>, by: readonly string[]): string {
  if (by.length > 0 && by.every((name) => labels[name] === OTHER)) return OTHER;
  return by.map((name) => labelText(labels[name])).join(" · ");
}

/** Series whose group stands under one label, `group`. */
export function grouped(series: readonly ValueSeries[], by: readonly string[]): ValueSeries[] {
  return series.map((one) => ({ ...one, labels: { group: groupName(one.labels, by) } }));
}

/** One group over the whole range: its labels, and a value per selection in the order they were asked for. */
export interface GroupRow {
  readonly key: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly values: ReadonlyMap<string, { readonly value: number | null; readonly unit: string }>;
}

/** Rows of a `points: 1` answer in the API's order, largest first. */
export function groupRows(answer: QueryAnswer, by: readonly string[]): GroupRow[] {
  const rows = new Map<string, GroupRow & { values: Map<string, { value: number | null; unit: string }> }>();
  for (const series of answer.series) {
    if (series.aggregate === "heatmap") continue;
    const values = series as ValueSeries;
    const key = keyOf(values, by);
    const row = rows.get(key) ?? { key, labels: values.labels, values: new Map() };
    row.values.set(`${values.measure} ${values.aggregate}`, { value: single(values), unit: values.unit });
    rows.set(key, row);
  }
  return [...rows.values()];
}
