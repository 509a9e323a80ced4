// SPDX-License-Identifier: Apache-2.0
import { z } from "zod";
import { pageParameters, pageSchema } from "../lists/lists.schemas.ts";

export const auditParametersSchema = z.strictObject({
  host: z.string().min(1).max(253).optional().meta({ description: "Only what concerns this host, by its id or the name it had then." }),
  ...pageParameters(100),
});
export type AuditParameters = z.output<typeof auditParametersSchema>;

export const auditEntrySchema = z
  .object({
    id: z.string(),
    at: z.iso.datetime(),
    actor: z
      .object({ tokenId: z.string(), tokenName: z.string() })
      .meta({ description: "The API token that was used, also by a browser that signed in with it; its name as it was then." }),
    action: z.string().meta({ description: "Such as `settings.update`." }),
    target: z.object({ kind: z.enum(["host", "organisation"]), id: z.string(), name: z.string().meta({ description: "As it was then." }) }),
    before: z.record(z.string(), z.unknown()).meta({ description: "The fields that were changed, as they were; null: not set." }),
    after: z.record(z.string(), z.unknown()).meta({ description: "The same fields, as they are since." }),
  })
  .meta({ id: "AuditEntry" });
export type AuditEntry = z.infer<typeof auditEntrySchema>;

export const auditPageSchema = z
  .object({
    meta: z.object({ nextCursor: z.string().nullable().meta({ description: "The same as `page.next`." }) }),
    page: pageSchema,
    data: z.array(auditEntrySchema).meta({ description: "Newest first." }),
  })
  .meta({ id: "AuditPage" });
export type AuditPage = z.infer<typeof auditPageSchema>;
