// SPDX-License-Identifier: Apache-2.0
import { Inject, Injectable } from "@nestjs/common";
import { tableName } from "@waggle/signals";
import { asc, eq } from "drizzle-orm";
import { ClickHouseService } from "../../clickhouse/clickhouse.service.ts";
import { queriesYield } from "../../clickhouse/query-settings.ts";
import { AppError } from "../../common/app-error.ts";
import { Database } from "../../postgres/database.ts";
import { hosts } from "../../postgres/schema.ts";
import type { KnownHost } from "./coverage.ts";
import type { Ticket } from "./fair-queue.ts";
import { indexOf } from "./host-lists.ts";
import { KeptAnswers } from "./kept-answers.ts";
import { QueryMetrics } from "./query.metrics.ts";
import { SharedRuns } from "./shared-runs.ts";
import type { Source } from "./sources.ts";
import { Parameters, type Plan, rowsOf, type Statement, scopeOf } from "./sql.ts";
import { StatementAdmission } from "./statement-admission.ts";
import { kindOf, nameOf, tenantOf } from "./statement-name.ts";
import { TableVersions } from "./table-versions.ts";

/** What one query may cost. ClickHouse knows the rows from its primary key before it reads any. */
const defaultLimits = {
  rowsReadMax: 50_000_000,
  resultRowsMax: 200_000,
  memoryBytesMax: 1_500_000_000,
  executionSecondsMax: 20,
};

/** Of JSON that ClickHouse sent; as objects it takes some three times as much. */
const KEPT_BYTES_MAX = 32 * 1_024 * 1_024;
const HOST_LIST_MS = 2_000;
export const LARGE_FLEET_HOSTS = 1_000;
/** Half of how often a page that follows the present asks again, and shorter than the time in which a host counts as late. */
const RECENT_MS = 5_000;
/** When a statement would wait longer, an answer of the last seconds is the better one: one window's length, as then the question is another. */
const LONG_WAIT_MS = 250;
const RECENT_UNDER_LOAD_MS = 10_000;
/** As of `KEPT_BYTES_MAX`; they are pushed out by newer ones. */
const RECENT_BYTES_MAX = 16 * 1_024 * 1_024;

/**
 * Where rows came from: ClickHouse, somebody else's same statement that was running, an answer that is still right, or one that was right a few seconds ago.
 */
export type Origin = "read" | "shared" | "kept" | "recent";

/**
 * Whether an answer that was read some seconds ago will do. never: rows must be in it that have come in since; rather-than-wait: where statements wait long
 * for ClickHouse, up to ten seconds; always: up to five also where none do.
 */
export type Recent = "never" | "rather-than-wait" | "always";

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
  private readonly running = new SharedRuns<ReadRows>();
  private readonly kept = new KeptAnswers<ReadRows>(KEPT_BYTES_MAX);
  private readonly recent = new KeptAnswers<ReadRows>(RECENT_BYTES_MAX);
  private readonly estimating = new SharedRuns<number>();
  private readonly hostLists = new Map<string, { readonly list: Promise<KnownHost[]>; readonly readAtMs: number }>();

  constructor(
    @Inject(ClickHouseService) private readonly clickhouse: ClickHouseService,
    @Inject(Database) private readonly database: Database,
    @Inject(StatementAdmission) private readonly admission: StatementAdmission,
    @Inject(QueryMetrics) private readonly metrics: QueryMetrics,
  ) {
    this.versions = new TableVersions(clickhouse);
  }

  /**
   * All hosts of an organisation, retired ones too, by name. Of a large one up to two seconds old: a page asks a dozen questions at once, and each would
   * read ten thousand hosts.
   */
  async listHosts(organisationId: string): Promise<readonly KnownHost[]> {
    const cached = this.hostLists.get(organisationId);
    if (cached !== undefined && performance.now() - cached.readAtMs < HOST_LIST_MS) return cached.list;
    const list = this.readHosts(organisationId);
    const entry = { list, readAtMs: performance.now() };
    this.hostLists.set(organisationId, entry);
    const forget = (): void => {
      if (this.hostLists.get(organisationId) === entry) this.hostLists.delete(organisationId);
    };
    try {
      const hosts = await list;
      if (hosts.length < LARGE_FLEET_HOSTS) forget();
      else setTimeout(forget, HOST_LIST_MS).unref();
      return hosts;
    } catch (error) {
      forget();
      throw error;
    }
  }

  private async readHosts(organisationId: string): Promise<KnownHost[]> {
    const rows = await this.database.db
      .select({
        id: hosts.id,
        name: hosts.name,
        enrolledAt: hosts.enrolledAt,
        retiredAt: hosts.retiredAt,
        lastWindowEndAt: hosts.lastWindowEndAt,
        tags: hosts.tags,
        kernel: hosts.kernel,
        distribution: hosts.distribution,
        architecture: hosts.architecture,
        agentVersion: hosts.agentVersion,
      })
      .from(hosts)
      .where(eq(hosts.organisationId, organisationId))
      .orderBy(asc(hosts.name));
    const known = rows.map(
      (row): KnownHost => ({
        id: row.id,
        name: row.name,
        enrolledAtMs: row.enrolledAt.getTime(),
        retiredAtMs: row.retiredAt?.getTime() ?? null,
        lastWindowEndMs: row.lastWindowEndAt?.getTime() ?? null,
        tags: row.tags,
        attributes: { kernel: row.kernel, distribution: row.distribution, architecture: row.architecture, agent_version: row.agentVersion },
      }),
    );
    // Part of reading the list: whoever plans by it finds it ready.
    indexOf(known);
    return known;
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
    const version = await this.versionOf(statement);
    if (version !== undefined) {
      const kept = this.kept.get(key, version);
      if (kept !== undefined) return { rows: kept.rows as Row[], rowsRead: 0, origin: "kept", waitedMs: 0 };
    }
    const known = this.recent.get(key, tenant);
    if (known !== undefined && performance.now() - known.readAtMs < this.recentMs(recent, tenant))
      return { rows: known.rows as Row[], rowsRead: 0, origin: "recent", waitedMs: 0 };
    const { answer, isShared } = await this.running.get(key, (abort) => this.read(tenant, statement, key, version, abort, ticket), signal);
    const { rows, rowsRead, waitedMs } = answer;
    return { rows: rows as Row[], rowsRead, origin: isShared ? "shared" : "read", waitedMs };
  }

  /** How old an answer may be that is handed out again, ms. */
  private recentMs(recent: Recent, tenant: string): number {
    if (recent === "never") return 0;
    if (this.admission.expectedWaitMs(tenant) > LONG_WAIT_MS) return RECENT_UNDER_LOAD_MS;
    return recent === "always" ? RECENT_MS : 0;
  }

  /** What names the content of all that the statement reads; undefined: it reads rows that come in at any moment. */
  private async versionOf({ sql, reads }: Statement): Promise<string | undefined> {
    if (reads?.isRolledUp !== true) return undefined;
    return this.versions.of(tablesIn(sql), reads.fromMs, reads.toMs);
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
   * How many rows a plan would read, from the primary keys alone. Of a cluster ClickHouse knows only what lies on the server that is asked.
   * @throws AppError as of `run`
   */
  async estimateRows(plan: Plan, sources: readonly Source[], signal: AbortSignal | undefined, ticket?: Ticket): Promise<number> {
    if (sources.length === 0) return 0;
    const parameters = new Parameters();
    // Only conditions on the sorting key's first columns keep rows from being read.
    const branches = sources.map(
      (source) => `SELECT 1 ${rowsOf(tableName(plan.signal, source.level, source.scope), scopeOf(plan, source, parameters), { isFinal: false })}`,
    );
    const statement = estimateStatement(parameters.statement(branches.join(" UNION ALL ")));
    const { answer } = await this.estimating.get(nameOf(statement), (abort) => this.readEstimate(plan.tenant, statement, abort, ticket), signal);
    return answer;
  }

  private async readEstimate(tenant: string, { sql, parameters }: Statement, signal: AbortSignal, ticket?: Ticket): Promise<number> {
    const settings = { ...queriesYield, max_threads: 1 };
    const { answer } = await this.admission.run(
      tenant,
      "estimate",
      () => this.clickhouse.query<{ rows: number }>(sql, parameters, { signal, settings }),
      signal,
      ticket,
    );
    return Number(answer.rows[0]?.rows ?? 0);
  }

  /** The same error, naming what the statement would read. */
  private async explain(error: AppError, tenant: string, statement: Statement, signal: AbortSignal): Promise<AppError> {
    const rows = await this.readEstimate(tenant, estimateStatement(statement), signal).catch(() => 0);
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

/** How many rows ClickHouse would read. Column `rows`. */
function estimateStatement(statement: Statement): Statement {
  return { sql: `SELECT sum(rows) AS rows FROM (EXPLAIN ESTIMATE ${statement.sql})`, parameters: statement.parameters };
}
