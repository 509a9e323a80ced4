// SPDX-License-Identifier: Apache-2.0
import { Inject, Injectable } from "@nestjs/common";
import { localTableName } from "@waggle/signals";
import { eq, sql } from "drizzle-orm";
import { ClickHouseService } from "../../clickhouse/clickhouse.service.ts";
import { Database } from "../../postgres/database.ts";
import { rollupProgress, storageFloors } from "../../postgres/schema.ts";
import type { Partition } from "./partitions.ts";
import type { DiskSpace } from "./pressure.ts";

export interface RawFloorRow {
  /** Raw rows before were given up. */
  readonly droppedBeforeMs: number;
  readonly reason: string;
  /** When that was decided. */
  readonly decidedAtMs: number;
}

/** What ClickHouse says of its disks and parts, and what Postgres says of rows that were given up. Of all tenants together. */
@Injectable()
export class StorageRepository {
  constructor(
    @Inject(ClickHouseService) private readonly clickhouse: ClickHouseService,
    @Inject(Database) private readonly database: Database,
  ) {}

  /** The disks of every server; those without a size of their own (object stores) are left out. Throws STORAGE_UNAVAILABLE. */
  async listDisks(): Promise<DiskSpace[]> {
    const { from, node } = this.clickhouse.systemTable("disks");
    const { rows } = await this.clickhouse.query<{ node: string; disk: string; total: number; free: number }>(
      `SELECT ${node} AS node, name AS disk, toFloat64(total_space) AS total, toFloat64(free_space) AS free FROM ${from} WHERE total_space BETWEEN 1 AND toUInt64(1e18)`,
    );
    return rows.map((row) => ({ node: row.node, disk: row.disk, totalBytes: row.total, freeBytes: row.free }));
  }

  /** Every partition of every table on every server. Throws STORAGE_UNAVAILABLE. */
  async listPartitions(): Promise<Partition[]> {
    const { from, node } = this.clickhouse.systemTable("parts");
    const { rows } = await this.clickhouse.query<{
      node: string;
      local: string;
      partition: string;
      id: string;
      rows_count: number;
      bytes: number;
      parts_count: number;
    }>(
      `SELECT ${node} AS node, table AS local, partition, partition_id AS id, sum(rows) AS rows_count, sum(bytes_on_disk) AS bytes, count() AS parts_count
       FROM ${from} WHERE database = {database:String} AND active
       GROUP BY node, local, partition, id`,
      { database: this.clickhouse.database },
    );
    const names = new Map(this.clickhouse.tables.map(({ name }) => [localTableName(name, this.clickhouse.layout), name]));
    return rows.flatMap((row) => {
      const table = names.get(row.local);
      return table === undefined
        ? []
        : [{ node: row.node, table, partition: row.partition, partitionId: row.id, rows: row.rows_count, bytes: row.bytes, parts: row.parts_count }];
    });
  }

  /** Drops a partition on every server that has it. */
  async dropPartition(table: string, partitionId: string): Promise<void> {
    if (!/^\w+$/.test(partitionId)) throw new TypeError(`"${partitionId}" is not a partition's id`);
    await this.clickhouse.onEveryNode(table, (name) => `ALTER TABLE ${name} DROP PARTITION ID '${partitionId}'`);
  }

  /** Up to where raw rows are in host minutes, Unix milliseconds; 0 = nothing is. */
  async rolledUpUntilMs(): Promise<number> {
    const rows = await this.database.db.select().from(rollupProgress).where(eq(rollupProgress.step, "1m"));
    return rows[0]?.completeUntil.getTime() ?? 0;
  }

  async getRawFloor(): Promise<RawFloorRow | undefined> {
    const [row] = await this.database.db.select().from(storageFloors).where(eq(storageFloors.level, "raw"));
    return row === undefined ? undefined : { droppedBeforeMs: row.droppedBefore.getTime(), reason: row.reason, decidedAtMs: row.updatedAt.getTime() };
  }

  /** Raises the floor; it never falls. */
  async raiseRawFloor(droppedBeforeMs: number, reason: string, nowMs: number): Promise<void> {
    const values = { level: "raw", droppedBefore: new Date(droppedBeforeMs), reason, updatedAt: new Date(nowMs) };
    await this.database.db
      .insert(storageFloors)
      .values(values)
      .onConflictDoUpdate({ target: storageFloors.level, set: values, setWhere: sql`${storageFloors.droppedBefore} < excluded.dropped_before` });
  }
}
