// SPDX-License-Identifier: Apache-2.0

export interface StorageColumn {
  readonly name: string;
  /** ClickHouse type, with a DEFAULT where there is one. */
  readonly type: string;
  /** Compression, as the arguments of CODEC; left out: the one that suits the type. */
  readonly codec?: string;
}

/** A table, independent of how many servers it lies on. */
export interface TableDefinition {
  readonly name: string;
  readonly columns: readonly StorageColumn[];
  /** Expressions. What they name is what makes two rows the same row. */
  readonly orderBy: readonly string[];
  readonly partitionBy: string;
  /** Column by which the later of two equal rows is told; null: they are equal in everything. */
  readonly version: string | null;
  /** null: kept for good. */
  readonly retentionDays: number | null;
  /** Columns whose hash picks the shard. Rows of one name must agree in them. */
  readonly shardBy: readonly string[];
  /** Data-skipping indexes, as DDL. */
  readonly indexes: readonly string[];
}

/** Where tables lie: on one server, or cut into the shards of a cluster. */
export interface Layout {
  readonly database: string;
  readonly cluster: {
    /** As in the servers' `remote_servers`. */
    readonly name: string;
    /** Replicated* engines, which need a Keeper; false: one server per shard. */
    readonly replicated: boolean;
    /** The servers hand statements about tables on to each other (`ON CLUSTER`, which needs a Keeper); false: they are run on every server. */
    readonly onCluster: boolean;
  } | null;
}

/** The table that holds the rows on a server: itself, or on a cluster the one that its `Distributed` table stands for. */
export function localTableName(name: string, layout: Layout): string {
  return layout.cluster === null ? name : `${name}_local`;
}

/** ` ON CLUSTER …`, which follows a table's or database's name in statements about it; empty where they are run on every server. */
export function onClusterClause({ cluster }: Layout): string {
  return cluster?.onCluster === true ? ` ON CLUSTER \`${cluster.name}\`` : "";
}

/** The statements that create a table, to be run on every server of the layout. On a cluster: the local table, then the one that stands for all. */
export function tableStatements(table: TableDefinition, layout: Layout): string[] {
  const onCluster = onClusterClause(layout);
  const columns = table.columns.map((column) => `  ${columnDdl(column)}`);
  const local = [
    `CREATE TABLE IF NOT EXISTS \`${layout.database}\`.\`${localTableName(table.name, layout)}\`${onCluster} (`,
    [...columns, ...table.indexes.map((index) => `  ${index}`)].join(",\n"),
    ")",
    `ENGINE = ${engine(table, layout)}`,
    `PARTITION BY ${table.partitionBy}`,
    `ORDER BY (${table.orderBy.map((key) => (/^[a-z_]+$/.test(key) ? `\`${key}\`` : key)).join(", ")})`,
    ...(table.retentionDays === null ? [] : [`TTL ${ttlExpression(table.retentionDays)}`]),
    `SETTINGS ${Object.entries(tableSettings(layout))
      .map(([name, value]) => `${name} = ${value}`)
      .join(", ")}`,
  ].join("\n");
  if (layout.cluster === null) return [local];
  const distributed = [
    `CREATE TABLE IF NOT EXISTS \`${layout.database}\`.\`${table.name}\`${onCluster} AS \`${layout.database}\`.\`${localTableName(table.name, layout)}\``,
    `ENGINE = Distributed('${layout.cluster.name}', '${layout.database}', '${localTableName(table.name, layout)}', cityHash64(${table.shardBy.join(", ")}))`,
  ].join("\n");
  return [local, distributed];
}

/** When a row may go, written as ClickHouse writes it back. */
export function ttlExpression(retentionDays: number): string {
  return `toDateTime(ts) + toIntervalDay(${retentionDays})`;
}

/** MergeTree settings of every table. */
export function tableSettings({ cluster }: Layout): Readonly<Record<string, number>> {
  return {
    // A host's day lies in as many places as there are stretches, and each is read in whole granules. Measured with 10,000 hosts × 2 keys × 24 h of minutes:
    // 0.2 M rows instead of 0.8 M or more at ClickHouse's default of 8,192, for 2 % more bytes.
    index_granularity: 1_024,
    // Whole parts or nothing: rewriting a part to drop some of its rows costs more than keeping them until the last one may go.
    ttl_only_drop_parts: 1,
    // A changed retention then reads only times, and rewrites nothing.
    materialize_ttl_recalculate_only: 1,
    // Rows are named by what they measured: a block sent twice replaces itself. Remembering blocks would make one that is sent again after its
    // partition was dropped vanish.
    ...(cluster?.replicated === true ? { replicated_deduplication_window: 0, replicated_deduplication_window_for_async_inserts: 0 } : {}),
  };
}

function engine(table: TableDefinition, { cluster }: Layout): string {
  const version = table.version === null ? [] : [table.version];
  if (cluster?.replicated !== true) return `ReplacingMergeTree(${version.join(", ")})`;
  return `ReplicatedReplacingMergeTree(${["'/clickhouse/tables/{shard}/{database}/{table}'", "'{replica}'", ...version].join(", ")})`;
}

/** A column as CREATE TABLE and ADD COLUMN want it. */
export function columnDdl({ name, type, codec }: StorageColumn): string {
  return `\`${name}\` ${type} CODEC(${codec ?? codecOf(type)})`;
}

/**
 * Times step evenly within a key's run of rows, so their differences are all alike. Of 64 bits a count uses few: T64 cuts the rest off before
 * ZSTD, which makes it 20 % smaller and no slower to write (measured with `./waggle bench storage`). Strings repeat over thousands of rows, farther apart
 * than ZSTD(1) looks.
 */
function codecOf(type: string): string {
  if (type.startsWith("DateTime64")) return "Delta(8), ZSTD(1)";
  if (/^U?Int\d/.test(type)) return "T64, ZSTD(1)";
  return type.startsWith("String") ? "ZSTD(3)" : "ZSTD(1)";
}
