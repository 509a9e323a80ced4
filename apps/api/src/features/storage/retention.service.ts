// SPDX-License-Identifier: Apache-2.0
import { randomUUID } from "node:crypto";
import { Inject, Injectable, type OnApplicationBootstrap, type OnApplicationShutdown } from "@nestjs/common";
import { ClickHouseService } from "../../clickhouse/clickhouse.service.ts";
import { Clock } from "../../common/clock.ts";
import { Log } from "../../common/log.ts";
import { LeasesRepository } from "../../postgres/leases.repository.ts";
import { isOverdue, type Partition } from "./partitions.ts";
import { StorageMetrics } from "./storage.metrics.ts";
import { StorageRepository } from "./storage.repository.ts";

const FIRST_CHECK_MS = 60_000;
const CHECK_INTERVAL_MS = 3_600_000;
const LEASE = "retention";
const LEASE_MS = 600_000;

export interface RetentionReport {
  /** Partitions that TTL should have removed; each server's counts. */
  readonly overdue: readonly Partition[];
  readonly droppedPartitions: number;
}

/**
 * Checks every hour that rows which are past their time are really gone, and drops whole partitions of them where ClickHouse's TTL did
 * not: a TTL that never applies is noticed by nobody until the disk is full.
 */
@Injectable()
export class RetentionService implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly holder = randomUUID();
  private timer: NodeJS.Timeout | undefined;
  private isStopped = false;

  constructor(
    @Inject(StorageRepository) private readonly repository: StorageRepository,
    @Inject(ClickHouseService) private readonly clickhouse: ClickHouseService,
    @Inject(LeasesRepository) private readonly leases: LeasesRepository,
    @Inject(StorageMetrics) private readonly metrics: StorageMetrics,
    @Inject(Clock) private readonly clock: Clock,
    @Inject(Log) private readonly log: Log,
  ) {}

  onApplicationBootstrap(): void {
    this.schedule(FIRST_CHECK_MS);
  }

  async onApplicationShutdown(): Promise<void> {
    this.isStopped = true;
    clearTimeout(this.timer);
    await this.leases.release(LEASE, this.holder).catch(() => {});
  }

  /** Looks now, and drops what is overdue. Throws STORAGE_UNAVAILABLE. */
  async check(): Promise<RetentionReport> {
    const nowMs = this.clock.now();
    const definitions = new Map(this.clickhouse.tables.map((table) => [table.name, table]));
    const partitions = await this.repository.listPartitions();
    const overdue = partitions.filter((partition) => {
      const definition = definitions.get(partition.table);
      return definition !== undefined && isOverdue(definition, partition, nowMs);
    });
    let droppedPartitions = 0;
    const targets = new Map(overdue.map((partition) => [`${partition.table} ${partition.partitionId}`, partition]));
    for (const { table, partition, partitionId } of targets.values()) {
      await this.repository.dropPartition(table, partitionId);
      droppedPartitions++;
      this.metrics.droppedPartitions.inc({ reason: "retention" });
      const retentionDays = definitions.get(table)?.retentionDays;
      this.log.warn({ table, partition, retentionDays }, "dropped a partition that TTL should have removed");
    }
    return { overdue, droppedPartitions };
  }

  private schedule(delayMs: number): void {
    if (this.isStopped) return;
    this.timer = setTimeout(() => void this.turn().then(() => this.schedule(CHECK_INTERVAL_MS)), delayMs).unref();
  }

  private async turn(): Promise<void> {
    try {
      if (this.clickhouse.isPrepared && (await this.leases.take(LEASE, this.holder, LEASE_MS))) await this.check();
    } catch (error) {
      this.log.warn({ err: error }, "could not check that old rows are gone; the next check is in an hour");
    }
  }
}
