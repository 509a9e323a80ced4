// SPDX-License-Identifier: Apache-2.0
import { Inject, Injectable } from "@nestjs/common";
import { ClickHouseService } from "../../clickhouse/clickhouse.service.ts";
import { AppError } from "../../common/app-error.ts";
import { type Caller, requireScope } from "../../common/caller.ts";
import { Clock } from "../../common/clock.ts";
import { Config } from "../../config/config.ts";
import { DiskGuard, mostParts } from "./disk-guard.service.ts";
import { isOverdue, kindOf } from "./partitions.ts";
import { thresholds } from "./pressure.ts";
import { RawFloor } from "./raw-floor.service.ts";
import type { StorageReport, StorageTable } from "./storage.schemas.ts";

/** What the store holds and how full it is, of the whole installation. */
@Injectable()
export class StorageService {
  constructor(
    @Inject(DiskGuard) private readonly guard: DiskGuard,
    @Inject(RawFloor) private readonly rawFloor: RawFloor,
    @Inject(ClickHouseService) private readonly clickhouse: ClickHouseService,
    @Inject(Config) private readonly config: Config,
    @Inject(Clock) private readonly clock: Clock,
  ) {}

  /** As of the last look, seconds ago. Throws STORAGE_UNAVAILABLE when ClickHouse does not tell: an old answer would look like a present one. */
  report(caller: Caller): StorageReport {
    requireScope(caller, "metrics:read");
    const { view } = this.guard;
    if (view === undefined || this.guard.problem !== undefined) {
      throw new AppError("STORAGE_UNAVAILABLE", `How full the store is, is not known: ${this.guard.problem}. Try again shortly.`, {
        retryAfterMs: 5_000,
      });
    }
    const tables = this.clickhouse.tables.map((definition): StorageTable => {
      const own = view.partitions.filter((partition) => partition.table === definition.name);
      const days = own.map(({ partition }) => partition).sort();
      return {
        table: definition.name,
        ...kindOf(definition.name),
        ...totals(own),
        oldest: days[0] ?? null,
        newest: days.at(-1) ?? null,
        retentionDays: definition.retentionDays,
        overdueBytes: own.filter((partition) => isOverdue(definition, partition, this.clock.now())).reduce((sum, { bytes }) => sum + bytes, 0),
      };
    });
    const dropped = this.rawFloor.dropped;
    return {
      state: this.guard.state,
      since: new Date(this.guard.sinceMs).toISOString(),
      note: this.guard.note ?? null,
      usedShare: view.usage.share,
      thresholds: { ...thresholds },
      windowMsWanted: this.guard.windowMsWanted(),
      checkedAt: new Date(view.atMs).toISOString(),
      disks: view.disks.map((disk) => ({ ...disk, usedShare: 1 - disk.freeBytes / disk.totalBytes })),
      bytes: tables.reduce((sum, table) => sum + table.bytes, 0),
      bytesMax: this.config.storageBytesMax,
      partitionPartsMax: mostParts(view.partitions),
      dropped:
        dropped === undefined
          ? null
          : {
              rawBefore: new Date(dropped.droppedBeforeMs).toISOString(),
              reason: dropped.reason,
              decidedAt: new Date(dropped.decidedAtMs).toISOString(),
            },
      levels: [...Map.groupBy(tables, (table) => `${table.level} ${table.scope}`).values()].map((group) => {
        const { level, scope } = group[0] as StorageTable;
        return { level, scope, tables: group.length, ...totals(group), overdueBytes: group.reduce((sum, table) => sum + table.overdueBytes, 0) };
      }),
      tables,
    };
  }
}

function totals(items: readonly { readonly rows: number; readonly bytes: number; readonly parts: number }[]) {
  const rows = items.reduce((sum, item) => sum + item.rows, 0);
  const bytes = items.reduce((sum, item) => sum + item.bytes, 0);
  return {
    rows,
    bytes,
    bytesPerRow: rows === 0 ? null : Math.round((bytes / rows) * 100) / 100,
    parts: items.reduce((sum, item) => sum + item.parts, 0),
  };
}
