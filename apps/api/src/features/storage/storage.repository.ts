// SPDX-License-Identifier: Apache-2.0
import { Inject, Injectable } from "@nestjs/common";
import { localTableName, SERVER_HOST } from "@waggle/signals";
import { and, eq, isNull, lte, sql } from "drizzle-orm";
import { ClickHouseService } from "../../clickhouse/clickhouse.service.ts";
import { WINDOWS_TABLE } from "../../clickhouse/schema.ts";
import { Database } from "../../postgres/database.ts";
import { rollupProgress, storageDrops, storageFloors } from "../../postgres/schema.ts";
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

  /** Says that a partition is dropped to make room. To be called before it is: who does it again after a crash says nothing new. */
  async noteDrop(table: string, partitionId: string): Promise<void> {
    await this.database.db.insert(storageDrops).values({ tableName: table, partitionId }).onConflictDoNothing();
  }

  /**
   * Drops not known to be reported, those that no report has counted yet counted in this minute's from now on.
   * @returns the start of the minute that counts each, Unix milliseconds, never later than `minuteMs`
   */
  async assignDrops(minuteMs: number): Promise<number[]> {
    const { db } = this.database;
    const minute = new Date(minuteMs);
    await db.update(storageDrops).set({ reportedMinute: minute }).where(isNull(storageDrops.reportedMinute));
    const rows = await db
      .select({ reportedMinute: storageDrops.reportedMinute })
      .from(storageDrops)
      .where(and(isNull(storageDrops.confirmedAt), lte(storageDrops.reportedMinute, minute)));
    return rows.flatMap((row) => (row.reportedMinute === null ? [] : [row.reportedMinute.getTime()]));
  }

  /** Says that what was assigned to this minute or one before is reported everywhere. */
  async confirmDrops(minuteMs: number): Promise<void> {
    await this.database.db
      .update(storageDrops)
      .set({ confirmedAt: sql`now()` })
      .where(and(isNull(storageDrops.confirmedAt), lte(storageDrops.reportedMinute, new Date(minuteMs))));
  }

  /** The newest of the store's own reports in [fromMs, toMs), by organisation, one statement for all. Throws STORAGE_UNAVAILABLE. */
  async lastReports(fromMs: number, toMs: number): Promise<ReadonlyMap<string, number>> {
    const { rows } = await this.clickhouse.query<{ organisation: string; at: number }>(
      `SELECT toString(tenant) AS organisation, toUnixTimestamp64Milli(max(ts)) AS at FROM ${WINDOWS_TABLE}
       WHERE host = {host:String} AND ts >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') AND ts < fromUnixTimestamp64Milli({to:Int64}, 'UTC')
       GROUP BY organisation`,
      { host: SERVER_HOST, from: fromMs, to: toMs },
    );
    return new Map(rows.map((row) => [row.organisation, row.at]));
  }
}
