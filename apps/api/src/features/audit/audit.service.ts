// SPDX-License-Identifier: Apache-2.0
import { Inject, Injectable } from "@nestjs/common";
import { type Caller, requireScope } from "../../common/caller.ts";
import { Cursors } from "../lists/cursors.ts";
import { AuditRepository, type AuditRow } from "./audit.repository.ts";
import type { AuditEntry, AuditPage, AuditParameters } from "./audit.schemas.ts";

@Injectable()
export class AuditService {
  constructor(
    @Inject(AuditRepository) private readonly repository: AuditRepository,
    @Inject(Cursors) private readonly cursors: Cursors,
  ) {}

  /** A page of who changed what in the caller's organisation, newest first. */
  async list(caller: Caller, { host, limit, cursor }: AuditParameters): Promise<AuditPage> {
    requireScope(caller, "hosts:read");
    const purpose = { organisationId: caller.organisationId, list: "audit", of: { host } };
    // One more than the page tells whether there is another.
    const rows = await this.repository.list(caller.organisationId, {
      limit: limit + 1,
      ...(cursor === undefined ? {} : { before: Number(this.cursors.open(purpose, cursor)[0]) }),
      ...(host === undefined ? {} : { host }),
    });
    const page = rows.slice(0, limit);
    const last = page.at(-1);
    const hasMore = rows.length > limit;
    const next = hasMore && last !== undefined ? this.cursors.seal(purpose, [last.id]) : null;
    return { meta: { nextCursor: next }, page: { next, hasMore }, data: page.map(rowToEntry) };
  }
}

function rowToEntry(row: AuditRow): AuditEntry {
  return {
    id: String(row.id),
    at: row.at.toISOString(),
    actor: { tokenId: row.tokenId, tokenName: row.tokenName },
    action: row.action,
    target: { kind: row.targetKind, id: row.targetId, name: row.targetName },
    before: row.before,
    after: row.after,
  };
}
