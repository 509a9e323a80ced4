// SPDX-License-Identifier: Apache-2.0
import { Inject, Injectable } from "@nestjs/common";
import { TAGS_MAX } from "@waggle/query";
import { and, eq } from "drizzle-orm";
import { AppError } from "../../common/app-error.ts";
import { type Caller, requireScope } from "../../common/caller.ts";
import { Database, type Drizzle } from "../../postgres/database.ts";
import { hosts } from "../../postgres/schema.ts";
import { AuditRepository } from "../audit/audit.repository.ts";
import { tagsRevision } from "./host-tags.ts";
import type { HostPatch } from "./hosts.schemas.ts";
import { HostsService } from "./hosts.service.ts";

/** Tags that people set on hosts. */
@Injectable()
export class HostTagsService {
  constructor(
    @Inject(Database) private readonly database: Database,
    @Inject(HostsService) private readonly hosts: HostsService,
    @Inject(AuditRepository) private readonly audit: AuditRepository,
  ) {}

  /**
   * Sets tags of a host, or takes set ones away.
   * @param ifMatch the entity tag that the host's must be; undefined or `*`: any
   * @throws AppError HOST_NOT_FOUND, VALIDATION_FAILED, PRECONDITION_FAILED, FORBIDDEN
   */
  async change(caller: Caller, idOrName: string, { tags = {} }: HostPatch, ifMatch: string | undefined): Promise<void> {
    requireScope(caller, "hosts:write");
    const { id, name } = await this.hosts.getRowOrThrow(caller, idOrName);
    const isTheirs = and(eq(hosts.organisationId, caller.organisationId), eq(hosts.id, id));
    await this.database.db.transaction(async (tx) => {
      const [row] = await tx.select({ ownTags: hosts.ownTags, agentTags: hosts.agentTags }).from(hosts).where(isTheirs).for("update");
      if (row === undefined) throw new AppError("HOST_NOT_FOUND", `The host \`${name}\` has gone meanwhile.`);
      if (ifMatch !== undefined && ifMatch !== "*" && ifMatch !== tagsRevision(row.ownTags))
        throw new AppError(
          "PRECONDITION_FAILED",
          "The host's tags are not what If-Match says. Read the host again, look at what was changed, and repeat the change.",
        );
      const before = new Map(Object.entries(row.ownTags));
      const after = new Map(before);
      for (const [key, value] of Object.entries(tags)) {
        if (value === null) after.delete(key);
        else after.set(key, value);
      }
      const changed = Object.keys(tags).filter((key) => before.get(key) !== after.get(key));
      if (changed.length === 0) return;
      if (after.size > TAGS_MAX) {
        const detail = `A host has at most ${TAGS_MAX} tags; this would make ${after.size}.`;
        throw new AppError("VALIDATION_FAILED", detail, { errors: [{ pointer: "/tags", detail }] });
      }
      const ownTags = Object.fromEntries(after);
      await tx
        .update(hosts)
        .set({ ownTags, tags: { ...row.agentTags, ...ownTags } })
        .where(isTheirs);
      const pick = (values: ReadonlyMap<string, string>) => Object.fromEntries(changed.map((key) => [key, values.get(key) ?? null]));
      const target = { kind: "host", id, name } as const;
      await this.audit.add({ caller, action: "host.tags", target, before: pick(before), after: pick(after) }, tx as unknown as Drizzle);
    });
  }
}
