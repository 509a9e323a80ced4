// SPDX-License-Identifier: Apache-2.0
import { Inject, Injectable } from "@nestjs/common";
import { ClickHouseService } from "../../clickhouse/clickhouse.service.ts";
import { WINDOWS_TABLE } from "../../clickhouse/schema.ts";

/** How far a host's stored windows reach. */
export interface HostWindows {
  /** End of the newest, Unix milliseconds. */
  readonly endMs: number;
  /** Length of the longest of the newest: an agent that has a flood to deal with ends a window early, and what follows is as long as ever. */
  readonly lengthMs: number;
  /** Length of the longest that begins at or after a given moment; 0: none does. */
  readonly longestMs: number;
}

/** Windows that begin so long before the newest are of the newest: the parts of one that was ended early, and one before. */
const NEWEST_MS = 30_000;

/** A host that has been silent for longer is not waited for. */
const LOOK_BACK_MS = 120_000;

@Injectable()
export class CompletenessRepository {
  constructor(@Inject(ClickHouseService) private readonly clickhouse: ClickHouseService) {}

  /**
   * What is stored of these hosts. A window's line is written after all of its rows are.
   * @param sinceMs windows from here on count for `longestMs`
   */
  async list(tenant: string, hostIds: readonly string[], sinceMs: number, nowMs: number): Promise<HostWindows[]> {
    const { rows } = await this.clickhouse.query<{ end_ms: number; length_ms: number; longest_ms: number }>(
      `SELECT max(start_ms + length) AS end_ms, maxIf(length, start_ms >= newest_ms - {newest:Int64}) AS length_ms,
         maxIf(length, start_ms >= {since:Int64}) AS longest_ms
       FROM (
         SELECT host, window_ms AS length, toUnixTimestamp64Milli(ts) AS start_ms, max(start_ms) OVER (PARTITION BY host) AS newest_ms
         FROM ${WINDOWS_TABLE}
         WHERE tenant = {tenant:String} AND host IN {hosts:Array(String)} AND ts >= fromUnixTimestamp64Milli({from:Int64}, 'UTC')
       )
       GROUP BY host`,
      { tenant, hosts: hostIds, since: sinceMs, newest: NEWEST_MS, from: Math.min(sinceMs, nowMs - LOOK_BACK_MS) },
      { settings: { max_execution_time: 5 } },
    );
    return rows.map((row) => ({ endMs: row.end_ms, lengthMs: row.length_ms, longestMs: row.longest_ms }));
  }
}
