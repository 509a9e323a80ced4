// SPDX-License-Identifier: Apache-2.0
import { Inject, Injectable } from "@nestjs/common";
import { SERVER_HOST } from "@waggle/signals";
import { eq } from "drizzle-orm";
import { ClickHouseService } from "../../clickhouse/clickhouse.service.ts";
import { CLAIMS_TABLE, ROLLUPS_TABLE, WINDOWS_TABLE } from "../../clickhouse/schema.ts";
import { Database } from "../../postgres/database.ts";
import { hosts } from "../../postgres/schema.ts";
import { CLOCK_OFFSET_MS_MAX, HOUR_MS } from "./claims.service.ts";
import type { Verdict } from "./ledger.schemas.ts";

export interface LedgerHost {
  readonly id: string;
  readonly name: string;
  readonly clockOffsetMs: number | null;
  readonly spoolFrames: number | null;
}

/** Which host-hours; hours are those of the hosts' clocks, Unix milliseconds, half-open. */
export interface LedgerRange {
  readonly tenant: string;
  readonly fromMs: number;
  readonly toMs: number;
  /** null: all of the tenant's. */
  readonly host: string | null;
  /** Hosts whose agents have frames to deliver still. */
  readonly spoolingHosts: readonly string[];
  /** Hosts whose clocks are far from the API's, and what they add to them to get it, milliseconds: their hours end earlier or later than the API's. */
  readonly skewedHosts: ReadonlyMap<string, number>;
  /** Hours that end later than this are not over; frames of the last windows may be on their way. */
  readonly settledBeforeMs: number;
  /** How far clocks of hosts are from the API's, at most. */
  readonly clockOffsetMsMax: number;
}

export interface LedgerRow {
  readonly host_id: string;
  readonly hour_ms: number;
  readonly is_said: number;
  readonly said_windows: number;
  readonly said_rows: number;
  readonly said_frames: number;
  readonly dropped_windows: number;
  readonly refused_windows: number;
  readonly said_ms: number;
  readonly frames: number;
  readonly stored_windows: number;
  readonly stored_rows: number;
  readonly rolled_1m: number;
  readonly rolled_1h: number;
  readonly verdict: Verdict;
}

export type LedgerTotals = Omit<LedgerRow, "host_id" | "hour_ms" | "is_said" | "said_ms"> & { readonly host_hours: number };

const HOUR = `${HOUR_MS}`;

/**
 * Host-hours with what was said, stored and rolled up.
 *
 * Windows are counted by the hour of the host's clock in which they began, which is what agents claim by; roll-ups have taken in buckets
 * of the API's clock. So windows are counted by both, and a bucket that has not taken in all of its frames counts those it lacks against
 * the hours it touches.
 */
const hostHours = `
  WITH
    seen AS (
      SELECT host,
        intDiv(toUnixTimestamp64Milli(ts) - clock_offset_ms, ${HOUR}) * ${HOUR} AS hour_ms,
        toUnixTimestamp(toStartOfFiveMinutes(ts)) AS bucket, toUnixTimestamp(toStartOfHour(ts)) AS bucket_hour,
        count() AS frames, sum(windows) AS window_count, sum(rows) AS row_count
      FROM ${WINDOWS_TABLE} FINAL
      WHERE tenant = {tenant:String} AND ts >= fromUnixTimestamp64Milli({readFrom:Int64}) AND ts < fromUnixTimestamp64Milli({readTo:Int64})
        AND ({host:String} = '' OR host = {host:String}) AND host != '${SERVER_HOST}'
      GROUP BY host, hour_ms, bucket, bucket_hour
    ),
    taken AS (
      SELECT step, host, toUnixTimestamp(ts) AS bucket, frames
      FROM ${ROLLUPS_TABLE} FINAL
      WHERE tenant = {tenant:String} AND step IN ('1m', '1h') AND ts >= fromUnixTimestamp64Milli({readFrom:Int64}) AND ts < fromUnixTimestamp64Milli({readTo:Int64})
        AND ({host:String} = '' OR host = {host:String})
    ),
    in_minutes AS (
      SELECT host, bucket, sum(frames) AS frames FROM seen GROUP BY host, bucket
    ),
    in_hours AS (
      SELECT host, bucket_hour, sum(frames) AS frames FROM seen GROUP BY host, bucket_hour
    ),
    minutes AS (
      SELECT s.host AS host, s.bucket AS bucket, greatest(0, toInt64(s.frames) - toInt64(t.frames)) AS lacking
      FROM in_minutes AS s LEFT JOIN (SELECT * FROM taken WHERE step = '1m') AS t ON t.host = s.host AND t.bucket = s.bucket
    ),
    hours AS (
      SELECT s.host AS host, s.bucket_hour AS bucket_hour, greatest(0, toInt64(s.frames) - toInt64(t.frames)) AS lacking
      FROM in_hours AS s LEFT JOIN (SELECT * FROM taken WHERE step = '1h') AS t ON t.host = s.host AND t.bucket = s.bucket_hour
    ),
    stored_1m AS (
      SELECT s.host AS host, s.hour_ms AS hour_ms, s.bucket_hour AS bucket_hour, sum(s.frames) AS frames, sum(s.window_count) AS window_count,
        sum(s.row_count) AS row_count, sum(greatest(0, toInt64(s.frames) - m.lacking)) AS rolled_1m
      FROM seen AS s LEFT JOIN minutes AS m ON m.host = s.host AND m.bucket = s.bucket
      GROUP BY host, hour_ms, bucket_hour
    ),
    stored AS (
      SELECT s.host AS host, s.hour_ms AS hour_ms, sum(s.frames) AS frames, sum(s.window_count) AS window_count, sum(s.row_count) AS row_count,
        sum(s.rolled_1m) AS rolled_1m, sum(greatest(0, toInt64(s.frames) - h.lacking)) AS rolled_1h
      FROM stored_1m AS s LEFT JOIN hours AS h ON h.host = s.host AND h.bucket_hour = s.bucket_hour
      WHERE s.hour_ms >= {from:Int64} AND s.hour_ms < {to:Int64}
      GROUP BY host, hour_ms
    ),
    said AS (
      SELECT host, toUnixTimestamp64Milli(ts) AS hour_ms, windows, rows, frames, dropped_windows, refused_windows, toUnixTimestamp64Milli(received_at) AS said_ms
      FROM ${CLAIMS_TABLE} FINAL
      WHERE tenant = {tenant:String} AND ts >= fromUnixTimestamp64Milli({from:Int64}) AND ts < fromUnixTimestamp64Milli({to:Int64})
        AND ({host:String} = '' OR host = {host:String})
    )
  SELECT
    if(c.host = '', s.host, c.host) AS host_id, if(c.host = '', s.hour_ms, c.hour_ms) AS hour_ms, c.host != '' AS is_said,
    c.windows AS said_windows, c.rows AS said_rows, c.frames AS said_frames, c.dropped_windows AS dropped_windows, c.refused_windows AS refused_windows,
    c.said_ms AS said_ms, s.frames AS frames, s.window_count AS stored_windows, s.row_count AS stored_rows, s.rolled_1m AS rolled_1m, s.rolled_1h AS rolled_1h,
    said_windows - least(said_windows, dropped_windows + refused_windows) AS due_windows,
    multiIf(
      NOT is_said, 'unknown',
      frames = said_frames AND stored_rows = said_rows AND stored_windows = due_windows, 'equal',
      -- An agent says its counts with a window, and the window arrives a moment earlier or later.
      hour_ms + ${HOUR} + transform(host_id, {skewedHosts:Array(String)}, {skewedBy:Array(Int64)}, toInt64(0)) > {settledBefore:Int64} OR has({spooling:Array(String)}, host_id) AND frames < said_frames, 'pending',
      frames > said_frames OR stored_rows > said_rows OR stored_windows > due_windows, 'more',
      'missing') AS verdict
  FROM said AS c FULL JOIN stored AS s ON c.host = s.host AND c.hour_ms = s.hour_ms`;

@Injectable()
export class LedgerRepository {
  constructor(
    @Inject(ClickHouseService) private readonly clickhouse: ClickHouseService,
    @Inject(Database) private readonly database: Database,
  ) {}

  async listHosts(organisationId: string): Promise<LedgerHost[]> {
    return this.database.db
      .select({ id: hosts.id, name: hosts.name, clockOffsetMs: hosts.clockOffsetMs, spoolFrames: hosts.spoolFrames })
      .from(hosts)
      .where(eq(hosts.organisationId, organisationId));
  }

  /** Newest hour first, then by host id; what follows `after`. Throws STORAGE_UNAVAILABLE, QUERY_TOO_LARGE, QUERY_TIMEOUT. */
  async listHostHours(
    range: LedgerRange,
    page: { readonly onlyProblems: boolean; readonly limit: number; readonly after: { readonly hourMs: number; readonly hostId: string } | null },
  ): Promise<LedgerRow[]> {
    const { rows } = await this.clickhouse.query<LedgerRow>(
      `SELECT * FROM (${hostHours})
       WHERE (NOT {onlyProblems:Bool} OR verdict IN ('missing', 'more'))
         AND ({afterHour:Int64} < 0 OR hour_ms < {afterHour:Int64} OR (hour_ms = {afterHour:Int64} AND host_id > {afterHost:String}))
       ORDER BY hour_ms DESC, host_id LIMIT {limit:UInt32}`,
      {
        ...parametersOf(range),
        onlyProblems: page.onlyProblems,
        limit: page.limit,
        afterHour: page.after?.hourMs ?? -1,
        afterHost: page.after?.hostId ?? "",
      },
      { settings },
    );
    return rows;
  }

  /** Sums per verdict. */
  async sumByVerdict(range: LedgerRange): Promise<LedgerTotals[]> {
    const { rows } = await this.clickhouse.query<LedgerTotals>(
      `SELECT verdict, count() AS host_hours, sum(t.said_windows) AS said_windows, sum(t.said_rows) AS said_rows, sum(t.said_frames) AS said_frames,
         sum(t.dropped_windows) AS dropped_windows, sum(t.refused_windows) AS refused_windows, sum(t.frames) AS frames, sum(t.stored_windows) AS stored_windows,
         sum(t.stored_rows) AS stored_rows, sum(t.rolled_1m) AS rolled_1m, sum(t.rolled_1h) AS rolled_1h
       FROM (${hostHours}) AS t GROUP BY verdict`,
      parametersOf(range),
      { settings },
    );
    return rows;
  }
}

const settings = { max_execution_time: 20, max_memory_usage: "1500000000" };

function parametersOf(range: LedgerRange): Record<string, unknown> {
  const offsetMs = Math.min(CLOCK_OFFSET_MS_MAX, range.clockOffsetMsMax);
  return {
    tenant: range.tenant,
    host: range.host ?? "",
    from: range.fromMs,
    to: range.toMs,
    // Whole hours of the API's clock, so that every bucket that a window of these hours lies in is read completely.
    readFrom: Math.floor((range.fromMs - offsetMs) / HOUR_MS) * HOUR_MS,
    readTo: Math.ceil((range.toMs + offsetMs) / HOUR_MS) * HOUR_MS,
    settledBefore: range.settledBeforeMs,
    spooling: range.spoolingHosts,
    // The empty name is nobody's: the arrays may not be empty.
    skewedHosts: ["", ...range.skewedHosts.keys()],
    skewedBy: [0, ...range.skewedHosts.values()],
  };
}
