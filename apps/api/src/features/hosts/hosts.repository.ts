// SPDX-License-Identifier: Apache-2.0
import { Inject, Injectable } from "@nestjs/common";
import { and, asc, count, desc, eq, ilike, isNull, or, type SQL, sql } from "drizzle-orm";
import { ClickHouseService } from "../../clickhouse/clickhouse.service.ts";
import { Database } from "../../postgres/database.ts";
import { hosts } from "../../postgres/schema.ts";
import type { HostSort } from "./hosts.schemas.ts";

export type HostRow = typeof hosts.$inferSelect;

/** Newest state of a signal on a host. */
export interface SignalStateRow {
  readonly host_id: string;
  readonly signal_name: string;
  readonly newest_state: string;
  readonly newest_reason: string;
}

/** What a host's newest window said about its agent. */
export interface AgentCostRow {
  readonly host_id: string;
  readonly length_ms: number;
  readonly cpu_ns: number;
  readonly kernel_ns: number;
  readonly rss_bytes: number;
  readonly map_bytes: number;
}

/** Since when a host reports without a gap. */
export interface RunRow {
  readonly host_id: string;
  readonly first_ms: number;
  /** Start of the first window behind the newest gap; 0 = no gap. */
  readonly run_ms: number;
}

/** What a page of hosts begins after: the sort key of the last host before it, and its id. */
export interface HostPlace {
  readonly key: string;
  readonly id: string;
}

/** Sort keys as texts that compare in Postgres as what they stand for; a cursor carries them. */
const sortKeys: Readonly<Record<string, SQL<string>>> = {
  name: sql<string>`${hosts.name}::text`,
  lastSeenAt: sql<string>`coalesce(to_char(${hosts.lastWindowEndAt} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS'), '')`,
  enrolledAt: sql<string>`to_char(${hosts.enrolledAt} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS')`,
};

const limits = { max_execution_time: 10, max_result_rows: "1000000", max_memory_usage: "1000000000", optimize_move_to_prewhere_if_final: 1 } as const;

@Injectable()
export class HostsRepository {
  constructor(
    @Inject(Database) private readonly database: Database,
    @Inject(ClickHouseService) private readonly clickhouse: ClickHouseService,
  ) {}

  /** The hosts of an organisation that are not retired, by name. */
  async list(organisationId: string): Promise<HostRow[]> {
    return this.database.db
      .select()
      .from(hosts)
      .where(and(eq(hosts.organisationId, organisationId), isNull(hosts.retiredAt)))
      .orderBy(asc(hosts.name));
  }

  /** The host with this id, else with this name, that is not retired. */
  async find(organisationId: string, idOrName: string): Promise<HostRow | undefined> {
    const isIt = or(eq(sql`${hosts.id}::text`, idOrName), eq(hosts.name, idOrName));
    const rows = await this.database.db
      .select()
      .from(hosts)
      .where(and(eq(hosts.organisationId, organisationId), isNull(hosts.retiredAt), isIt))
      .orderBy(asc(hosts.name), asc(hosts.id));
    return rows.find(({ id }) => id === idOrName) ?? rows[0];
  }

  /**
   * A page of the hosts that are not retired.
   * @param q what a name must contain; empty = any
   * @param after the last host of the page before
   */
  async listPage(
    organisationId: string,
    { q, sort, limit, after }: { readonly q: string; readonly sort: HostSort; readonly limit: number; readonly after: HostPlace | null },
  ): Promise<{ host: HostRow; key: string }[]> {
    const isDescending = sort.startsWith("-");
    const key = sortKeys[isDescending ? sort.slice(1) : sort] as SQL<string>;
    const direction = isDescending ? desc : asc;
    const behind = isDescending ? sql`<` : sql`>`;
    return this.database.db
      .select({ host: hosts, key })
      .from(hosts)
      .where(and(matching(organisationId, q), after === null ? undefined : sql`(${key}, ${hosts.id}) ${behind} (${after.key}, ${after.id}::uuid)`))
      .orderBy(direction(key), direction(hosts.id))
      .limit(limit);
  }

  /** How many hosts `listPage` lists on all pages together. */
  async count(organisationId: string, q: string): Promise<number> {
    const [row] = await this.database.db.select({ hosts: count() }).from(hosts).where(matching(organisationId, q));
    return row?.hosts ?? 0;
  }

  /** Newest state per host and signal among windows that start at `sinceMs` or later. */
  async listSignalStates(tenant: string, hostIds: readonly string[] | null, sinceMs: number): Promise<SignalStateRow[]> {
    const { rows } = await this.clickhouse.query<SignalStateRow>(
      `SELECT toString(host) AS host_id, toString(signal) AS signal_name, argMax(toString(state), ts) AS newest_state, argMax(reason, ts) AS newest_reason
       FROM agent_coverage
       WHERE tenant = {tenant:String} AND ts >= fromUnixTimestamp64Milli({since:Int64}, 'UTC') ${only(hostIds)}
       GROUP BY host, signal`,
      { tenant, since: sinceMs, hosts: hostIds ?? [] },
      { settings: limits },
    );
    return rows;
  }

  /** What the agent cost in each host's newest window that starts at `sinceMs` or later. */
  async listAgentCosts(tenant: string, hostIds: readonly string[] | null, sinceMs: number): Promise<AgentCostRow[]> {
    const { rows } = await this.clickhouse.query<AgentCostRow>(
      `SELECT toString(host) AS host_id, argMax(length, ts) AS length_ms, argMax(cpu, ts) AS cpu_ns, argMax(kernel, ts) AS kernel_ns, argMax(rss, ts) AS rss_bytes, argMax(maps, ts) AS map_bytes
       FROM (
         SELECT host, ts, any(window_ms) AS length, sum(cpu_ns) AS cpu, sum(kernel_ns) AS kernel, sum(rss_bytes) AS rss, sum(map_bytes) AS maps
         FROM agent_cost FINAL
         WHERE tenant = {tenant:String} AND ts >= fromUnixTimestamp64Milli({since:Int64}, 'UTC') ${only(hostIds)}
         GROUP BY host, ts
       )
       GROUP BY host`,
      { tenant, since: sinceMs, hosts: hostIds ?? [] },
      { settings: limits },
    );
    return rows;
  }

  /** Where the current run of windows of each host began. A gap is more than two windows long. */
  async listRuns(tenant: string, hostIds: readonly string[] | null, sinceMs: number): Promise<RunRow[]> {
    const { rows } = await this.clickhouse.query<RunRow>(
      `SELECT toString(host) AS host_id, min(start_ms) AS first_ms, maxIf(start_ms, before_ms > 0 AND start_ms - before_ms > 2 * window_ms) AS run_ms
       FROM (
         SELECT host, window_ms, toUnixTimestamp64Milli(ts) AS start_ms, lagInFrame(toUnixTimestamp64Milli(ts) + window_ms) OVER (PARTITION BY host ORDER BY ts) AS before_ms
         FROM windows FINAL
         WHERE tenant = {tenant:String} AND ts >= fromUnixTimestamp64Milli({since:Int64}, 'UTC') ${only(hostIds)}
       )
       GROUP BY host`,
      { tenant, since: sinceMs, hosts: hostIds ?? [] },
      { settings: limits },
    );
    return rows;
  }
}

function only(hostIds: readonly string[] | null): string {
  return hostIds === null ? "" : "AND host IN {hosts:Array(String)}";
}

function matching(organisationId: string, q: string): SQL | undefined {
  // The wildcards of LIKE are characters of a name like others.
  const pattern = `%${q.replaceAll(/[\\%_]/g, "\\$&")}%`;
  return and(eq(hosts.organisationId, organisationId), isNull(hosts.retiredAt), q === "" ? undefined : ilike(hosts.name, pattern));
}
