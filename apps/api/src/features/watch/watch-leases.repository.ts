// SPDX-License-Identifier: Apache-2.0
import { Inject, Injectable } from "@nestjs/common";
import { and, eq, gt, inArray, lt, max, sql, sum } from "drizzle-orm";
import { Database } from "../../postgres/database.ts";
import { watchLeases } from "../../postgres/schema.ts";

/** A host that is watched through one node. */
export interface Watch {
  readonly organisationId: string;
  readonly hostId: string;
  readonly watchers: number;
}

/** Rows that nobody renewed are kept this long, for nothing but cheap sweeping. */
const SWEEP_AFTER = sql`now() - interval '10 minutes'`;

/** Which hosts are watched, through which node of the API, until when. Times are Postgres's, so the nodes' clocks do not matter. */
@Injectable()
export class WatchLeasesRepository {
  constructor(@Inject(Database) private readonly database: Database) {}

  /** Takes a node's leases or makes them last longer, in one statement. */
  async take(node: string, watches: readonly Watch[], durationMs: number): Promise<void> {
    if (watches.length === 0) return;
    const expiresAt = sql`now() + ${`${Math.round(durationMs)} milliseconds`}::interval`;
    await this.database.db
      .insert(watchLeases)
      .values(watches.map((watch) => ({ ...watch, node, expiresAt })))
      .onConflictDoUpdate({
        target: [watchLeases.organisationId, watchLeases.hostId, watchLeases.node],
        set: { watchers: sql`excluded.watchers`, expiresAt: sql`excluded.expires_at` },
      });
  }

  /** Lets go of a node's leases of these hosts. */
  async release(node: string, hostIds: readonly string[]): Promise<void> {
    if (hostIds.length === 0) return;
    await this.database.db.delete(watchLeases).where(and(eq(watchLeases.node, node), inArray(watchLeases.hostId, [...hostIds])));
  }

  /** Every host that is watched through any node, of all organisations: it is how nodes hear of each other, and never shown to anybody. */
  async listWatched(): Promise<string[]> {
    const rows = await this.database.db.selectDistinct({ hostId: watchLeases.hostId }).from(watchLeases).where(gt(watchLeases.expiresAt, sql`now()`));
    return rows.map(({ hostId }) => hostId);
  }

  /** How many look at a host, and until when its lease lasts; undefined: nobody does. */
  async get(organisationId: string, hostId: string): Promise<{ watchers: number; until: Date } | undefined> {
    const [row] = await this.database.db
      .select({ watchers: sum(watchLeases.watchers).mapWith(Number), until: max(watchLeases.expiresAt) })
      .from(watchLeases)
      .where(and(eq(watchLeases.organisationId, organisationId), eq(watchLeases.hostId, hostId), gt(watchLeases.expiresAt, sql`now()`)));
    return row === undefined || row.until === null ? undefined : { watchers: row.watchers, until: row.until };
  }

  /** Removes what nodes that died have left. */
  async sweep(): Promise<void> {
    await this.database.db.delete(watchLeases).where(lt(watchLeases.expiresAt, SWEEP_AFTER));
  }
}
