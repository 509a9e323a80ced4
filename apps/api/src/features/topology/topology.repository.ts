// SPDX-License-Identifier: Apache-2.0
import { Inject, Injectable } from "@nestjs/common";
import { and, eq, sql } from "drizzle-orm";
import { Database } from "../../postgres/database.ts";
import { hosts } from "../../postgres/schema.ts";

@Injectable()
export class TopologyRepository {
  constructor(@Inject(Database) private readonly database: Database) {}

  /** Value of a tag by host id; hosts without it are left out. */
  async tagValues(organisationId: string, key: string): Promise<ReadonlyMap<string, string>> {
    const value = sql<string>`${hosts.tags} ->> ${key}`;
    const rows = await this.database.db
      .select({ id: hosts.id, value })
      .from(hosts)
      .where(and(eq(hosts.organisationId, organisationId), sql`${hosts.tags} ? ${key}`));
    return new Map(rows.map((row) => [row.id, row.value]));
  }
}
