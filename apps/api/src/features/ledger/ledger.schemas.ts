// SPDX-License-Identifier: Apache-2.0
import { z } from "zod";
import { pageParameters, pageSchema } from "../lists/lists.schemas.ts";

export const verdicts = ["equal", "pending", "missing", "more", "unknown"] as const;
export type Verdict = (typeof verdicts)[number];

export const ledgerParametersSchema = z.strictObject({
  from: z
    .string()
    .default("now-2h")
    .meta({ description: "Start: `now-2h`, RFC 3339 or Unix milliseconds. Whole hours of the hosts' clocks that begin in the range are shown." }),
  to: z.string().default("now").meta({ description: "End, exclusive; at most 7 days after `from`." }),
  host: z.string().min(1).max(253).optional().meta({ description: "One host, by id or name." }),
  problems: z
    .enum(["true", "false"])
    .default("false")
    .transform((value) => value === "true")
    .meta({ description: "Only hours that are `missing` or `more`." }),
  ...pageParameters(200),
});
export type LedgerParameters = z.output<typeof ledgerParametersSchema>;

const count = (description: string) => z.int().meta({ description });

export const ledgerEntrySchema = z
  .object({
    hour: z.iso.datetime().meta({ description: "Start of the hour on the host's own clock." }),
    hostId: z.string(),
    host: z.string(),
    verdict: z.enum(verdicts).meta({
      description:
        "`equal`: frames, windows and rows are what the agent says. `pending`: fewer so far, but the hour is not over or frames still wait in the agent's spool. " +
        "`missing`: fewer, and nothing is on its way. `more`: more is stored than the agent says it made. `unknown`: the agent says nothing of this hour.",
    }),
    said: z
      .object({
        windows: count("Windows that started in the hour, whatever became of them."),
        rows: count("Rows of the frames that were not given up."),
        frames: count("Frames that were not given up; fewer than windows where windows were merged."),
        droppedWindows: count("Given up by the agent: its spool was full, or a file unreadable."),
        refusedWindows: count("Refused by the API for good."),
        at: z.iso.datetime().meta({ description: "When the agent said so." }),
      })
      .nullable()
      .meta({ description: "What the agent says; null: nothing." }),
    stored: z.object({ frames: count("Frames."), windows: count("Windows they speak for."), rows: count("Rows they had.") }),
    rolledUp: z
      .object({ "1m": count("Stored frames that minutes have taken in."), "1h": count("Stored frames that hours have taken in.") })
      .meta({ description: "Minutes follow within some 5 min, hours within an hour." }),
  })
  .meta({ id: "LedgerEntry" });
export type LedgerEntry = z.infer<typeof ledgerEntrySchema>;

export const ledgerSchema = z
  .object({
    meta: z.object({
      from: z.iso.datetime(),
      to: z.iso.datetime(),
      totals: z
        .object({
          hostHours: z.int(),
          verdicts: z.record(z.enum(verdicts), z.int()),
          said: z.object({ windows: z.int(), rows: z.int(), frames: z.int(), droppedWindows: z.int(), refusedWindows: z.int() }),
          stored: z.object({ frames: z.int(), windows: z.int(), rows: z.int() }),
          rolledUp: z.object({ "1m": z.int(), "1h": z.int() }),
        })
        .meta({ description: "Of all host-hours in the range, not of this page alone." }),
      nextCursor: z.string().nullable().meta({ description: "The same as `page.next`." }),
    }),
    page: pageSchema,
    data: z.array(ledgerEntrySchema).meta({ description: "By hour, newest first, then by host." }),
  })
  .meta({ id: "Ledger", description: "What every agent says it made beside what is stored, per host and hour." });
export type Ledger = z.infer<typeof ledgerSchema>;
