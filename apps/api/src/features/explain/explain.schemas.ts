// SPDX-License-Identifier: Apache-2.0

import { WHERE_LENGTH_MAX } from "@waggle/query";
import { z } from "zod";
import { aggregates } from "../query/measures.ts";
import { coverageSchema, instantSchema } from "../query/query.schemas.ts";

const spanSchema = z.strictObject({
  where: z
    .string()
    .max(WHERE_LENGTH_MAX)
    .default("")
    .meta({ examples: ["host:web-*"] }),
  from: instantSchema.default("now-1h"),
  to: instantSchema.default("now"),
});

export const explainSchema = z
  .strictObject({
    signal: z
      .string()
      .min(1)
      .max(64)
      .meta({ examples: ["tcp_rtt"] }),
    measure: z.string().min(1).max(64).optional().meta({ description: "Left out: a histogram's quantity, or the signal's first measure." }),
    aggregate: z
      .enum(aggregates as [string, ...string[]])
      .optional()
      .meta({
        description:
          "What differs. Of a histogram's quantity a percentile (left out: p99): then what counts is how many values lie above the baseline's percentile; or `count`, or `avg` (all values added up). " +
          "Of sums `sum` or `rate`, of gauges `avg`.",
      }),
    selection: spanSchema.meta({ description: "What is to be explained." }),
    baseline: spanSchema.optional().meta({ description: "What it is compared with. Needed unless there is a `threshold`." }),
    threshold: z
      .strictObject({
        operator: z.enum([">", ">=", "<", "<="]).default(">"),
        value: z.number().meta({ description: "In the unit of the measure; of a `rate` per second.", examples: [5_000_000] }),
      })
      .optional()
      .meta({
        description: "Compares the hosts of the selection whose own value passes with the others of the selection; `baseline` is left out then.",
      }),
    limit: z.int().min(1).max(100).default(10).meta({ description: "Values per dimension, and facts." }),
  })
  .superRefine(({ baseline, threshold }, context) => {
    if ((baseline === undefined) === (threshold === undefined))
      context.addIssue({ code: "custom", path: ["baseline"], message: "Give either a baseline or a threshold." });
  })
  .meta({ id: "ExplainDifference" });
export type ExplainQuery = z.output<typeof explainSchema>;

const sideSchema = z.object({
  where: z.string(),
  from: z.iso.datetime(),
  to: z.iso.datetime(),
  hosts: z.int().meta({ description: "That reported the signal." }),
  hostSeconds: z.number().meta({ description: "Time in which they did, added up." }),
  total: z.number().meta({ description: "What is compared, added up: see `meta.quantity`." }),
  perHostSecond: z.number().nullable(),
  coverage: coverageSchema.omit({ steps: true, stepHosts: true }),
});
const amountSchema = z.object({ amount: z.number(), share: z.number() });

export const explanationSchema = z
  .object({
    meta: z.object({
      signal: z.string(),
      measure: z.string(),
      aggregate: z.string(),
      quantity: z.string().meta({ description: "What is added up and compared, in words." }),
      unit: z.string(),
      above: z.number().nullable().meta({ description: "Values count that lie above this (at the edge of its bucket); null: all of them." }),
      selection: sideSchema,
      baseline: sideSchema.meta({ description: "With a `threshold`: the other hosts of the selection." }),
      change: z.number().nullable().meta({ description: "Of the amount per host and second: selection less baseline." }),
      skipped: z.array(z.object({ dimension: z.string(), reason: z.string() })),
      notes: z.array(z.string()).meta({ description: "What weakens the answer, such as too few hosts." }),
      rowsRead: z.int(),
      elapsedMs: z.number(),
    }),
    dimensions: z
      .array(
        z.object({
          dimension: z.string(),
          divergence: z
            .number()
            .meta({ description: "How much the shares of its values differ, in bits: 0 = not at all, 1 = nothing in common (Jensen–Shannon)." }),
          truncated: z.boolean().meta({ description: "It has more values than were compared; those compared are the largest." }),
          values: z.array(
            z.object({
              value: z.string(),
              selection: amountSchema,
              baseline: amountSchema,
              contribution: z.number().nullable().meta({
                description: "Its part of the change per host and second: 1 = all of it; below 0 = it went the other way; null: nothing changed.",
              }),
              surprise: z.number().meta({ description: "Its part of the divergence." }),
            }),
          ),
        }),
      )
      .meta({ description: "The most telling dimension first, in it the values that differ most." }),
    facts: z
      .array(
        z.object({
          fact: z.string().meta({ description: "Of `host_facts`, or a tag (`tag.env`)." }),
          value: z.string(),
          selection: z.object({ hosts: z.int(), of: z.int() }),
          others: z.object({ hosts: z.int(), of: z.int() }),
          informationGain: z.number().meta({ description: "Bits that the fact tells about which side a host is on." }),
          lift: z.number().nullable().meta({ description: "How many times more frequent it is in the selection; null: none of the others has it." }),
          chance: z
            .number()
            .meta({ description: "That it is so by chance (Fisher's exact test, one-sided), before counting how many facts were tried." }),
          significant: z.boolean().meta({ description: "`chance` times the number of facts that were tried is below 5 %." }),
        }),
      )
      .meta({ description: "What sets the selection's hosts apart, the most telling first." }),
  })
  .meta({ id: "DifferenceExplanation" });
export type Explanation = z.infer<typeof explanationSchema>;
