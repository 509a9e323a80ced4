// SPDX-License-Identifier: Apache-2.0
import { catalogue, type Level, levels, type Scope, type TableDefinition, tableName } from "@waggle/signals";

const DAY_MS = 86_400_000;
/** ClickHouse drops expired parts with its merges, hours after they expired. */
const OVERDUE_AFTER_MS = DAY_MS;

/** What one partition of a table takes on one server. */
export interface Partition {
  readonly node: string;
  /** As the table is named everywhere else, without the suffix of a shard's own. */
  readonly table: string;
  /** As ClickHouse shows it: `2026-11-21`; of a month its first day. */
  readonly partition: string;
  readonly partitionId: string;
  readonly rows: number;
  readonly bytes: number;
  readonly parts: number;
}

/** Start of the partition's stretch of time, Unix milliseconds. */
export function partitionStartMs(partition: string): number {
  return Date.parse(`${partition}T00:00:00Z`);
}

/** When the partition's stretch of time ends, Unix milliseconds. */
export function partitionEndMs(definition: TableDefinition, partition: string): number {
  const startMs = partitionStartMs(partition);
  if (!definition.partitionBy.startsWith("toStartOfMonth")) return startMs + DAY_MS;
  const start = new Date(startMs);
  return Date.UTC(start.getUTCFullYear(), start.getUTCMonth() + 1, 1);
}

/** Whether every row of the partition should have been deleted by now. */
export function isOverdue(definition: TableDefinition, { partition }: Partition, nowMs: number): boolean {
  if (definition.retentionDays === null) return false;
  return nowMs > partitionEndMs(definition, partition) + definition.retentionDays * DAY_MS + OVERDUE_AFTER_MS;
}

/** What a table holds; null level: the bookkeeping of ingest and roll-ups. */
export interface TableKind {
  readonly signal: string | null;
  readonly level: Level | null;
  readonly scope: Scope | null;
}

const kinds = new Map<string, TableKind>(
  catalogue.flatMap((signal) =>
    levels.flatMap((level) =>
      (level === "raw" ? (["host"] as const) : (["host", "fleet"] as const)).map(
        (scope) => [tableName(signal, level, scope), { signal: signal.name, level, scope }] as const,
      ),
    ),
  ),
);

export function kindOf(table: string): TableKind {
  return kinds.get(table) ?? { signal: null, level: null, scope: null };
}
