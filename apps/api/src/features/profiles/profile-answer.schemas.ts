// SPDX-License-Identifier: Apache-2.0
import { z } from "zod";
import { coverageSchema } from "../query/query.schemas.ts";

export const profileSignals = ["cpu_profile", "off_cpu"] as const;

const selectionSchema = z.object({
  from: z.iso.datetime(),
  to: z.iso.datetime(),
  where: z.string(),
  total: z.number().meta({ description: "Of all stacks, in `unit`." }),
  seconds: z.number().meta({ description: "The same as time: samples ÷ `hz`, or the waits added up." }),
  stacks: z.int(),
  beyond: z.number().meta({ description: "Of `total`: in stacks beyond the 20,000 largest; they are one frame `[other stacks]`." }),
  unknown: z
    .object({ stacks: z.int(), value: z.number() })
    .meta({ description: "Stacks whose frames have not arrived, or are not kept any more, as the frame `[unknown stack]`." }),
  coverage: coverageSchema.omit({ steps: true, stepHosts: true }),
});

export const profileSchema = z
  .object({
    meta: z.object({
      signal: z.enum(profileSignals),
      unit: z.enum(["samples", "ns"]),
      hz: z.number().nullable().meta({ description: "What `seconds` are made with; null for waits." }),
      focus: z.string(),
      selection: selectionSchema,
      baseline: selectionSchema.nullable(),
      rowsRead: z.int(),
      elapsedMs: z.number(),
    }),
    tree: z
      .object({
        names: z.array(z.string()),
        parents: z.array(z.int()).meta({ description: "By node: index of its parent, which comes before it; -1 for the root." }),
        nameIndexes: z.array(z.int()).meta({ description: "By node: index into `names`. Frames of the kernel end in `_[k]`." }),
        self: z.array(z.number()).meta({ description: "By node: what was seen in it itself. All of them add up to the root's total." }),
        total: z.array(z.number()).meta({ description: "By node: in it and below it." }),
        baselineSelf: z.array(z.number()).optional(),
        baselineTotal: z.array(z.number()).optional(),
        change: z.array(z.number()).optional().meta({
          description:
            "By node: its share of the selection's total less its share of the baseline's, -1 to 1. Below a `focus` shares are of what lies below it.",
        }),
        hidden: z.array(z.int()).meta({ description: "By node: how many nodes a `~other` stands for; 0 for the others." }),
      })
      .meta({ description: "Nodes in pre-order, column by column; siblings by total." }),
  })
  .meta({ id: "Profile" });
export type ProfileAnswer = z.infer<typeof profileSchema>;
