// SPDX-License-Identifier: Apache-2.0
import { and, asc, eq, isNotNull, sql } from "drizzle-orm";
import type { Database } from "../../postgres/database.ts";
import { hosts } from "../../postgres/schema.ts";
import type { KnownHost } from "./coverage.ts";
import { indexOf } from "./host-lists.ts";

export const LARGE_FLEET_HOSTS = 1_000;
/** Fewer are read in about a millisecond. */
const KEPT_FROM_HOSTS = 200;
/** fresh: a list this young is handed out as it is. usable: an older one too, while it is looked whether it is still right; beyond, that is waited for. */
const agesMs = { fresh: 2_000, usable: 5_000 };
/** One that nobody asks for is let go. */
const FORGOTTEN_MS = 60_000;

/** All that is known of a host but when it reported last, which is said anew every few seconds. */
const told = {
  id: hosts.id,
  name: hosts.name,
  enrolledAt: hosts.enrolledAt,
  retiredAt: hosts.retiredAt,
  tags: hosts.tags,
  kernel: hosts.kernel,
  distribution: hosts.distribution,
  architecture: hosts.architecture,
  agentVersion: hosts.agentVersion,
};

/** What the last window of a host is written into; to all others it is a `KnownHost`. */
type Written = { -readonly [K in keyof KnownHost]: KnownHost[K] };

interface List {
  readonly hosts: readonly Written[];
  /** Of what is told of them; undefined: not known. */
  readonly version: string | undefined;
}

interface Entry {
  readonly list: List;
  readonly readAtMs: number;
}

/**
 * The hosts of an organisation. Many are kept: ten thousand rows take a tenth of a second to read, a page asks two dozen questions, and hardly anything about the hosts has
 * changed since. So every two seconds one statement asks for a number made of all of it, and another when each host reported last; the hosts are read when the number has changed.
 * Until then the list and its hosts are the same objects, and what is found by them is found again.
 */
export class KnownHosts {
  private readonly lists = new Map<string, Entry>();
  private readonly reading = new Map<string, Promise<List>>();

  /** @param ages tests lower them */
  constructor(
    private readonly database: Pick<Database, "db">,
    private readonly ages: typeof agesMs = agesMs,
  ) {}

  /** Retired ones too, by name. Where they are many up to two seconds old, or five where nobody asked for longer. */
  async list(organisationId: string): Promise<readonly KnownHost[]> {
    const entry = this.lists.get(organisationId);
    const ageMs = entry === undefined ? Number.POSITIVE_INFINITY : performance.now() - entry.readAtMs;
    if (entry !== undefined && ageMs < this.ages.fresh) return entry.list.hosts;
    const reading = this.read(organisationId);
    if (entry === undefined || ageMs >= this.ages.usable) return (await reading).hosts;
    // Whoever waits for it hears of a failure.
    reading.catch(() => {});
    return entry.list.hosts;
  }

  private read(organisationId: string): Promise<List> {
    const known = this.reading.get(organisationId);
    if (known !== undefined) return known;
    const readAtMs = performance.now();
    const reading = this.renewed(organisationId, this.lists.get(organisationId)?.list).then(
      (list) => {
        this.lists.delete(organisationId);
        if (list.hosts.length >= KEPT_FROM_HOSTS) this.keep(organisationId, { list, readAtMs });
        return list;
      },
      (error) => {
        this.lists.delete(organisationId);
        throw error;
      },
    );
    this.reading.set(organisationId, reading);
    const end = (): void => void this.reading.delete(organisationId);
    reading.then(end, end);
    return reading;
  }

  private keep(organisationId: string, entry: Entry): void {
    this.lists.set(organisationId, entry);
    setTimeout(() => {
      if (this.lists.get(organisationId) === entry) this.lists.delete(organisationId);
    }, FORGOTTEN_MS).unref();
  }

  private async renewed(organisationId: string, before: List | undefined): Promise<List> {
    // Most organisations are not large, and their hosts are read at once.
    if (before === undefined) return { hosts: await this.readAll(organisationId), version: undefined };
    // Before the hosts: what changes between the two statements changes the number again.
    const [now] = await this.database.db
      .select({ version: sql<string>`concat(count(*), ' ', sum(hash_record_extended(ROW(${sql.join(Object.values(told), sql`, `)}), 0)::numeric))` })
      .from(hosts)
      .where(eq(hosts.organisationId, organisationId));
    const version = now?.version;
    if (version === undefined || version !== before.version) return { hosts: await this.readAll(organisationId), version };
    await this.renewLastWindows(organisationId, before.hosts);
    return before;
  }

  private async readAll(organisationId: string): Promise<Written[]> {
    const rows = await this.database.db
      .select({ ...told, lastWindowEndAt: hosts.lastWindowEndAt })
      .from(hosts)
      .where(eq(hosts.organisationId, organisationId))
      .orderBy(asc(hosts.name));
    const known = rows.map(
      (row): Written => ({
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

  /** As one text: ten thousand rows are read longer than they are looked for. */
  private async renewLastWindows(organisationId: string, known: readonly Written[]): Promise<void> {
    const reportedAtMs = sql`(date_part('epoch', ${hosts.lastWindowEndAt}) * 1000)::bigint`;
    const [row] = await this.database.db
      .select({ said: sql<string | null>`string_agg(concat(${hosts.id}, ' ', ${reportedAtMs}), ',')` })
      .from(hosts)
      .where(and(eq(hosts.organisationId, organisationId), isNotNull(hosts.lastWindowEndAt)));
    const { byId } = indexOf(known);
    for (const entry of (row?.said ?? "").split(",")) {
      const at = entry.indexOf(" ");
      const host = byId.get(entry.slice(0, at)) as Written | undefined;
      if (host !== undefined) host.lastWindowEndMs = Number(entry.slice(at + 1));
    }
  }
}
