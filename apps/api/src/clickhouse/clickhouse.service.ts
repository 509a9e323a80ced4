// SPDX-License-Identifier: Apache-2.0
import { randomUUID } from "node:crypto";
import { Readable } from "node:stream";
import { type ClickHouseClient, ClickHouseError, createClient, type ResponseJSON } from "@clickhouse/client";
import { Inject, Injectable, type OnApplicationBootstrap, type OnApplicationShutdown } from "@nestjs/common";
import { type Layout, localTableName, onClusterClause, type TableDefinition } from "@waggle/signals";
import { AppError } from "../common/app-error.ts";
import { Log } from "../common/log.ts";
import { Config } from "../config/config.ts";
import { prepareServer } from "./prepare.ts";
import type { QuerySettings } from "./query-settings.ts";
import { allTables } from "./schema.ts";

export interface QueryOptions {
  /** Cancels the query in the client and in ClickHouse. */
  readonly signal?: AbortSignal | undefined;
  /** Limits such as max_execution_time (seconds), max_memory_usage (bytes), max_result_rows. */
  readonly settings?: QuerySettings | undefined;
}

export interface QuerySummary {
  readonly rowsRead: number;
  readonly bytesRead: number;
  /** Of the answer, as JSON. */
  readonly resultBytes: number;
  /** In the server. */
  readonly elapsedMs: number;
}

export interface InsertSummary {
  readonly rowsRead: number;
  readonly rowsWritten: number;
}

export interface QueryAnswer<Row> {
  readonly rows: Row[];
  readonly summary: QuerySummary;
}

/** ClickHouse's error codes by meaning (src/Common/ErrorCodes.cpp). */
const TIMEOUT_CODES = new Set(["159", "160"]);
const TOO_LARGE_CODES = new Set(["158", "241", "307", "396"]);
const CANCELLED_CODES = new Set(["394"]);
/** Cannot parse or read, sizes of arrays differ, string or array too large, out of range. */
const DATA_CODES = new Set(["6", "26", "27", "32", "33", "69", "117", "128", "131", "190", "321"]);
const NO_SUCH_COLUMN = "16";
/** The server is there but cannot work now: starting, out of memory, out of disk, too many parts, read-only, too many queries. */
const BUSY_CODES = new Set(["202", "210", "241", "242", "243", "252", "164", "999", "225", "159", "160", "209", "439", "649"]);

/** What every statement of ours needs to be right on a cluster. */
const clusterSettings: QuerySettings = {
  // An insert is answered when the rows are on their shards, not when they wait on the first server to be sent there.
  distributed_foreground_insert: 1,
  // INSERT … SELECT adds up over all shards. The default lets every shard add up its own rows and store that as the result.
  parallel_distributed_insert_select: "0",
  // A condition on tenant, or tenant and host, asks only the shard that can have such rows.
  optimize_skip_unused_shards: 1,
  // A subquery over a table of the cluster is run once, and its answer sent along.
  distributed_product_mode: "global",
};

const QUERY_TIMEOUT_MS = 60_000;
const FIRST_RETRY_MS = 250;
const LAST_RETRY_MS = 5_000;

/** The one door to ClickHouse. */
@Injectable()
export class ClickHouseService implements OnApplicationBootstrap, OnApplicationShutdown {
  readonly database: string;
  /** Every table, with how long its rows are kept. */
  readonly tables: readonly TableDefinition[];
  readonly layout: Layout;
  /** Every query ends itself within 20 s; a server that says nothing for longer hangs. Tests lower it. */
  answerTimeoutMs = 25_000;
  /** Inserts, roll-ups and statements about tables. */
  private readonly client: ClickHouseClient;
  /** SELECTs have connections of their own: an insert never stands behind them in line for one. */
  private readonly reader: ClickHouseClient;
  private readonly stopping = new AbortController();
  private schemaReady = false;

  constructor(
    @Inject(Config) private readonly config: Config,
    @Inject(Log) private readonly log: Log,
  ) {
    const { database, cluster } = config.clickhouse;
    this.database = database;
    this.tables = allTables(config.retention);
    this.layout = {
      database,
      cluster: cluster === null ? null : { name: cluster.name, replicated: cluster.replicated, onCluster: cluster.nodeUrls.length === 0 },
    };
    this.client = this.createClient(config.clickhouse.url, database);
    this.reader = this.createClient(config.clickhouse.url, database);
  }

  private createClient(url: string, database: string | undefined): ClickHouseClient {
    const { username, password } = this.config.clickhouse;
    return createClient({
      url,
      username,
      password,
      ...(database === undefined ? {} : { database }),
      application: "waggle-api",
      request_timeout: QUERY_TIMEOUT_MS,
      max_open_connections: 24,
      // The server closes idle connections after 10 s (30 s in newer ones, 3 s in the embedded one); ours must go first or a request meets a closed socket (see
      // isStaleConnection).
      keep_alive: { enabled: true, idle_socket_ttl: 1_500 },
      // The names of ten thousand hosts are longer than the server takes in an address; then they go in the body.
      use_multipart_params_auto: true,
      // Errors are logged once, by who asked.
      log: { level: 127 as never },
      clickhouse_settings: this.config.clickhouse.cluster === null ? {} : clusterSettings,
    });
  }

  /** Tables are made in the background: the API must serve its other half while ClickHouse is still starting. */
  onApplicationBootstrap(): void {
    void this.prepareUntilDone();
  }

  async onApplicationShutdown(): Promise<void> {
    this.stopping.abort();
    await Promise.all([this.client.close(), this.reader.close()]);
  }

  /** True once all tables exist. */
  get isPrepared(): boolean {
    return this.schemaReady;
  }

  private async prepareUntilDone(): Promise<void> {
    for (let waitMs = FIRST_RETRY_MS; !this.stopping.signal.aborted; waitMs = Math.min(waitMs * 2, LAST_RETRY_MS)) {
      try {
        await this.prepare();
        this.log.info({ database: this.database }, "clickhouse is ready");
        return;
      } catch (error) {
        if (this.stopping.signal.aborted) return;
        this.log.warn({ err: error, waitMs }, "clickhouse is not ready yet");
        await new Promise((resolve) => setTimeout(resolve, waitMs).unref());
      }
    }
  }

  /**
   * Creates the database and tables, adds columns that an older version's tables lack, and sets how long rows are kept. Safe to run on several
   * nodes of the API at once. Of a replicated cluster one server may be away: its replica answers for it.
   */
  async prepare(): Promise<void> {
    const results = await Promise.allSettled(
      this.maintenanceUrls.map((url) => this.withAdmin(url, (client) => prepareServer(client, this.layout, this.tables))),
    );
    const failures = results.flatMap((result) => (result.status === "rejected" ? [result.reason as unknown] : []));
    const isEnough =
      this.layout.cluster?.replicated === true && failures.length < results.length && failures.every((error) => !(error instanceof ClickHouseError));
    if (failures.length > 0 && !isEnough) throw failures[0];
    if (failures.length > 0)
      this.log.warn({ err: failures[0], servers: failures.length }, "servers of the cluster do not answer; their tables were left as they are");
    this.schemaReady = true;
  }

  /** Where statements about tables themselves go: every server, or one that hands them on. */
  private get maintenanceUrls(): readonly string[] {
    const { url, cluster } = this.config.clickhouse;
    return cluster === null || cluster.nodeUrls.length === 0 ? [url] : cluster.nodeUrls;
  }

  /** Without a database of its own: ours may not exist yet, and ClickHouse refuses a request that names a missing one. */
  private async withAdmin<T>(url: string, work: (client: ClickHouseClient) => Promise<T>): Promise<T> {
    const client = this.createClient(url, undefined);
    try {
      return await work(client);
    } finally {
      await client.close();
    }
  }

  /**
   * Runs a statement about a table's parts (ALTER, OPTIMIZE, …) on every server that holds rows of it.
   * @param table one of {@link tables}
   * @param statement gets the name to write, quoted
   * @throws what the first server that failed said; the others may have done it
   */
  async onEveryNode(table: string, statement: (name: string) => string): Promise<void> {
    const name = `\`${this.database}\`.\`${localTableName(table, this.layout)}\`${onClusterClause(this.layout)}`;
    for (const url of this.maintenanceUrls) await this.withAdmin(url, async (client) => void (await client.command({ query: statement(name) })));
  }

  /**
   * A table of `system` over every server, for FROM.
   * @returns `from`, and `node`: an expression that tells servers apart (String)
   */
  systemTable(name: string): { readonly from: string; readonly node: string } {
    const { cluster } = this.layout;
    // Every replica is a shard of its own here.
    return cluster === null
      ? { from: `system.${name}`, node: "'1'" }
      : { from: `clusterAllReplicas('${cluster.name}', system, ${name})`, node: "toString(_shard_num)" };
  }

  /**
   * Runs a SELECT.
   * @param sql with typed placeholders, `{tenant:String}`; identifiers may only come from the catalogue
   * @param params values of the placeholders
   * @returns rows as objects (64-bit integers as JSON numbers) and what it cost
   * @throws AppError STORAGE_UNAVAILABLE, QUERY_TIMEOUT, QUERY_TOO_LARGE; the signal's reason when it was aborted
   */
  async query<Row>(sql: string, params: Record<string, unknown> = {}, options: QueryOptions = {}): Promise<QueryAnswer<Row>> {
    const { signal } = options;
    const askedAtMs = performance.now();
    try {
      return await this.ask<Row>(sql, params, options).catch((error: unknown) => {
        if (signal?.aborted || !isStaleConnection(error, performance.now() - askedAtMs)) throw error;
        return this.ask<Row>(sql, params, options);
      });
    } catch (error) {
      if (signal?.aborted) throw signal.reason;
      throw toQueryError(error);
    }
  }

  private async ask<Row>(sql: string, params: Record<string, unknown>, { signal, settings }: QueryOptions): Promise<QueryAnswer<Row>> {
    const queryId = randomUUID();
    signal?.throwIfAborted();
    const kill = () => void this.kill(queryId);
    const timeout = AbortSignal.timeout(this.answerTimeoutMs);
    signal?.addEventListener("abort", kill, { once: true });
    try {
      const result = await this.reader.query({
        query: sql,
        query_params: params,
        format: "JSON",
        query_id: queryId,
        abort_signal: signal === undefined ? timeout : AbortSignal.any([signal, timeout]),
        // readonly=2: may set limits but never write. Only readonly queries are cancelled when their connection closes.
        clickhouse_settings: {
          readonly: "2",
          cancel_http_readonly_queries_on_client_close: 1,
          output_format_json_quote_64bit_integers: 0,
          ...settings,
        },
      });
      const text = await result.text();
      const body = JSON.parse(text) as ResponseJSON<Row>;
      const statistics = body.statistics;
      return {
        rows: body.data,
        summary: {
          rowsRead: statistics?.rows_read ?? 0,
          bytesRead: statistics?.bytes_read ?? 0,
          resultBytes: text.length,
          elapsedMs: Math.round((statistics?.elapsed ?? 0) * 1_000),
        },
      };
    } finally {
      signal?.removeEventListener("abort", kill);
    }
  }

  /** The closed connection cancels most queries by itself; one that has sent no data yet may not notice, so it is also told. */
  private async kill(queryId: string): Promise<void> {
    try {
      await this.client.command({ query: "KILL QUERY WHERE query_id = {id:String} ASYNC", query_params: { id: queryId } });
    } catch (error) {
      this.log.debug({ err: error }, "could not kill a query");
    }
  }

  /**
   * Runs an INSERT … SELECT and returns when its rows are written, on every shard they belong to.
   * @param sql as in {@link query}; without a FORMAT
   * @throws as {@link query}; what was already written stays. An aborted statement is killed in ClickHouse before this returns.
   */
  async insertSelect(sql: string, params: Record<string, unknown>, options: QueryOptions = {}): Promise<InsertSummary> {
    const queryId = randomUUID();
    const { signal } = options;
    signal?.throwIfAborted();
    try {
      // As a query, because only those carry long parameters in the body; it answers nothing.
      const result = await this.client.query({
        query: sql,
        query_params: params,
        format: "JSONEachRow",
        query_id: queryId,
        ...(signal === undefined ? {} : { abort_signal: signal }),
        clickhouse_settings: { wait_end_of_query: 1, distributed_foreground_insert: 1, ...options.settings },
      });
      await result.text();
      const summary = JSON.parse(String(result.response_headers["x-clickhouse-summary"] ?? "{}")) as Record<string, string | undefined>;
      return { rowsRead: Number(summary["read_rows"] ?? 0), rowsWritten: Number(summary["written_rows"] ?? 0) };
    } catch (error) {
      // A closed connection ends no insert.
      if (!(error instanceof ClickHouseError)) await this.kill(queryId);
      if (signal?.aborted) throw signal.reason;
      throw toQueryError(error);
    }
  }

  /**
   * Inserts one body in Native format and returns when ClickHouse has accepted every row.
   * @param table one of the catalogue's or WINDOWS_TABLE
   * @param columns names in the body's order
   * @throws InsertError
   */
  async insertNative(table: string, columns: readonly string[], body: readonly Uint8Array[]): Promise<void> {
    const list = columns.map((name) => `\`${name}\``).join(", ");
    try {
      const answer = await this.client.exec({
        query: `INSERT INTO \`${table}\` (${list}) FORMAT Native`,
        values: Readable.from(body, { objectMode: false }),
        // Synchronous: the answer comes when the parts are written, which is what an acknowledgement promises.
        clickhouse_settings: { async_insert: 0, wait_end_of_query: 1 },
      });
      for await (const _ of answer.stream) {
        // Drained, or the connection never returns to the pool.
      }
    } catch (error) {
      throw new InsertError(table, insertFailure(error), error);
    }
  }

  /** Statements of tests and benchmarks. Never on a request's path. */
  async command(sql: string): Promise<void> {
    await this.client.command({ query: sql });
  }

  /** undefined when ClickHouse answers and has its tables; otherwise what is missing, in words. */
  async problem(): Promise<string | undefined> {
    const ping = await this.client
      .ping({ select: true, abort_signal: AbortSignal.timeout(2_000) })
      .catch((error: Error) => ({ success: false as const, error }));
    if (!this.schemaReady) return "ClickHouse has not been reached since the API started; its tables are not made yet";
    return ping.success ? undefined : "ClickHouse does not answer";
  }
}

/**
 * Why an insert failed, by what helps. data: ClickHouse could not read the rows. schema: the table or a column is gone, as after a
 * restore; `prepare` brings it back. storage: everything else, known or not; it is never the rows' fault.
 */
export type InsertFailure = "data" | "schema" | "storage";

export class InsertError extends Error {
  override readonly name = "InsertError";
  readonly table: string;
  readonly failure: InsertFailure;

  constructor(table: string, failure: InsertFailure, cause: unknown) {
    super(`insert into ${table} failed: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
    this.table = table;
    this.failure = failure;
  }
}

function insertFailure(error: unknown): InsertFailure {
  if (!(error instanceof ClickHouseError)) return "storage";
  if (DATA_CODES.has(error.code)) return "data";
  return isMissingTable(error) || error.code === NO_SUCH_COLUMN ? "schema" : "storage";
}

/** A database that was recreated under us; the tables come back with the next prepare. */
function isMissingTable(error: ClickHouseError): boolean {
  return error.code === "60" || error.code === "81";
}

/** A connection that the server has closed says so at once. */
const STALE_MS_MAX = 1_000;
const STALE_CODES = new Set(["ECONNRESET", "EPIPE"]);

/**
 * Whether a question met a connection that the server had just closed for being idle, which a busy process can notice too late: then nothing was read, and it can be
 * asked again. A server that dies of a question has worked at it for longer, as a rule, and does not take the next connection.
 */
function isStaleConnection(error: unknown, elapsedMs: number): boolean {
  return elapsedMs < STALE_MS_MAX && error instanceof Error && STALE_CODES.has((error as NodeJS.ErrnoException).code ?? "");
}

function toQueryError(error: unknown): unknown {
  if (!(error instanceof ClickHouseError)) {
    return new AppError(
      "STORAGE_UNAVAILABLE",
      "ClickHouse does not answer. Nothing is lost: agents keep what they could not deliver. Try again shortly.",
      {
        cause: error,
        retryAfterMs: 2_000,
      },
    );
  }
  if (TIMEOUT_CODES.has(error.code))
    return new AppError("QUERY_TIMEOUT", "The query ran out of time. Ask for a shorter range or fewer hosts.", { cause: error });
  if (TOO_LARGE_CODES.has(error.code)) {
    return new AppError("QUERY_TOO_LARGE", "The query went over its limit of memory or rows. Ask for a shorter range, fewer hosts or fewer labels.", {
      cause: error,
    });
  }
  if (BUSY_CODES.has(error.code) || isMissingTable(error) || CANCELLED_CODES.has(error.code)) {
    return new AppError("STORAGE_UNAVAILABLE", "ClickHouse cannot answer right now. Try again shortly.", { cause: error, retryAfterMs: 2_000 });
  }
  return error;
}
