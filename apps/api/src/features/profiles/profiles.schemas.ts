// SPDX-License-Identifier: Apache-2.0

import { WHERE_LENGTH_MAX } from "@waggle/query";
import { z } from "zod";
import { wholeNumber } from "../../common/query-string.ts";
import { formats } from "../formats/media-type.ts";
import { coverageSchema, instantParameter, instantSchema } from "../query/query.schemas.ts";
import { profileFormats } from "./profile-formats.ts";

export const profileSignals = ["cpu_profile", "off_cpu"] as const;
export const NODES_MAX = 20_000;
/** Unless agents are configured otherwise (WAGGLE_AGENT_PROFILE_HZ). */
export const SAMPLE_HZ = 49;
const HZ_MAX = 10_000;
const FOCUS_LENGTH_MAX = 16_384;

const where = z
  .string()
  .max(WHERE_LENGTH_MAX)
  .default("")
  .meta({ description: "Filter on `host`, `process`, `unit`, `stack`.", examples: ["process:nginx"] });
const focus = z
  .string()
  .max(FOCUS_LENGTH_MAX)
  .default("")
  .meta({
    description: "Frames from the root, joined by `;`: the tree is what lies below them. Opens what `~other` stands for.",
    examples: ["nginx;main [nginx]"],
  });
const common = {
  signal: z.enum(profileSignals).default("cpu_profile").meta({ description: "What ran on the CPUs (samples), or where programs waited (ns)." }),
  where,
  root: z.enum(["process", "unit", "host", "none"]).default("process").meta({ description: "What stands below the root, before the first frame." }),
  focus,
};
const hzHelp = "Samples a second that agents are configured to take: what turns samples into CPU time.";

export const profileParametersSchema = z.strictObject({
  ...common,
  from: instantParameter.default("now-1h"),
  to: instantParameter.default("now"),
  maxNodes: wholeNumber(NODES_MAX).default(2_000).meta({ description: "Of the tree; smaller nodes are summed in `~other` below their parent." }),
  hz: wholeNumber(HZ_MAX).default(SAMPLE_HZ).meta({ description: hzHelp }),
  format: z
    .enum([...formats, ...(Object.keys(profileFormats) as (keyof typeof profileFormats)[])])
    .optional()
    .meta({ description: "The same as `Accept` by a short name, for where a header is hard to send; goes before it." }),
});

export const profileQuerySchema = z
  .strictObject({
    ...common,
    from: instantSchema.default("now-1h"),
    to: instantSchema.default("now"),
    maxNodes: z.int().min(1).max(NODES_MAX).default(2_000),
    hz: z.int().min(1).max(HZ_MAX).default(SAMPLE_HZ).meta({ description: hzHelp }),
    baseline: z
      .strictObject({
        where: where.optional().meta({ description: "Left out: as of the selection." }),
        from: instantSchema,
        to: instantSchema,
      })
      .optional()
      .meta({ description: "What to compare with. Its values stand beside the selection's in each node." }),
  })
  .meta({ id: "ProfileQuery" });
export type ProfileQuery = z.output<typeof profileQuerySchema>;

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
