// SPDX-License-Identifier: Apache-2.0
import { z } from "zod";
import { scopes } from "../../common/caller.ts";

export const createSessionSchema = z.strictObject({ token: z.string().min(1).max(200).describe("An API token, `wgl_adm_…`.") });

export const sessionSchema = z.object({
  organisation: z.object({ id: z.uuid(), name: z.string() }),
  scopes: z.array(z.enum(scopes)),
});
export type Session = z.infer<typeof sessionSchema>;
