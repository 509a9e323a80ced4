// SPDX-License-Identifier: Apache-2.0
import { Inject, Injectable } from "@nestjs/common";
import { and, eq, sql } from "drizzle-orm";
import { Database } from "./database.ts";
import { leases } from "./schema.ts";

/**
 * Work that one API node does for all, as long as it says that it lives. Times are Postgres's, so the nodes' clocks do not matter.
 * A lease keeps nodes from doing work twice; it cannot promise it, since a node may sleep past its expiry: the work must bear that.
 */
@Injectable()
export class LeasesRepository {
  constructor(@Inject(Database) private readonly database: Database) {}

  /**
   * Takes the lease or makes it last longer.
   * @param name of the work
   * @param holder who asks; unique among all processes
   * @returns whether the holder has it now, for `durationMs`
   */
  async take(name: string, holder: string, durationMs: number): Promise<boolean> {
    const expiresAt = sql`now() + ${`${Math.round(durationMs)} milliseconds`}::interval`;
    const rows = await this.database.db
      .insert(leases)
      .values({ name, holder, expiresAt })
      .onConflictDoUpdate({
        target: leases.name,
        set: { holder, expiresAt },
        setWhere: sql`${leases.holder} = ${holder} OR ${leases.expiresAt} < now()`,
      })
      .returning({ holder: leases.holder });
    return rows[0]?.holder === holder;
  }

  /** Lets another take it at once. Nothing happens if the holder does not have it. */
  async release(name: string, holder: string): Promise<void> {
    await this.database.db.delete(leases).where(and(eq(leases.name, name), eq(leases.holder, holder)));
  }
}
