// SPDX-License-Identifier: Apache-2.0
import { Inject, Injectable } from "@nestjs/common";
import { ClickHouseService } from "../../clickhouse/clickhouse.service.ts";
import { WINDOWS_TABLE } from "../../clickhouse/schema.ts";

/** How far a host's stored windows reach. */
export interface HostWindows {
  /** End of the newest, Unix milliseconds. */
  readonly endMs: number;
  /** Length of the newest. */
  readonly lengthMs: number;
  /** Length of the longest that begins at or after a given moment; 0: none does. */
  readonly longestMs: number;
}

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
      `SELECT max(toUnixTimestamp64Milli(ts) + window_ms) AS end_ms, argMax(window_ms, ts) AS length_ms,
         maxIf(window_ms, toUnixTimestamp64Milli(ts) >= {since:Int64}) AS longest_ms
       FROM ${WINDOWS_TABLE}
       WHERE tenant = {tenant:String} AND host IN {hosts:Array(String)} AND ts >= fromUnixTimestamp64Milli({from:Int64}, 'UTC')
       GROUP BY host`,
      { tenant, hosts: hostIds, since: sinceMs, from: Math.min(sinceMs, nowMs - LOOK_BACK_MS) },
      { settings: { max_execution_time: 5 } },
    );
    return rows.map((row) => ({ endMs: row.end_ms, lengthMs: row.length_ms, longestMs: row.longest_ms }));
  }
}
