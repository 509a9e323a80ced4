// SPDX-License-Identifier: Apache-2.0
import { catalogue, createTableSql, envelopeColumns, RAW_RETENTION_DAYS, type StorageColumn, storageColumns } from "@waggle/signals";

/** One row per accepted snapshot; written after the snapshot's signal rows, so a window found here is complete in every table. */
export const WINDOWS_TABLE = "windows";

/**
 * `tenant` is the organisation's id, `host` the host's id (never its name, which may change), `ts` the window's true start on the
 * API's clock. `sequence` and `boot_id` are the sender's; `clock_offset_ms` is what was added to the host's clock to get `ts`.
 */
export const windowsColumns: readonly StorageColumn[] = [
  ...envelopeColumns,
  { name: "sequence", type: "UInt64" },
  { name: "boot_id", type: "String" },
  { name: "clock_offset_ms", type: "Int64" },
  { name: "received_at", type: "DateTime64(3, 'UTC') DEFAULT now64(3)" },
];

export interface Table {
  readonly name: string;
  readonly columns: readonly StorageColumn[];
  readonly createSql: string;
}

/** All tables of a database with the statement that creates each. */
export function tables(database: string): readonly Table[] {
  const signalTables = catalogue.map((signal) => ({
    name: signal.name,
    columns: storageColumns(signal),
    createSql: createTableSql(signal, database),
  }));
  const windows = {
    name: WINDOWS_TABLE,
    columns: windowsColumns,
    createSql: [
      `CREATE TABLE IF NOT EXISTS \`${database}\`.\`${WINDOWS_TABLE}\` (`,
      windowsColumns.map((column) => `  \`${column.name}\` ${column.type}`).join(",\n"),
      ")",
      "ENGINE = ReplacingMergeTree",
      "PARTITION BY toDate(ts)",
      "ORDER BY (tenant, toStartOfHour(ts), host, ts)",
      `TTL toDateTime(ts) + INTERVAL ${RAW_RETENTION_DAYS} DAY`,
      "SETTINGS ttl_only_drop_parts = 1",
    ].join("\n"),
  };
  return [...signalTables, windows];
}

/**
 * The statement that adds what an older version's table lacks; undefined if nothing does.
 * Only measures can be added this way: a new dimension belongs to the sorting key and needs a new signal name.
 */
export function addColumnsSql(database: string, table: Table, existing: ReadonlySet<string>): string | undefined {
  const missing = table.columns.filter((column) => !existing.has(column.name));
  if (missing.length === 0) return undefined;
  return `ALTER TABLE \`${database}\`.\`${table.name}\` ${missing.map((column) => `ADD COLUMN IF NOT EXISTS \`${column.name}\` ${column.type}`).join(", ")}`;
}
