// SPDX-License-Identifier: Apache-2.0
import { z } from "zod";

export const PAGE_LIMIT_MAX = 1_000;

const CURSOR_LENGTH_MAX = 600;

/** Query parameters of every list that comes in pages. */
export const pageParameters = (limitDefault: number) => ({
  limit: z
    .string()
    .regex(/^\d{1,6}$/, "Write a whole number.")
    .transform(Number)
    .pipe(z.int().min(1).max(PAGE_LIMIT_MAX))
    .default(limitDefault)
    .meta({ description: `Entries per page, at most ${PAGE_LIMIT_MAX}.`, type: "integer", minimum: 1, maximum: PAGE_LIMIT_MAX }),
  cursor: z
    .string()
    .refine((text) => text.length <= CURSOR_LENGTH_MAX, "This is too long for a cursor; take `page.next` of the page before.")
    .optional()
    .meta({
      description:
        "`page.next` of the page before, with the same parameters otherwise. A place in the list, not a number: it holds while entries come and go.",
    }),
});

export const pageSchema = z
  .object({
    next: z
      .string()
      .nullable()
      .meta({ description: 'Cursor of the next page, also in the Link header as `rel="next"`; null: this is the last one.' }),
    hasMore: z.boolean(),
    total: z.int().optional().meta({ description: "Entries of all pages, where they are counted." }),
  })
  .meta({ id: "Page" });
export type Page = z.infer<typeof pageSchema>;
