// SPDX-License-Identifier: Apache-2.0
import { TAGS_MAX, tagProblem } from "@waggle/query";
import { coverageStates } from "@waggle/signals";
import { z } from "zod";
import { pageParameters, pageSchema } from "../lists/lists.schemas.ts";

export const hostStates = ["reporting", "late", "offline", "waiting"] as const;
export type HostState = (typeof hostStates)[number];

const timeSchema = z.iso.datetime();

export const hostSignalSchema = z.object({
  name: z.string(),
  state: z.enum([...coverageStates, "unknown"]).meta({ description: "`unknown`: the agent said nothing about this signal in the last minutes." }),
  reason: z.string().meta({ description: "Why the state is not `exact`; empty when it is." }),
});

export const hostSchema = z
  .object({
    id: z.string(),
    name: z.string(),
    simulated: z.boolean().meta({ description: "Made up by a simulator, by its own account at enrolment; no machine of this name exists." }),
    state: z.enum(hostStates).meta({
      description:
        "`reporting`: its last window ended at most three windows (of at least 10 s) ago; `late`: at most 2 minutes ago; `waiting`: it never delivered one.",
    }),
    lastSeenAt: timeSchema.nullable().meta({ description: "End of the newest stored window." }),
    stateSince: timeSchema.nullable().meta({ description: "null: for longer than the last hour." }),
    enrolledAt: timeSchema,
    bootId: z.string(),
    kernel: z.string(),
    distro: z.string(),
    arch: z.string(),
    cpus: z.int(),
    memoryBytes: z.int(),
    agentVersion: z.string(),
    tags: z
      .record(z.string(), z.string())
      .meta({ description: "What people call the host by: their own tags before those of its agent (`WAGGLE_AGENT_TAGS`)." }),
    ownTags: z.record(z.string(), z.string()).meta({ description: "Those of `tags` that people set." }),
    windowSeconds: z.number(),
    clockOffsetMs: z.int().nullable(),
    signals: z.array(hostSignalSchema),
    agent: z
      .object({
        rssBytes: z.number().nullable(),
        cpuRatio: z.number().nullable().meta({ description: "Share of one core spent in the agent's process." }),
        kernelRatio: z.number().nullable().meta({ description: "Share of one core spent in the BPF programs." }),
        mapBytes: z.number().nullable(),
        spoolFrames: z.int().nullable(),
        refusedFrames: z.int().nullable(),
      })
      .meta({ description: "Of the newest window of the last minutes; null when there is none." }),
  })
  .meta({ id: "Host" });
export type Host = z.infer<typeof hostSchema>;

export const hostPatchSchema = z
  .strictObject({
    tags: z
      .record(z.string().max(200), z.string().max(1_000).nullable())
      .superRefine((tags, context) => {
        for (const [key, value] of Object.entries(tags)) {
          const problem = tagProblem(key, value ?? "-");
          if (problem !== undefined) context.addIssue({ code: "custom", path: [key], message: `${problem[0]?.toUpperCase()}${problem.slice(1)}.` });
        }
      })
      .optional()
      .meta({
        description: `A tag to set, or null to take the set one away; what is not named stays. At most ${TAGS_MAX} on a host. The agent's tag of that name holds again when there is none.`,
        examples: [{ env: "prod", team: null }],
      }),
  })
  .meta({ id: "HostPatch" });
export type HostPatch = z.output<typeof hostPatchSchema>;

export const hostListSchema = z.object({ data: z.array(hostSchema), page: pageSchema });
export type HostList = z.infer<typeof hostListSchema>;

export const hostSorts = ["name", "-name", "lastSeenAt", "-lastSeenAt", "enrolledAt", "-enrolledAt"] as const;
export type HostSort = (typeof hostSorts)[number];

export const hostListParametersSchema = z.strictObject({
  q: z
    .string()
    .max(253)
    .default("")
    .meta({ description: "Only hosts whose name contains this, in whatever case.", examples: ["web"] }),
  sort: z
    .enum(hostSorts)
    .default("name")
    .meta({ description: "`-` in front turns the order round. A host that never delivered comes before all that did." }),
  ...pageParameters(1_000),
});
export type HostListParameters = z.output<typeof hostListParametersSchema>;
