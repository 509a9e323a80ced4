// SPDX-License-Identifier: Apache-2.0
import type { TimeRange } from "./time-range.ts";

/** An estimate this old is still near: what comes in meanwhile is a small part of what is there. */
const KEPT_MS = 30_000;
/** Tables, hosts and lengths. */
const ENTRIES_MAX = 2_000;
/** How much the stretch of an estimate may differ in length from the one that is asked about. */
const LONGER_MAX = 1.25;
/** How much of both must be the same time. */
const OVERLAP_MIN = 0.5;

/** Stretches of one table. */
export interface Stretches extends TimeRange {
  readonly table: string;
  /** In which rows are read, of the time between the ends. */
  readonly readMs: number;
}

interface Estimate extends Stretches {
  readonly rows: number;
  readonly atMs: number;
}

/**
 * How many rows stretches of tables hold, as it was estimated some seconds ago. A question that follows the present asks about nearly the same time again and again, and only whether it is
 * much or little matters: so a stretch of like length that mostly overlaps answers for it, in proportion.
 */
export class RowEstimates {
  private readonly entries = new Map<string, Estimate[]>();

  /**
   * @param scope names the organisation and the hosts
   * @returns rows in all; undefined where one of them is not known
   */
  of(scope: string, asked: readonly Stretches[], nowMs: number): number | undefined {
    let rows = 0;
    for (const stretches of asked) {
      const near = this.entries.get(`${scope} ${stretches.table}`)?.find((estimate) => isNear(estimate, stretches, nowMs));
      if (near === undefined) return undefined;
      rows += near.rows * (stretches.readMs / near.readMs);
    }
    return rows;
  }

  put(scope: string, stretches: Stretches, rows: number, nowMs: number): void {
    const key = `${scope} ${stretches.table}`;
    const others = (this.entries.get(key) ?? []).filter((estimate) => nowMs - estimate.atMs < KEPT_MS && !isNear(estimate, stretches, nowMs));
    this.entries.delete(key);
    this.entries.set(key, [...others.slice(-7), { ...stretches, rows, atMs: nowMs }]);
    const [oldest] = this.entries.size > ENTRIES_MAX ? this.entries.keys() : [];
    if (oldest !== undefined) this.entries.delete(oldest);
  }
}

function isNear(estimate: Estimate, { fromMs, toMs, readMs }: Stretches, nowMs: number): boolean {
  if (nowMs - estimate.atMs >= KEPT_MS) return false;
  const [shorter, longer] = estimate.readMs < readMs ? [estimate.readMs, readMs] : [readMs, estimate.readMs];
  if (shorter === 0 || longer > shorter * LONGER_MAX) return false;
  const overlapMs = Math.min(estimate.toMs, toMs) - Math.max(estimate.fromMs, fromMs);
  return overlapMs >= OVERLAP_MIN * Math.max(estimate.toMs - estimate.fromMs, toMs - fromMs);
}

/** Stretches of each table. */
export function stretchesOf<S extends TimeRange>(sources: readonly S[], tableOf: (source: S) => string): readonly Stretches[] {
  return [...Map.groupBy(sources, tableOf)].map(([table, own]) => ({
    table,
    fromMs: Math.min(...own.map(({ fromMs }) => fromMs)),
    toMs: Math.max(...own.map(({ toMs }) => toMs)),
    readMs: own.reduce((sum, { fromMs, toMs }) => sum + toMs - fromMs, 0),
  }));
}
