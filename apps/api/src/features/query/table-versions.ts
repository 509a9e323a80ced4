// SPDX-License-Identifier: Apache-2.0
import type { ClickHouseService } from "../../clickhouse/clickhouse.service.ts";

interface PartitionRow {
  readonly table_name: string;
  /** Days since 1970 of the first and last row, as far as the partition's key says. */
  readonly first_day: number;
  readonly last_day: number;
  readonly version: string;
}

/** What tables' stretches of time held. */
export interface Content {
  readonly tables: readonly string[];
  readonly fromMs: number;
  readonly toMs: number;
  /** Equal ones, equal rows. */
  readonly version: string;
  /** When that was so, by `performance.now()`. */
  readonly asOfMs: number;
}

interface Partitions {
  readonly asOfMs: number;
  readonly byTable: ReadonlyMap<string, readonly PartitionRow[]>;
}

const DAY_MS = 86_400_000;

/**
 * Tells whether rows were written to a table's stretch of time since an answer was made of it.
 *
 * ClickHouse numbers the blocks that are written to a partition, and parts say which numbers they hold: merging changes parts and not the highest
 * number, writing raises it, dropping lowers it. So the highest numbers of the partitions that a stretch touches name its content, whoever wrote, on
 * whichever node of the API.
 */
export class TableVersions {
  /** A version may be this old. Tests lower it. */
  maxAgeMs = 2_000;
  private known: { readonly readAtMs: number; readonly partitions: Promise<Partitions> } | undefined;

  constructor(private readonly clickhouse: ClickHouseService) {}

  /** @throws AppError STORAGE_UNAVAILABLE */
  async of(tables: readonly string[], fromMs: number, toMs: number): Promise<Content> {
    const { asOfMs, byTable } = await this.partitions();
    const version = tables
      .map((table) => {
        const touched = (byTable.get(table) ?? []).filter((row) => row.first_day * DAY_MS < toMs && (row.last_day + 1) * DAY_MS > fromMs);
        return `${table}=${touched.map((row) => row.version).join(",")}`;
      })
      .join(" ");
    return { tables, fromMs, toMs, version, asOfMs };
  }

  private partitions(): Promise<Partitions> {
    const nowMs = performance.now();
    if (this.known !== undefined && nowMs - this.known.readAtMs < this.maxAgeMs) return this.known.partitions;
    const partitions = this.read(nowMs);
    const known = { readAtMs: nowMs, partitions };
    this.known = known;
    partitions.catch(() => {
      if (this.known === known) this.known = undefined;
    });
    return partitions;
  }

  private async read(asOfMs: number): Promise<Partitions> {
    const { from, node } = this.clickhouse.systemTable("parts");
    const { rows } = await this.clickhouse.query<PartitionRow>(
      `SELECT replaceRegexpOne(table, '_local$', '') AS table_name, toInt32(toDate(min(min_time))) AS first_day, toInt32(toDate(max(max_time))) AS last_day,
         concat(${node}, '/', partition_id, '/', toString(max(max_block_number))) AS version
       FROM ${from}
       WHERE database = {database:String} AND active
       GROUP BY table_name, ${node}, partition_id
       ORDER BY table_name, version`,
      { database: this.clickhouse.database },
    );
    return { asOfMs, byTable: Map.groupBy(rows, (row) => row.table_name) };
  }
}
