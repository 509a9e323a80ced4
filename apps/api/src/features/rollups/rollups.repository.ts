// SPDX-License-Identifier: Apache-2.0
import { Inject, Injectable } from "@nestjs/common";
import { catalogue, levelMs, localTableName, ROLLUP_BUCKET_MS, type Signal, signalTable } from "@waggle/signals";
import { eq, sql } from "drizzle-orm";
import { ClickHouseService, type InsertSummary } from "../../clickhouse/clickhouse.service.ts";
import { ROLLUPS_TABLE, WINDOWS_TABLE } from "../../clickhouse/schema.ts";
import { Database } from "../../postgres/database.ts";
import { rollupProgress, storageFloors } from "../../postgres/schema.ts";
import type { ArrivalCount } from "./pending-buckets.ts";
import { type RollupScope, rollupStatement } from "./statements.ts";
import { type RollupStep, rollupSteps, sourceOf, stepShapes } from "./steps.ts";

/** A host whose bucket has more frames than were taken in; `host` is '' for a fleet step. */
export interface Behind {
  readonly host: string;
  /** Frames there are. */
  readonly frames: number;
  /** Source rows of all signals that they had; 0 where that is not known. */
  readonly rows: number;
}

export interface BehindInBucket {
  readonly behind: readonly Behind[];
  /** Frames of the bucket over all hosts: rises with every frame, so of two roll-ups the higher has seen more. */
  readonly version: number;
}

export interface Arrivals {
  readonly found: readonly ArrivalCount[];
  /** ClickHouse's clock before it looked. */
  readonly nowMs: number;
}

export interface StepProgress {
  readonly completeUntilMs: number;
  readonly scannedUntilMs: number;
}

/** A statement is cut so that it ends long before this; the server ends it if it does not. */
const STATEMENT_SECONDS_MAX = 50;
/** Of memory. Measured: 170 MB for 600,000 histogram rows. */
const STATEMENT_BYTES_MAX = 512 * 1_024 ** 2;
const DAY_MS = 86_400_000;
const INSERT_BLOCK_BYTES = 64 * 1_024 ** 2;

/** What the roller reads and writes. Times are Unix milliseconds. */
@Injectable()
export class RollupsRepository {
  constructor(
    @Inject(ClickHouseService) private readonly clickhouse: ClickHouseService,
    @Inject(Database) private readonly database: Database,
  ) {}

  /**
   * Buckets of every tenant in which the step's source got something since; one look for all tenants, each bucket's tenant in the answer.
   * @param sinceMs on ClickHouse's clock
   * @returns what was found, and ClickHouse's clock before it looked
   */
  async arrivals(step: RollupStep, sinceMs: number, signal: AbortSignal): Promise<Arrivals> {
    const { nowMs } = await this.clickhouseTime(signal);
    return {
      nowMs,
      found: await this.arrivalsWhere(step, "received_at >= fromUnixTimestamp64Milli({since:Int64}, 'UTC')", { since: sinceMs }, signal),
    };
  }

  /** The same of everything there is from `fromMs` on, a day at a time: a week of a large fleet takes longer than one query may. */
  async allArrivals(step: RollupStep, fromMs: number, signal: AbortSignal): Promise<Arrivals> {
    const { nowMs } = await this.clickhouseTime(signal);
    const day = "ts >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') AND ts < fromUnixTimestamp64Milli({to:Int64}, 'UTC')";
    const found: ArrivalCount[] = [];
    // A host's clock may be ahead of ours by what ingest allows, which is less than a day.
    for (let at = Math.floor(fromMs / DAY_MS) * DAY_MS; at < nowMs + DAY_MS; at += DAY_MS)
      found.push(...(await this.arrivalsWhere(step, day, { from: at, to: at + DAY_MS }, signal)));
    return { nowMs, found };
  }

  private async clickhouseTime(signal: AbortSignal): Promise<{ nowMs: number }> {
    const { rows } = await this.clickhouse.query<{ nowMs: number }>("SELECT toUnixTimestamp64Milli(now64(3)) AS nowMs", {}, { signal });
    return { nowMs: rows[0]?.nowMs ?? 0 };
  }

  private async arrivalsWhere(step: RollupStep, condition: string, params: Record<string, unknown>, signal: AbortSignal): Promise<ArrivalCount[]> {
    const { from, bucketMs } = stepShapes[step];
    const { rows } = await this.clickhouse.query<ArrivalCount>(
      `SELECT toString(tenant) AS tenant, toUnixTimestamp(${bucketStart[bucketMs]}) * 1000 AS bucketMs,
        count() AS arrivals, toUnixTimestamp64Milli(max(received_at)) AS lastArrivalMs
      FROM ${from === null ? WINDOWS_TABLE : ROLLUPS_TABLE}
      WHERE ${condition} ${from === null ? "" : "AND step = {source:String}"}
      GROUP BY tenant, bucketMs`,
      { ...params, ...(from === null ? {} : { source: from }) },
      { signal },
    );
    return rows;
  }

  /**
   * Which of these buckets have more frames than were taken in, of all tenants in one statement: most buckets that are looked at have not, and of
   * many tenants each would cost a question of its own.
   * @returns indexes into `buckets`
   */
  async behindBuckets(step: RollupStep, buckets: readonly { tenant: string; bucketMs: number }[], signal: AbortSignal): Promise<ReadonlySet<number>> {
    const shape = stepShapes[step];
    const start = bucketStart[shape.bucketMs];
    const asked = "SELECT pair.1, pair.2 FROM (SELECT arrayJoin(arrayZip({tenants:Array(String)}, {starts:Array(UInt32)})) AS pair)";
    const range = "ts >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') AND ts < fromUnixTimestamp64Milli({to:Int64}, 'UTC')";
    const where = `tenant IN {tenants:Array(String)} AND ${range} AND (toString(tenant), toUnixTimestamp(${start})) IN (${asked})`;
    const groups = `toString(tenant) AS name, toUnixTimestamp(${start}) AS at`;
    const { rows } = await this.clickhouse.query<{ name: string; at: number }>(
      `SELECT name, at
      FROM (SELECT ${groups}, ${
        shape.from === null ? `count() AS there FROM ${WINDOWS_TABLE}` : `sum(frames) AS there FROM ${ROLLUPS_TABLE}`
      } FINAL PREWHERE ${where} ${shape.from === null ? "" : "AND step = {source:String}"} GROUP BY name, at) AS source
      LEFT JOIN (SELECT ${groups}, sum(frames) AS taken FROM ${ROLLUPS_TABLE} FINAL PREWHERE ${where} AND step = {step:String} GROUP BY name, at) AS noted
      USING (name, at)
      WHERE there > taken`,
      {
        step,
        ...(shape.from === null ? {} : { source: shape.from }),
        tenants: buckets.map(({ tenant }) => tenant),
        starts: buckets.map(({ bucketMs }) => bucketMs / 1_000),
        from: Math.min(...buckets.map(({ bucketMs }) => bucketMs)),
        to: Math.max(...buckets.map(({ bucketMs }) => bucketMs)) + shape.bucketMs,
      },
      { signal },
    );
    const found = new Set(rows.map(({ name, at }) => `${name}/${at * 1_000}`));
    return new Set(buckets.flatMap(({ tenant, bucketMs }, index) => (found.has(`${tenant}/${bucketMs}`) ? [index] : [])));
  }

  /** What of a bucket has to be rolled up (again). Counted before anything is read, so what comes later is never taken for seen. */
  async behind(step: RollupStep, tenant: string, bucketMs: number, signal: AbortSignal): Promise<BehindInBucket> {
    const shape = stepShapes[step];
    const isFleet = shape.scope === "fleet";
    const range = "ts >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') AND ts < fromUnixTimestamp64Milli({to:Int64}, 'UTC')";
    const host = isFleet ? "''" : "toString(host)";
    const there =
      shape.from === null
        ? `SELECT ${host} AS host, count() AS frames, sum(\`rows\`) AS source_rows FROM ${WINDOWS_TABLE} FINAL PREWHERE tenant = {tenant:String} AND ${range} GROUP BY host`
        : `SELECT ${host} AS host, sum(frames) AS frames, 0 AS source_rows FROM ${ROLLUPS_TABLE} FINAL
          PREWHERE tenant = {tenant:String} AND step = {source:String} AND ${range} GROUP BY host`;
    const { rows } = await this.clickhouse.query<{ host: string; frames: number; source_rows: number; total: number }>(
      `SELECT host, frames, source_rows, total
      FROM (SELECT host, frames, source_rows, sum(frames) OVER () AS total FROM (${there})) AS there
      LEFT JOIN (
        SELECT toString(host) AS host, frames AS taken FROM ${ROLLUPS_TABLE} FINAL
        PREWHERE tenant = {tenant:String} AND step = {step:String} AND ts = fromUnixTimestamp64Milli({from:Int64}, 'UTC')
      ) AS noted USING (host)
      WHERE frames > taken
      ORDER BY host`,
      { tenant, step, from: bucketMs, to: bucketMs + shape.bucketMs, ...(shape.from === null ? {} : { source: shape.from }) },
      { signal },
    );
    return { behind: rows.map((row) => ({ host: row.host, frames: row.frames, rows: row.source_rows })), version: rows[0]?.total ?? 0 };
  }

  /**
   * Signals whose source has rows in the bucket. Of forty signals most have none in most buckets (nothing failed, nobody was killed), and one question about all of them costs a
   * fraction of a roll-up of each. It is asked about those only that have parts of that time: with two shards a question about a table takes 5 ms of CPU.
   */
  async signalsWithRows(step: RollupStep, tenant: string, bucketMs: number, signal: AbortSignal): Promise<ReadonlySet<string>> {
    const untilMs = bucketMs + stepShapes[step].bucketMs;
    const tables = new Map(catalogue.map((definition) => [signalTable(definition, sourceOf(step)).name, definition.name]));
    const present = await this.tablesWithParts([...tables.keys()], bucketMs, untilMs, signal);
    if (present.length === 0) return new Set();
    const range =
      "tenant = {tenant:String} AND ts >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') AND ts < fromUnixTimestamp64Milli({to:Int64}, 'UTC')";
    const questions = present.map(
      (table) => `SELECT '${tables.get(table)}' AS signal_name FROM (SELECT 1 FROM \`${table}\` PREWHERE ${range} LIMIT 1)`,
    );
    const { rows } = await this.clickhouse.query<{ signal_name: string }>(
      questions.join("\nUNION ALL\n"),
      { tenant, from: bucketMs, to: untilMs },
      { signal, settings: { max_threads: 1 } },
    );
    return new Set(rows.map((row) => row.signal_name));
  }

  /** Those of the tables of which some server has a part that reaches into the stretch of time, whichever tenant's its rows are. */
  private async tablesWithParts(tables: readonly string[], fromMs: number, toMs: number, signal: AbortSignal): Promise<string[]> {
    const { database, layout } = this.clickhouse;
    const byLocalName = new Map(tables.map((table) => [localTableName(table, layout), table]));
    const { rows } = await this.clickhouse.query<{ local: string }>(
      `SELECT DISTINCT table AS local FROM ${this.clickhouse.systemTable("parts").from}
      WHERE database = {database:String} AND table IN {tables:Array(String)} AND active
        AND min_time < toDateTime({to:UInt32}, 'UTC') AND max_time >= toDateTime({from:UInt32}, 'UTC')`,
      // Both in whole seconds, as the buckets are: what a part says is rounded down.
      { database, tables: [...byLocalName.keys()], from: fromMs / 1_000, to: toMs / 1_000 },
      { signal },
    );
    return rows.map(({ local }) => byLocalName.get(local) as string);
  }

  /** A shard knows no database of ours by itself. */
  private get windowsOfShard(): string {
    const { database, layout } = this.clickhouse;
    return `\`${database}\`.\`${localTableName(WINDOWS_TABLE, layout)}\``;
  }

  /** Makes and writes one signal's rows of a bucket. */
  async roll(signal: Signal, step: RollupStep, scope: RollupScope, abort: AbortSignal): Promise<InsertSummary> {
    const { sql: statement, params, settings } = rollupStatement(signal, step, scope, this.windowsOfShard);
    return this.clickhouse.insertSelect(statement, params, {
      signal: abort,
      settings: {
        ...settings,
        max_threads: 1,
        max_execution_time: STATEMENT_SECONDS_MAX,
        max_memory_usage: String(STATEMENT_BYTES_MAX),
        max_bytes_before_external_group_by: String(STATEMENT_BYTES_MAX / 2),
        min_insert_block_size_bytes: String(INSERT_BLOCK_BYTES),
      },
    });
  }

  /** Says that the bucket's rows of every signal are written. Only ever after they are. */
  async note(step: RollupStep, tenant: string, bucketMs: number, taken: readonly Behind[], signal: AbortSignal): Promise<void> {
    await this.clickhouse.insertSelect(
      `INSERT INTO ${ROLLUPS_TABLE} (tenant, step, ts, host, frames)
      SELECT {tenant:String}, {step:String}, fromUnixTimestamp64Milli({at:Int64}, 'UTC'), host, frames
      FROM (SELECT 1) ARRAY JOIN {hosts:Array(String)} AS host, {frames:Array(UInt64)} AS frames`,
      { tenant, step, at: bucketMs, hosts: taken.map(({ host }) => host), frames: taken.map(({ frames }) => frames) },
      { signal },
    );
  }

  async loadProgress(): Promise<ReadonlyMap<RollupStep, StepProgress>> {
    const rows = await this.database.db.select().from(rollupProgress);
    const known = rows.filter((row): row is typeof row & { step: RollupStep } => (rollupSteps as readonly string[]).includes(row.step));
    return new Map(known.map((row) => [row.step, { completeUntilMs: row.completeUntil.getTime(), scannedUntilMs: row.scannedUntil.getTime() }]));
  }

  async saveProgress(progress: ReadonlyMap<RollupStep, StepProgress>): Promise<void> {
    if (progress.size === 0) return;
    await this.database.db
      .insert(rollupProgress)
      .values(
        [...progress].map(([step, { completeUntilMs, scannedUntilMs }]) => ({
          step,
          completeUntil: new Date(completeUntilMs),
          scannedUntil: new Date(scannedUntilMs),
        })),
      )
      .onConflictDoUpdate({
        target: rollupProgress.step,
        set: {
          // A node that lost its lease without noticing may be behind the one that has it.
          completeUntil: sql`greatest(${rollupProgress.completeUntil}, excluded.complete_until)`,
          scannedUntil: sql`excluded.scanned_until`,
        },
      });
  }

  /** Raw rows older than this were given up to save the disk; 0: none were. */
  async rawFloorMs(): Promise<number> {
    const rows = await this.database.db.select().from(storageFloors).where(eq(storageFloors.level, "raw"));
    return rows[0]?.droppedBefore.getTime() ?? 0;
  }
}

const bucketStart: Readonly<Record<number, string>> = { [ROLLUP_BUCKET_MS]: "toStartOfFiveMinutes(ts)", [levelMs["1h"]]: "toStartOfHour(ts)" };
