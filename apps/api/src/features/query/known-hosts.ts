// SPDX-License-Identifier: Apache-2.0
import { and, eq, type SQL, sql } from "drizzle-orm";
import type { Database } from "../../postgres/database.ts";
import { hosts } from "../../postgres/schema.ts";
import type { KnownHost } from "./coverage.ts";
import { indexOf } from "./host-lists.ts";

export const LARGE_FLEET_HOSTS = 1_000;
/** Fewer are read in about a millisecond. */
const KEPT_FROM_HOSTS = 200;
/** list: nobody gets one that is older. lastWindows: when each host reported last, which only says why one is missing that said nothing in a range. */
const agesMs = { list: 2_000, lastWindows: 10_000 };
/** One that nobody asks for is let go. */
const FORGOTTEN_MS = 60_000;

/** What the last window of a host is written into; to all others it is a `KnownHost`. */
type Written = { -readonly [K in keyof KnownHost]: KnownHost[K] };

interface List {
  readonly hosts: readonly Written[];
  /** Of Postgres, from before they were read: which transactions had ended. */
  readonly snapshot: string;
  /** When it was begun to look whether it is right, by `performance.now()`. */
  readonly readAtMs: number;
  readonly lastWindowsAtMs: number;
}

interface Entry {
  readonly list: List;
  askedAtMs: number;
  readonly timer: NodeJS.Timeout | undefined;
}

/**
 * The hosts of an organisation. Many are kept: ten thousand rows take a tenth of a second to read, a page asks two dozen questions, and hardly anything about the hosts has
 * changed since. Rows say which transaction told of them last (`hosts.told_in`), whichever node of the API it was; those that had not ended at the last look are read. As long as
 * there are none, the list and its hosts are the same objects, and what is found by them is found again.
 *
 * While somebody asks, it is looked every second, beside what is asked: nobody waits for it. After a pause the first one does.
 */
export class KnownHosts {
  private readonly entries = new Map<string, Entry>();
  private readonly reading = new Map<string, Promise<List>>();

  /** @param ages tests lower them */
  constructor(
    private readonly database: Pick<Database, "db">,
    private readonly ages: typeof agesMs = agesMs,
  ) {}

  /** Retired ones too, by name. Where they are many up to two seconds old. */
  async list(organisationId: string): Promise<readonly KnownHost[]> {
    const entry = this.entries.get(organisationId);
    const nowMs = performance.now();
    if (entry !== undefined) entry.askedAtMs = nowMs;
    if (entry !== undefined && nowMs - entry.list.readAtMs < this.ages.list) return entry.list.hosts;
    return (await this.read(organisationId, nowMs)).hosts;
  }

  /** @param askedAtMs when somebody asked last */
  private read(organisationId: string, askedAtMs: number): Promise<List> {
    const known = this.reading.get(organisationId);
    if (known !== undefined) return known;
    const before = this.entries.get(organisationId);
    const reading = this.renewed(organisationId, before?.list).then(
      (list) => {
        clearTimeout(before?.timer);
        this.entries.delete(organisationId);
        if (list.hosts.length >= KEPT_FROM_HOSTS) this.keep(organisationId, list, Math.max(askedAtMs, before?.askedAtMs ?? askedAtMs));
        return list;
      },
      (error) => {
        clearTimeout(before?.timer);
        this.entries.delete(organisationId);
        throw error;
      },
    );
    this.reading.set(organisationId, reading);
    const end = (): void => void this.reading.delete(organisationId);
    reading.then(end, end);
    return reading;
  }

  private keep(organisationId: string, list: List, askedAtMs: number): void {
    const timer = this.ages.list === 0 ? undefined : setTimeout(() => this.lookAgain(organisationId, list), this.ages.list / 2).unref();
    this.entries.set(organisationId, { list, askedAtMs, timer });
  }

  /** Before it is too old for whoever asks next, if anybody does. */
  private lookAgain(organisationId: string, list: List): void {
    const entry = this.entries.get(organisationId);
    if (entry?.list !== list) return;
    const silentMs = performance.now() - entry.askedAtMs;
    // Who asks next waits for it, and hears of a failure.
    if (silentMs < this.ages.list) void this.read(organisationId, entry.askedAtMs).catch(() => {});
    else if (silentMs < FORGOTTEN_MS)
      this.entries.set(organisationId, { ...entry, timer: setTimeout(() => this.lookAgain(organisationId, list), FORGOTTEN_MS - silentMs).unref() });
    else this.entries.delete(organisationId);
  }

  private async renewed(organisationId: string, before: List | undefined): Promise<List> {
    const readAtMs = performance.now();
    // Most organisations are not large, and their hosts are read at once.
    if (before === undefined) return this.readAll(organisationId, readAtMs);
    const isChanged = toldSince(before.snapshot);
    const [now] = await this.database.db
      .select({ snapshot: SNAPSHOT, changes: sql<number>`count(*)::int` })
      .from(hosts)
      .where(and(eq(hosts.organisationId, organisationId), isChanged));
    // Where most of it is another, all of it is read as fast.
    if (now === undefined || now.changes > before.hosts.length / 4) return this.readAll(organisationId, readAtMs);
    const isDue = readAtMs - before.lastWindowsAtMs >= this.ages.lastWindows;
    // One that is gone tells of nothing.
    if (isDue && !(await this.renewLastWindows(organisationId, before.hosts))) return this.readAll(organisationId, readAtMs);
    const list = { ...before, snapshot: now.snapshot, readAtMs, lastWindowsAtMs: isDue ? readAtMs : before.lastWindowsAtMs };
    if (now.changes === 0) return list;
    // What changes between the two statements is read again.
    const changed = (await this.rowsOf(organisationId, isChanged)).map(({ host }) => host);
    const ids = new Set(changed.map(({ id }) => id));
    return { ...list, hosts: arranged([...before.hosts.filter(({ id }) => !ids.has(id)), ...changed]) };
  }

  private async readAll(organisationId: string, readAtMs: number): Promise<List> {
    const rows = await this.rowsOf(organisationId);
    return { hosts: arranged(rows.map(({ host }) => host)), snapshot: rows[0]?.snapshot ?? "", readAtMs, lastWindowsAtMs: readAtMs };
  }

  private async rowsOf(organisationId: string, condition?: SQL): Promise<{ readonly host: Written; readonly snapshot: string }[]> {
    const rows = await this.database.db
      .select({
        snapshot: SNAPSHOT,
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
      .where(and(eq(hosts.organisationId, organisationId), condition));
    return rows.map((row) => ({
      snapshot: row.snapshot,
      host: {
        id: row.id,
        name: row.name,
        enrolledAtMs: row.enrolledAt.getTime(),
        retiredAtMs: row.retiredAt?.getTime() ?? null,
        lastWindowEndMs: row.lastWindowEndAt?.getTime() ?? null,
        tags: row.tags,
        attributes: { kernel: row.kernel, distribution: row.distribution, architecture: row.architecture, agent_version: row.agentVersion },
      },
    }));
  }

  /**
   * As one text: ten thousand rows are read longer than they are looked for.
   * @returns false: some of these hosts are gone
   */
  private async renewLastWindows(organisationId: string, known: readonly Written[]): Promise<boolean> {
    const reportedAtMs = sql`(date_part('epoch', ${hosts.lastWindowEndAt}) * 1000)::bigint`;
    const [row] = await this.database.db
      .select({ said: sql<string | null>`string_agg(concat(${hosts.id}, ' ', ${reportedAtMs}), ',')` })
      .from(hosts)
      .where(eq(hosts.organisationId, organisationId));
    const { byId } = indexOf(known);
    let found = 0;
    for (const entry of (row?.said ?? "").split(",")) {
      const at = entry.indexOf(" ");
      const host = byId.get(entry.slice(0, at)) as Written | undefined;
      if (host === undefined) continue;
      found++;
      if (at < entry.length - 1) host.lastWindowEndMs = Number(entry.slice(at + 1));
    }
    return found === known.length;
  }
}

const SNAPSHOT = sql<string>`pg_current_snapshot()::text`;

/** Rows that were told of by transactions that had not ended then. Those of none that ever was here came with a copy of another installation's database. */
function toldSince(snapshot: string): SQL {
  const then = sql`${snapshot}::pg_snapshot`;
  return sql`${hosts.toldIn} >= pg_snapshot_xmin(${then}) AND ${hosts.toldIn} < pg_snapshot_xmax(pg_current_snapshot()) AND NOT pg_visible_in_snapshot(${hosts.toldIn}, ${then})`;
}

/** By name, whatever a database's collation is. Looking them up is made ready: whoever plans by the list finds it so. */
function arranged(list: Written[]): readonly Written[] {
  list.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
  indexOf(list);
  return list;
}
