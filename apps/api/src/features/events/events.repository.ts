// SPDX-License-Identifier: Apache-2.0
import { Inject, Injectable } from "@nestjs/common";
import { getSignalOrThrow, type Level, tableName } from "@waggle/signals";
import { and, desc, eq, gte, inArray, lt, ne, or, type SQL, sql } from "drizzle-orm";
import type { PgColumn } from "drizzle-orm/pg-core";
import { ClickHouseService } from "../../clickhouse/clickhouse.service.ts";
import { Config } from "../../config/config.ts";
import { Database, type Drizzle } from "../../postgres/database.ts";
import { auditEntries, events, hosts } from "../../postgres/schema.ts";
import type { EventKind } from "./event-kinds.ts";
import type { EventPosition } from "./event-position.ts";

const DAY_MS = 86_400_000;
const HOUR_MS = 3_600_000;

/** What of the feed is wanted. */
export interface FeedRange {
  readonly fromMs: number;
  /** Exclusive. */
  readonly toMs: number;
  /** Only what comes behind it. */
  readonly after: EventPosition | undefined;
  readonly hostId: string | undefined;
  readonly limit: number;
}

/** An event as a source tells it; the host's name is found later. */
export interface FoundEvent extends EventPosition {
  readonly kind: EventKind;
  readonly title: string;
  readonly hostId: string | null;
  readonly details: Readonly<Record<string, string>>;
  readonly actor: { readonly tokenId: string; readonly tokenName: string } | null;
}

export type EventRow = typeof events.$inferSelect;

/** Audited actions that are events themselves. */
export const EVENT_CREATED = "event.create";

/** Where events are: in tables of their own and in what other features store anyway. Each source gives at most `limit`, newest first. */
@Injectable()
export class EventsRepository {
  constructor(
    @Inject(Database) private readonly database: Database,
    @Inject(ClickHouseService) private readonly clickhouse: ClickHouseService,
    @Inject(Config) private readonly config: Config,
  ) {}

  /** What was told, and what was noticed when hosts said Hello. */
  async listStored(organisationId: string, kinds: readonly EventKind[], range: FeedRange): Promise<FoundEvent[]> {
    const id = sql<string>`'e-' || ${events.id}::text`;
    const rows = await this.database.db
      .select()
      .from(events)
      .where(
        and(
          eq(events.organisationId, organisationId),
          inArray(events.kind, [...kinds]),
          within(events.at, id, range),
          range.hostId === undefined ? undefined : eq(events.hostId, range.hostId),
        ),
      )
      .orderBy(desc(events.at), desc(collated(id)))
      .limit(range.limit);
    return rows.map(rowToFound);
  }

  /** Hosts that came and went, as `hosts` says. */
  async listEnrolments(organisationId: string, kind: "host.enrolled" | "host.retired", range: FeedRange): Promise<FoundEvent[]> {
    const column = kind === "host.enrolled" ? hosts.enrolledAt : hosts.retiredAt;
    const id = kind === "host.enrolled" ? sql<string>`'h-' || ${hosts.id}::text` : sql<string>`'r-' || ${hosts.id}::text`;
    const rows = await this.database.db
      .select({ id, at: column, hostId: hosts.id, name: hosts.name, kernel: hosts.kernel })
      .from(hosts)
      .where(
        and(eq(hosts.organisationId, organisationId), within(column, id, range), range.hostId === undefined ? undefined : eq(hosts.id, range.hostId)),
      )
      .orderBy(desc(column), desc(collated(id)))
      .limit(range.limit);
    return rows.map((row) => ({
      id: row.id,
      atMs: (row.at as Date).getTime(),
      kind,
      title: `${row.name} ${kind === "host.enrolled" ? "enrolled" : "retired"}`,
      hostId: row.hostId,
      details: {},
      actor: null,
    }));
  }

  /** What people changed, as the audit has it. */
  async listChanges(organisationId: string, kinds: ReadonlySet<EventKind>, range: FeedRange): Promise<FoundEvent[]> {
    const id = sql<string>`'a-' || lpad(${auditEntries.id}::text, 15, '0')`;
    const isSettings = sql`${auditEntries.action} LIKE 'settings.%'`;
    const rows = await this.database.db
      .select({ id, entry: auditEntries })
      .from(auditEntries)
      .where(
        and(
          eq(auditEntries.organisationId, organisationId),
          ne(auditEntries.action, EVENT_CREATED),
          kinds.has("settings") ? undefined : sql`NOT ${isSettings}`,
          kinds.has("change") ? undefined : isSettings,
          within(auditEntries.at, id, range),
          range.hostId === undefined ? undefined : and(eq(auditEntries.targetKind, "host"), eq(auditEntries.targetId, range.hostId)),
        ),
      )
      .orderBy(desc(auditEntries.at), desc(collated(id)))
      .limit(range.limit);
    return rows.map(({ id: position, entry }) => {
      const changed = Object.keys(entry.after);
      return {
        id: position,
        atMs: entry.at.getTime(),
        kind: entry.action.startsWith("settings.") ? "settings" : "change",
        title: `${entry.targetName}: ${changed.length === 0 ? entry.action : changed.join(", ")} changed`,
        hostId: entry.targetKind === "host" ? entry.targetId : null,
        details: { action: entry.action, ...Object.fromEntries(changed.map((name) => [name, JSON.stringify(entry.after[name])])) },
        actor: { tokenId: entry.tokenId, tokenName: entry.tokenName },
      };
    });
  }

  /** Victims of the OOM killer, by host, process, unit and window (where windows are not kept any more, by minute or hour). */
  async listOomKills(tenant: string, range: FeedRange, nowMs: number): Promise<FoundEvent[]> {
    const signal = getSignalOrThrow("oom_kills");
    const kept = this.config.retention.daysOf(signal.name);
    const hourOf = (days: number): number => Math.ceil((nowMs - days * DAY_MS) / HOUR_MS) * HOUR_MS;
    const [rawFrom, minutesFrom] = [hourOf(kept.raw), Math.min(hourOf(kept.raw), hourOf(kept["1m"]))];
    const spans: readonly { readonly level: Level; readonly from: number; readonly to: number }[] = [
      { level: "raw", from: Math.max(range.fromMs, rawFrom), to: range.toMs },
      { level: "1m", from: Math.max(range.fromMs, minutesFrom), to: Math.min(range.toMs, rawFrom) },
      { level: "1h", from: range.fromMs, to: Math.min(range.toMs, minutesFrom) },
    ];
    const read = spans.filter(({ from, to }) => from < to);
    if (read.length === 0) return [];
    const branches = read.map(
      ({ level }, index) => `
        SELECT toString(host) AS host_id, toUnixTimestamp64Milli(ts) AS at_ms, toString(process) AS victim, toString(unit) AS of_unit, \`count\` AS kills
        FROM \`${tableName(signal, level)}\` FINAL
        WHERE tenant = {tenant:String} AND ts >= fromUnixTimestamp64Milli({from${index}:Int64}, 'UTC') AND ts < fromUnixTimestamp64Milli({to${index}:Int64}, 'UTC')
          ${range.hostId === undefined ? "" : "AND host = {host:String}"}`,
    );
    const after = range.after === undefined ? "" : "WHERE (at_ms, id) < ({afterMs:Int64}, {afterId:String})";
    const { rows } = await this.clickhouse.query<{ id: string; host_id: string; at_ms: number; victim: string; of_unit: string; victims: number }>(
      `SELECT * FROM (
        SELECT host_id, at_ms, victim, of_unit, sum(kills) AS victims, concat('o-', lower(hex(sipHash128(host_id, at_ms, victim, of_unit)))) AS id
        FROM (${branches.join(" UNION ALL ")})
        GROUP BY host_id, at_ms, victim, of_unit
      )
      ${after}
      ORDER BY at_ms DESC, id DESC
      LIMIT {limit:UInt32}`,
      {
        tenant,
        limit: range.limit,
        ...Object.fromEntries(
          read.flatMap(({ from, to }, index) => [
            [`from${index}`, from],
            [`to${index}`, to],
          ]),
        ),
        ...(range.hostId === undefined ? {} : { host: range.hostId }),
        ...(range.after === undefined ? {} : { afterMs: range.after.atMs, afterId: range.after.id }),
      },
      { settings: { max_execution_time: 10, max_memory_usage: "500000000" } },
    );
    return rows.map((row) => ({
      id: row.id,
      atMs: Number(row.at_ms),
      kind: "oom.kill",
      title: `Out of memory: ${row.victim === "" ? "a process" : row.victim} killed`,
      hostId: row.host_id,
      details: { process: row.victim, unit: row.of_unit, count: String(row.victims) },
      actor: null,
    }));
  }

  /** The event that was told under a key. */
  async getByKey(organisationId: string, idempotencyKey: string, within: Drizzle = this.database.db): Promise<EventRow | undefined> {
    const [row] = await within
      .select()
      .from(events)
      .where(and(eq(events.organisationId, organisationId), eq(events.idempotencyKey, idempotencyKey)));
    return row;
  }

  /** Stores an event. undefined: one was told under this key already. */
  async add(values: typeof events.$inferInsert, within: Drizzle): Promise<EventRow | undefined> {
    const [row] = await within.insert(events).values(values).onConflictDoNothing().returning();
    return row;
  }

  async transaction<Result>(work: (within: Drizzle) => Promise<Result>): Promise<Result> {
    return this.database.db.transaction((tx) => work(tx as unknown as Drizzle));
  }
}

export function rowToFound(row: EventRow): FoundEvent {
  return {
    id: `e-${row.id}`,
    atMs: row.at.getTime(),
    kind: row.kind as EventKind,
    title: row.title,
    hostId: row.hostId,
    details: row.details,
    actor: row.tokenId === null ? null : { tokenId: row.tokenId, tokenName: row.tokenName ?? "" },
  };
}

/** Ids are compared byte by byte, as JavaScript compares them, whatever the database's language. */
function collated(id: SQL<string>): SQL<string> {
  return sql<string>`(${id}) COLLATE "C"`;
}

function within(at: PgColumn, id: SQL<string>, { fromMs, toMs, after }: FeedRange): SQL | undefined {
  const inRange = and(gte(at, new Date(fromMs)), lt(at, new Date(toMs)));
  if (after === undefined) return inRange;
  const then = new Date(after.atMs);
  return and(inRange, or(lt(at, then), and(eq(at, then), sql`${collated(id)} < ${after.id}`)));
}
