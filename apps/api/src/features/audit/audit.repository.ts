// SPDX-License-Identifier: Apache-2.0
import { Inject, Injectable } from "@nestjs/common";
import { and, desc, eq, lt, or, sql } from "drizzle-orm";
import type { Caller } from "../../common/caller.ts";
import { Database, type Drizzle } from "../../postgres/database.ts";
import { auditEntries } from "../../postgres/schema.ts";

export type AuditRow = typeof auditEntries.$inferSelect;

export interface AuditTarget {
  readonly kind: "host" | "organisation";
  readonly id: string;
  readonly name: string;
}

/** Something that was done. */
export interface AuditedChange {
  readonly caller: Caller;
  readonly action: string;
  readonly target: AuditTarget;
  /** The fields that were changed. */
  readonly before: Record<string, unknown>;
  readonly after: Record<string, unknown>;
}

/** Who changed what: written with the change, read page by page, never changed. */
@Injectable()
export class AuditRepository {
  constructor(@Inject(Database) private readonly database: Database) {}

  /** @param within the transaction of the change: there is none without its entry, and no entry without one */
  async add({ caller, action, target, before, after }: AuditedChange, within: Drizzle): Promise<void> {
    await within.insert(auditEntries).values({
      organisationId: caller.organisationId,
      tokenId: caller.token.id,
      tokenName: caller.token.name,
      action,
      targetKind: target.kind,
      targetId: target.id,
      targetName: target.name,
      before,
      after,
    });
  }

  /**
   * An organisation's entries, newest first.
   * @param before only entries with a smaller id
   * @param host only those of the host with this id or name
   */
  async list(organisationId: string, { before, host, limit }: { before?: number; host?: string; limit: number }): Promise<AuditRow[]> {
    const ofHost =
      host === undefined
        ? undefined
        : and(eq(auditEntries.targetKind, "host"), or(eq(sql`${auditEntries.targetId}::text`, host), eq(auditEntries.targetName, host)));
    return this.database.db
      .select()
      .from(auditEntries)
      .where(and(eq(auditEntries.organisationId, organisationId), before === undefined ? undefined : lt(auditEntries.id, before), ofHost))
      .orderBy(desc(auditEntries.id))
      .limit(limit);
  }
}
