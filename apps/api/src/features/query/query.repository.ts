// SPDX-License-Identifier: Apache-2.0
import { Inject, Injectable } from "@nestjs/common";
import { tableName } from "@waggle/signals";
import { ClickHouseService } from "../../clickhouse/clickhouse.service.ts";
import { queriesYield } from "../../clickhouse/query-settings.ts";
import { AppError } from "../../common/app-error.ts";
import { Database } from "../../postgres/database.ts";
import type { KnownHost } from "./coverage.ts";
import type { Ticket } from "./fair-queue.ts";
import { KeptAnswers } from "./kept-answers.ts";
import { KeptSteps } from "./kept-steps.ts";
import { KeptTotals } from "./kept-totals.ts";
import { KnownHosts } from "./known-hosts.ts";
import { QueryMetrics } from "./query.metrics.ts";
import { RowEstimates, stretchesOf } from "./row-estimates.ts";
import { SharedRuns } from "./shared-runs.ts";
import type { Source } from "./sources.ts";
import { Parameters, type Plan, rowsOf, type Statement, scopeOf } from "./sql.ts";
import { StatementAdmission } from "./statement-admission.ts";
import { kindOf, nameOf, scopeName, tenantOf } from "./statement-name.ts";
import { type Content, TableVersions } from "./table-versions.ts";
import type { TimeRange } from "./time-range.ts";
import { type NamedWindows, WindowVersions } from "./window-versions.ts";

/** What one query may cost. ClickHouse knows the rows from its primary key before it reads any. */
const defaultLimits = {
  rowsReadMax: 50_000_000,
  resultRowsMax: 200_000,
  memoryBytesMax: 1_500_000_000,
  executionSecondsMax: 20,
};

/** Of JSON that ClickHouse sent; as objects it takes some three times as much. */
const KEPT_BYTES_MAX = 48 * 1_024 * 1_024;
/** Values in rows of single steps: some 20 to 30 MB. */
const KEPT_CELLS_MAX = 1_000_000;
/** Rows of groups over a range: of ten to twenty values, so about as much again. */
const KEPT_ROWS_MAX = 150_000;
/** Half of how often a page that follows the present asks again, and shorter than the time in which a host counts as late. */
const RECENT_MS = 5_000;
/** When a statement would wait longer, an answer of the last seconds is the better one: one window's length, as then the question is another. */
const LONG_WAIT_MS = 250;
export const RECENT_UNDER_LOAD_MS = 10_000;
/** As of `KEPT_BYTES_MAX`; they are pushed out by newer ones. */
const RECENT_BYTES_MAX = 16 * 1_024 * 1_024;

/**
 * Where rows came from: ClickHouse, somebody else's same statement that was running, an answer that is still right, or one that was right a few seconds ago.
 */
export type Origin = "read" | "shared" | "kept" | "recent";

/** Of as old as an answer may be: what one is made of that will be handed out again may be this old, so that it is not too old at once. */
const RECENT_PART = 1 / 5;

/**
 * Whether an answer that was read some seconds ago will do. never: rows must be in it that have come in since; rather-than-wait: where statements wait long
 * for ClickHouse, up to ten seconds; always: up to five also where none do; as-a-part: for what is itself handed out again so long, a fifth of that.
 */
export type Recent = "never" | "rather-than-wait" | "always" | "as-a-part";

export interface RunOptions {
  readonly recent?: Recent;
  /** Of the query that the statement is a part of. */
  readonly ticket?: Ticket;
}

/** Rows of a statement. They are shared between callers: nobody may change them. */
export interface RunAnswer<Row> {
  readonly rows: Row[];
  /** By this statement; 0 when its answer had been kept. */
  readonly rowsRead: number;
  readonly origin: Origin;
  /** Until ClickHouse was given the statement. */
  readonly waitedMs: number;
  /** When this was what there is, by `performance.now()`. */
  readonly asOfMs: number;
  /** Of rows that are right as long as it is the same. */
  readonly content: Content | undefined;
}

interface ReadRows {
  readonly rows: unknown[];
  readonly rowsRead: number;
  readonly waitedMs: number;
  /** When ClickHouse was given the statement, by `performance.now()`. */
  readonly readAtMs: number;
}

/**
 * How queries are read. A statement that is running already is not run again: its callers share the answer. One that reads nothing but rolled-up rows is
 * answered as before until something is written to the tables and days it reads (docs/adr/0015). The others wait until ClickHouse has a core for them.
 */
@Injectable()
export class QueryRepository {
  /** Tests lower them. */
  limits = defaultLimits;
  readonly versions: TableVersions;
  /** Of steps that are read out of raw rows, rows of different questions beside each other. */
  readonly keptSteps = new KeptSteps<object>(KEPT_CELLS_MAX);
  /** Of questions of one value over their range. */
  readonly keptTotals = new KeptTotals<object>(KEPT_ROWS_MAX);
  /** What is known of accepted frames may be this old. Tests lower it. */
  windowsAgeMs = 1_000;
  private readonly windows: WindowVersions;
  private readonly running = new SharedRuns<ReadRows>();
  private readonly kept = new KeptAnswers<ReadRows>(KEPT_BYTES_MAX);
  private readonly recent = new KeptAnswers<ReadRows>(RECENT_BYTES_MAX);
  private readonly estimating = new SharedRuns<ReadonlyMap<string, number>>();
  private readonly estimates = new RowEstimates();
  private readonly hosts: KnownHosts;

  constructor(
    @Inject(ClickHouseService) private readonly clickhouse: ClickHouseService,
    @Inject(Database) database: Database,
    @Inject(StatementAdmission) private readonly admission: StatementAdmission,
    @Inject(QueryMetrics) private readonly metrics: QueryMetrics,
  ) {
    this.versions = new TableVersions(clickhouse);
    this.windows = new WindowVersions(clickhouse);
    this.hosts = new KnownHosts(database);
  }

  /** All hosts of an organisation, retired ones too, by name; of a large one as of `KnownHosts`. */
  listHosts(organisationId: string): Promise<readonly KnownHost[]> {
    return this.hosts.list(organisationId);
  }

  /**
   * Runs a statement within `limits`.
   * @param signal the statement leaves the line, or is cancelled in ClickHouse, when all who wait for it have gone
   * @throws AppError RATE_LIMITED or OVERLOADED when too many wait, QUERY_TOO_LARGE with the rows it would have read, QUERY_TIMEOUT, STORAGE_UNAVAILABLE; the signal's reason
   */
  async run<Row>(
    statement: Statement,
    signal: AbortSignal | undefined,
    { recent = "rather-than-wait", ticket }: RunOptions = {},
  ): Promise<RunAnswer<Row>> {
    const answer = await this.answer<Row>(statement, signal, recent, ticket);
    this.metrics.answers.inc({ origin: answer.origin });
    return answer;
  }

  private async answer<Row>(
    statement: Statement,
    signal: AbortSignal | undefined,
    recent: Recent,
    ticket: Ticket | undefined,
  ): Promise<RunAnswer<Row>> {
    const tenant = tenantOf(statement);
    const key = nameOf(statement);
    const content = await this.contentOf(statement);
    if (content !== undefined) {
      const kept = this.kept.get(key, content.version);
      if (kept !== undefined) return { rows: kept.rows as Row[], rowsRead: 0, origin: "kept", waitedMs: 0, asOfMs: content.asOfMs, content };
    }
    const known = this.recent.get(key, tenant);
    if (known !== undefined && performance.now() - known.readAtMs < this.recentMs(recent, tenant))
      return { rows: known.rows as Row[], rowsRead: 0, origin: "recent", waitedMs: 0, asOfMs: known.readAtMs, content: undefined };
    const work = (abort: AbortSignal): Promise<ReadRows> => this.read(tenant, statement, key, content?.version, abort, ticket);
    const { answer, isShared } = await this.running.get(key, work, signal);
    const { rows, rowsRead, waitedMs, readAtMs } = answer;
    return {
      rows: rows as Row[],
      rowsRead,
      origin: isShared ? "shared" : "read",
      waitedMs,
      asOfMs: readAtMs,
      content: isShared ? undefined : content,
    };
  }

  /** How old an answer may be that is handed out again, ms. */
  recentMs(recent: Recent, tenant: string): number {
    if (recent === "never") return 0;
    if (recent === "as-a-part") return this.recentMs("always", tenant) * RECENT_PART;
    if (this.admission.expectedWaitMs(tenant) > LONG_WAIT_MS) return RECENT_UNDER_LOAD_MS;
    return recent === "always" ? RECENT_MS : 0;
  }

  /**
   * What names the raw rows of stretches of a range of the plan's hosts.
   * @param recent whether an answer may be some seconds old
   * @throws AppError STORAGE_UNAVAILABLE
   */
  versionsOf(plan: Plan, range: TimeRange, recent: Recent): Promise<NamedWindows> {
    return this.windows.of(plan, range, Math.max(this.windowsAgeMs, this.recentMs(recent, plan.tenant)));
  }

  /** What names the content of all that the statement reads; undefined: it reads rows that come in at any moment. */
  private async contentOf({ sql, reads }: Statement): Promise<Content | undefined> {
    if (reads?.isRolledUp !== true) return undefined;
    return this.versions.of(tablesIn(sql), reads.fromMs, reads.toMs);
  }

  /**
   * Whether it is what there is now, or was two seconds ago.
   * @throws AppError STORAGE_UNAVAILABLE
   */
  async isStillThere({ tables, fromMs, toMs, version }: Content): Promise<boolean> {
    return (await this.versions.of(tables, fromMs, toMs)).version === version;
  }

  private async read(
    tenant: string,
    statement: Statement,
    key: string,
    version: string | undefined,
    signal: AbortSignal,
    ticket: Ticket | undefined,
  ): Promise<ReadRows> {
    const read = async (threadsMax: number): Promise<Omit<ReadRows, "waitedMs"> & { readonly bytes: number }> => {
      const readAtMs = performance.now();
      const { rows, summary } = await this.clickhouse.query<unknown>(statement.sql, statement.parameters, {
        signal,
        settings: {
          ...queriesYield,
          max_threads: threadsMax,
          // Few rows of a host lie in blocks of 64 KiB beside those of its neighbours, whose pages read the same ones; of more than a million rows ClickHouse does without.
          use_uncompressed_cache: 1,
          max_rows_to_read: String(this.limits.rowsReadMax),
          max_result_rows: String(this.limits.resultRowsMax),
          max_memory_usage: String(this.limits.memoryBytesMax),
          max_execution_time: this.limits.executionSecondsMax,
          // Dimensions are part of the sorting key, so filtering them before FINAL cannot change which row wins.
          optimize_move_to_prewhere_if_final: 1,
          // A row's partition is the day of its ts, which is in its key: equal rows are never in two partitions.
          do_not_merge_across_partitions_select_final: 1,
        },
      });
      return { rows, rowsRead: summary.rowsRead, readAtMs, bytes: summary.resultBytes };
    };
    try {
      const { answer: found, waitedMs } = await this.admission.run(tenant, kindOf(statement), read, signal, ticket);
      const { bytes, ...rest } = found;
      const answer: ReadRows = { ...rest, waitedMs };
      if (version !== undefined) this.kept.put(key, version, answer, bytes);
      else this.recent.put(key, tenant, answer, bytes);
      return answer;
    } catch (error) {
      if (error instanceof AppError && error.code === "QUERY_TOO_LARGE") throw await this.explain(error, tenant, statement, signal);
      throw error;
    }
  }

  /**
   * How many rows a plan would read, from the primary keys alone; up to half a minute old. Of a cluster ClickHouse knows only what lies on the server that is asked.
   * @throws AppError as of `run`
   */
  async estimateRows(plan: Plan, sources: readonly Source[], signal: AbortSignal | undefined, ticket?: Ticket): Promise<number> {
    if (sources.length === 0) return 0;
    const tableOf = ({ level, scope }: Source): string => tableName(plan.signal, level, scope);
    const stretches = stretchesOf(sources, tableOf);
    const scope = scopeName(plan);
    const known = this.estimates.of(scope, stretches, performance.now());
    if (known !== undefined) return known;
    const parameters = new Parameters();
    // Only conditions on the sorting key's first columns keep rows from being read.
    const branches = sources.map((source) => `SELECT 1 ${rowsOf(tableOf(source), scopeOf(plan, source, parameters), { isFinal: false })}`);
    const statement = estimateStatement(parameters.statement(branches.join(" UNION ALL ")));
    const { answer } = await this.estimating.get(nameOf(statement), (abort) => this.readEstimate(plan.tenant, statement, abort, ticket), signal);
    for (const one of stretches) this.estimates.put(scope, one, answer.get(one.table) ?? 0, performance.now());
    return sumOf(answer);
  }

  /** Rows by table. */
  private async readEstimate(
    tenant: string,
    { sql, parameters }: Statement,
    signal: AbortSignal,
    ticket?: Ticket,
  ): Promise<ReadonlyMap<string, number>> {
    const settings = { ...queriesYield, max_threads: 1 };
    const { answer } = await this.admission.run(
      tenant,
      "estimate",
      () => this.clickhouse.query<{ table_name: string; table_rows: number }>(sql, parameters, { signal, settings }),
      signal,
      ticket,
    );
    return new Map(answer.rows.map((row) => [row.table_name, Number(row.table_rows)]));
  }

  /** The same error, naming what the statement would read. */
  private async explain(error: AppError, tenant: string, statement: Statement, signal: AbortSignal): Promise<AppError> {
    const rows = await this.readEstimate(tenant, estimateStatement(statement), signal).then(sumOf, () => 0);
    if (rows <= this.limits.rowsReadMax) return error;
    const share = Math.floor((this.limits.rowsReadMax / rows) * 100);
    const smaller = share >= 1 ? `about ${share} % of the range` : "a much shorter range";
    return new AppError(
      "QUERY_TOO_LARGE",
      `The query would read about ${rows} rows; at most ${this.limits.rowsReadMax} are read. Ask for ${smaller}, or filter by host.`,
      {
        errors: [{ pointer: "/from", detail: `About ${rows} rows lie in the range; the limit is ${this.limits.rowsReadMax}.` }],
        cause: error,
      },
    );
  }
}

/** The tables that a statement reads. `rowsOf` is what writes them there, and nothing of the caller's stands in a statement's text. */
function tablesIn(sql: string): readonly string[] {
  return [...new Set([...sql.matchAll(/FROM `([a-z0-9_]+)`/g)].map(([, table = ""]) => table))].sort();
}

/** How many rows ClickHouse would read. Columns `table_name`, which on a cluster is that of the table it stands for, and `table_rows`. */
function estimateStatement({ sql, parameters }: Statement): Statement {
  const columns = "replaceRegexpOne(table, '_local$', '') AS table_name, sum(rows) AS table_rows";
  return { sql: `SELECT ${columns} FROM (EXPLAIN ESTIMATE ${sql}) GROUP BY table_name`, parameters };
}

const sumOf = (rows: ReadonlyMap<string, number>): number => [...rows.values()].reduce((sum, count) => sum + count, 0);
