// SPDX-License-Identifier: Apache-2.0

import { WHERE_LENGTH_MAX } from "@waggle/query";
import { z } from "zod";
import { wholeNumber } from "../../common/query-string.ts";
import { formats } from "../formats/media-type.ts";
import { instantParameter, instantSchema } from "../query/query.schemas.ts";
import { profileSignals } from "./profile-answer.schemas.ts";
import { profileFormats } from "./profile-formats.ts";

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
