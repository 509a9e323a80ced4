// SPDX-License-Identifier: Apache-2.0
import { OTHER } from "@waggle/signals";
import { groupOf, type SeriesRow } from "./assemble.ts";
import type { Plan } from "./sql.ts";

/** What `rankedSeriesStatement` gives, but for `position`. */
export interface RankedSeries {
  /** Of the groups that are shown, and of the rest as `~other`. */
  readonly rows: readonly SeriesRow[];
  /** The groups that are shown, largest first. */
  readonly top: readonly (readonly string[])[];
  /** How many there are in all. */
  readonly groups: number;
}

interface Group {
  readonly names: readonly string[];
  /** null: of no row a volume is known. */
  volume: number | null;
  readonly rows: SeriesRow[];
}

/**
 * Ranks the groups of a sum's series by their volume, and adds up those that are not among the first.
 * @param rows of all groups: step, g0…, v0… of the selections, and behind them the sum that groups are ranked by
 * @param selections how many values of selections a row has
 */
export function rankSeries(plan: Plan, rows: readonly SeriesRow[], selections: number): RankedSeries {
  const groups = new Map<string, Group>();
  for (const row of rows) {
    const names = groupOf(plan, row);
    const key = JSON.stringify(names);
    const group = groups.get(key) ?? { names, volume: null, rows: [] };
    groups.set(key, group);
    group.rows.push(row);
    const volume = row[`v${selections}`] as number | null;
    if (volume !== null) group.volume = (group.volume ?? 0) + volume;
  }
  // The agent's own overflow row joins the rest; it is nobody's series.
  const isOther = ({ names }: Group): boolean => names.every((name) => name === OTHER);
  const ranked = [...groups.values()].filter((group) => !isOther(group)).sort(byVolume);
  const shown = ranked.slice(0, plan.limit);
  const rest = [...ranked.slice(plan.limit), ...[...groups.values()].filter(isOther)];
  return {
    rows: [...shown.flatMap((group) => group.rows), ...merged(plan, rest, selections)],
    top: shown.map(({ names }) => names),
    groups: ranked.length,
  };
}

/** Largest first; of equal ones by name. */
function byVolume(a: Group, b: Group): number {
  if (a.volume !== b.volume) return a.volume === null ? 1 : b.volume === null ? -1 : b.volume - a.volume;
  const at = a.names.findIndex((name, index) => name !== b.names[index]);
  return at < 0 ? 0 : (a.names[at] as string) < (b.names[at] as string) ? -1 : 1;
}

function merged(plan: Plan, groups: readonly Group[], selections: number): SeriesRow[] {
  const steps = new Map<number, Record<string, unknown>>();
  for (const { rows } of groups) {
    for (const row of rows) {
      const step = row["step"] as number;
      let sum = steps.get(step);
      if (sum === undefined) {
        sum = { step, ...Object.fromEntries(plan.by.map((_, index) => [`g${index}`, OTHER])) };
        steps.set(step, sum);
      }
      for (let index = 0; index < selections; index++) {
        const name = `v${index}`;
        const value = row[name] as number | null;
        const before = (sum[name] ?? null) as number | null;
        sum[name] = value === null ? before : (before ?? 0) + value;
      }
    }
  }
  return [...steps.values()];
}
