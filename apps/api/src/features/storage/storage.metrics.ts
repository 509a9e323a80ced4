// SPDX-License-Identifier: Apache-2.0
import { Inject, Injectable } from "@nestjs/common";
import { Counter, Gauge, Registry } from "prom-client";

/** What the API measures about its store. Levels are `raw`, `1m`, `1h` and `bookkeeping`. */
@Injectable()
export class StorageMetrics {
  readonly state: Gauge;
  readonly usedShare: Gauge;
  readonly unknown: Gauge;
  readonly bytes: Gauge<"level">;
  readonly rows: Gauge<"level">;
  readonly parts: Gauge<"level">;
  readonly partitionPartsMax: Gauge;
  readonly overdueBytes: Gauge;
  readonly droppedPartitions: Counter<"reason">;

  constructor(@Inject(Registry) registry: Registry) {
    const registers = [registry];
    this.state = new Gauge({ registers, name: "waggle_storage_state", help: "0 ok, 1 warn, 2 coarsen, 3 drop." });
    this.usedShare = new Gauge({
      registers,
      name: "waggle_storage_used_ratio",
      help: "Share of the space in use, of the fullest disk or of the configured limit.",
    });
    this.unknown = new Gauge({ registers, name: "waggle_storage_unknown", help: "1 while ClickHouse does not tell how full it is." });
    this.bytes = new Gauge({ registers, name: "waggle_storage_bytes", help: "Bytes on disk by level, on all servers.", labelNames: ["level"] });
    this.rows = new Gauge({
      registers,
      name: "waggle_storage_rows",
      help: "Rows by level, replaced ones that are not merged yet included.",
      labelNames: ["level"],
    });
    this.parts = new Gauge({ registers, name: "waggle_storage_parts", help: "Active parts by level.", labelNames: ["level"] });
    this.partitionPartsMax = new Gauge({
      registers,
      name: "waggle_storage_partition_parts_max",
      help: "Active parts of the partition that has most: ClickHouse delays inserts from 1,000 and refuses them from 3,000.",
    });
    this.overdueBytes = new Gauge({
      registers,
      name: "waggle_storage_overdue_bytes",
      help: "Bytes of partitions whose rows should all have been deleted more than a day ago.",
    });
    this.droppedPartitions = new Counter({
      registers,
      name: "waggle_storage_dropped_partitions_total",
      help: "Partitions this node dropped: retention (overdue ones) or space (raw rows, before their time).",
      labelNames: ["reason"],
    });
  }
}
