// SPDX-License-Identifier: Apache-2.0
import { Inject, Injectable } from "@nestjs/common";
import { eq } from "drizzle-orm";
import { Database } from "../../postgres/database.ts";
import { hosts } from "../../postgres/schema.ts";

@Injectable()
export class ExplainRepository {
  constructor(@Inject(Database) private readonly database: Database) {}

  /** Tags by host id. */
  async tags(organisationId: string): Promise<ReadonlyMap<string, Readonly<Record<string, string>>>> {
    const rows = await this.database.db.select({ id: hosts.id, tags: hosts.tags }).from(hosts).where(eq(hosts.organisationId, organisationId));
    return new Map(rows.map((row) => [row.id, row.tags]));
  }
}
