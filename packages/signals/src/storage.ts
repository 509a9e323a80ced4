// SPDX-License-Identifier: Apache-2.0
import { dimensions } from "./dimensions.ts";
import type { Signal } from "./signal.ts";

export interface StorageColumn {
  readonly name: string;
  readonly type: string;
}

/** Columns that every raw row starts with; the API fills them from the credential and the frame, never from the agent's block. */
export const envelopeColumns: readonly StorageColumn[] = [
  { name: "tenant", type: "LowCardinality(String)" },
  { name: "host", type: "LowCardinality(String)" },
  { name: "ts", type: "DateTime64(3, 'UTC')" },
  { name: "window_ms", type: "UInt32" },
];

/** Raw rows are kept this long unless the tenant says otherwise. */
export const RAW_RETENTION_DAYS = 7;

/** The ClickHouse columns of a signal's raw table, in order. */
export function storageColumns(signal: Signal): readonly StorageColumn[] {
  const columns: StorageColumn[] = [...envelopeColumns];
  for (const name of signal.dimensions) columns.push({ name, type: dimensions[name].clickhouseType });
  if (signal.kind === "histogram") {
    for (const name of ["count", "sum", "min", "max"]) columns.push({ name, type: "UInt64" });
    columns.push({ name: "k", type: "Array(UInt16)" }, { name: "c", type: "Array(UInt64)" });
  } else {
    for (const measure of signal.measures) columns.push({ name: measure.name, type: "UInt64" });
  }
  return columns;
}

/**
 * DDL of a signal's raw table. A row is named by what it measured (the ORDER BY), so writing it twice equals writing it once.
 * The hour comes before the host: one host × 24 h and "last minutes of all hosts" are then both short reads.
 */
export function createTableSql(signal: Signal, database: string): string {
  const columns = storageColumns(signal).map((column) => `  \`${column.name}\` ${column.type} CODEC(ZSTD(1))`);
  const key = ["tenant", "toStartOfHour(ts)", "host", ...signal.dimensions.map((name) => `\`${name}\``), "ts"];
  return [
    `CREATE TABLE IF NOT EXISTS \`${database}\`.\`${signal.name}\` (`,
    columns.join(",\n"),
    ")",
    "ENGINE = ReplacingMergeTree",
    "PARTITION BY toDate(ts)",
    `ORDER BY (${key.join(", ")})`,
    `TTL toDateTime(ts) + INTERVAL ${RAW_RETENTION_DAYS} DAY`,
    "SETTINGS ttl_only_drop_parts = 1",
  ].join("\n");
}
