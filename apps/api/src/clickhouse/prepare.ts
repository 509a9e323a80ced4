// SPDX-License-Identifier: Apache-2.0
import type { ClickHouseClient } from "@clickhouse/client";
import {
  columnDdl,
  type Layout,
  localTableName,
  onClusterClause,
  type TableDefinition,
  tableSettings,
  tableStatements,
  ttlExpression,
} from "@waggle/signals";

/** A table as it is on a server. */
interface ExistingTable {
  readonly columns: ReadonlySet<string>;
  /** As ClickHouse writes it back: engine, keys, TTL and settings. */
  readonly engine: string;
}

/**
 * Brings one server's database in line with the definitions: creates what is missing, adds columns that an older version's tables lack, and
 * changes how long rows are kept. Safe to run on several nodes at once.
 * @param client without a database of its own, because ours may not exist yet
 */
export async function prepareServer(client: ClickHouseClient, layout: Layout, tables: readonly TableDefinition[]): Promise<void> {
  await client.command({ query: `CREATE DATABASE IF NOT EXISTS \`${layout.database}\`${onClusterClause(layout)} ENGINE = Atomic` });
  const existing = await existingTables(client, layout.database);
  for (const table of tables) for (const statement of missingStatements(table, layout, existing)) await client.command({ query: statement });
}

/**
 * The statements that bring a table of a server in line.
 * Only measures can be added to a table: a new dimension belongs to the sorting key and needs a new signal name.
 */
export function missingStatements(table: TableDefinition, layout: Layout, existing: ReadonlyMap<string, ExistingTable>): string[] {
  const local = localTableName(table.name, layout);
  const names = local === table.name ? [local] : [local, table.name];
  const statements = tableStatements(table, layout).filter((_, index) => !existing.has(names[index] as string));
  for (const name of names) {
    const known = existing.get(name);
    if (known === undefined) continue;
    const alter = `ALTER TABLE \`${layout.database}\`.\`${name}\`${onClusterClause(layout)}`;
    const columns = table.columns.filter((column) => !known.columns.has(column.name));
    // What stands for a table of the cluster compresses nothing.
    const ddl = columns.map((column) => `ADD COLUMN IF NOT EXISTS ${name === local ? columnDdl(column) : `\`${column.name}\` ${column.type}`}`);
    if (ddl.length > 0) statements.push(`${alter} ${ddl.join(", ")}`);
    if (name !== local || table.retentionDays === null) continue;
    const ttl = ttlExpression(table.retentionDays);
    if (known.engine.includes(`TTL ${ttl} SETTINGS`)) continue;
    const settings = Object.entries(tableSettings(layout)).filter(([setting, value]) => !known.engine.includes(`${setting} = ${value}`));
    if (settings.length > 0) statements.push(`${alter} MODIFY SETTING ${settings.map(([setting, value]) => `${setting} = ${value}`).join(", ")}`);
    statements.push(`${alter} MODIFY TTL ${ttl}`);
  }
  return statements;
}

async function existingTables(client: ClickHouseClient, database: string): Promise<Map<string, ExistingTable>> {
  const rowsOf = async <Row>(query: string): Promise<Row[]> =>
    (await client.query({ query, query_params: { database }, format: "JSONEachRow" })).json<Row>();
  const columns = await rowsOf<{ table: string; names: string[] }>(
    "SELECT table, groupArray(name) AS names FROM system.columns WHERE database = {database:String} GROUP BY table",
  );
  const tables = await rowsOf<{ name: string; engine_full: string }>(
    "SELECT name, engine_full FROM system.tables WHERE database = {database:String}",
  );
  const namesByTable = new Map(columns.map((row) => [row.table, new Set(row.names)]));
  return new Map(tables.map((row) => [row.name, { columns: namesByTable.get(row.name) ?? new Set<string>(), engine: row.engine_full }]));
}
