// SPDX-License-Identifier: Apache-2.0
import { levels } from "@waggle/signals";
import { z } from "zod";
import { aggregates } from "./measures.ts";
import { WHERE_LENGTH_MAX } from "./where.ts";

export const BY_MAX = 3;
export const SELECT_MAX = 12;
export const POINTS_DEFAULT = 300;
export const POINTS_MAX = 600;
export const LIMIT_DEFAULT = 10;
/** Series of an answer. With one point a series is one number, so that every host of a fleet can have its own. */
export const LIMIT_MAX = 100;
export const LIMIT_MAX_ONE_POINT = 10_000;

const instantSchema = z.union([z.string().min(1).max(64), z.int()]).meta({
  description: "`now`, `now-15m` (ms, s, m, h, d, w), RFC 3339 with an offset, or Unix milliseconds.",
  examples: ["now-1h", "2026-11-20T21:00:00Z", 1763672400000],
});

export const selectionSchema = z.strictObject({
  measure: z
    .string()
    .min(1)
    .max(64)
    .meta({ description: "A measure of the signal, as GET /signals lists it.", examples: ["rtt"] }),
  aggregate: z.enum(aggregates as [string, ...string[]]).meta({
    description:
      "Sums take `sum` and `rate` (per second of time in which hosts reported). Gauges take `last`, `min`, `max`, `avg` over the windows of a step. " +
      "A histogram's quantity takes percentiles, `min`, `max`, `avg`, `count` and `heatmap`.",
    examples: ["p99"],
  }),
});

/** The query object: what a panel, an API call and an alert rule have in common. */
export const querySchema = z
  .strictObject({
    signal: z
      .string()
      .min(1)
      .max(64)
      .meta({ description: "Name of a signal of GET /signals.", examples: ["tcp_rtt"] }),
    select: z.array(selectionSchema).min(1).max(SELECT_MAX),
    by: z
      .array(z.string().min(1).max(64))
      .max(BY_MAX)
      .refine((by) => new Set(by).size === by.length, "The same dimension stands there twice.")
      .default([])
      .meta({ description: "Dimensions of the signal, or `host`: one series per combination of their values." }),
    where: z
      .string()
      .max(WHERE_LENGTH_MAX)
      .default("")
      .meta({
        description:
          'Filter: `key:value` terms joined by spaces; `*` in a value is a wildcard, a comma means any of, a leading `-` negates, quotes take text literally, `""` is unknown.',
        examples: ["host:web-* -peer_port:443 process:nginx"],
      }),
    from: instantSchema.default("now-1h"),
    to: instantSchema.default("now"),
    points: z
      .int()
      .min(1)
      .max(POINTS_MAX)
      .default(POINTS_DEFAULT)
      .meta({ description: "At most this many steps; 1 = one value over the whole range." }),
    limit: z
      .int()
      .min(1)
      .max(LIMIT_MAX_ONE_POINT)
      .default(LIMIT_DEFAULT)
      .meta({
        description: `Series to show: those with the largest value of the first selection when \`points\` is 1, otherwise those with the largest volume (a histogram's count, a sum, a gauge's value × time). The rest is merged into \`~other\`. More than ${LIMIT_MAX} take \`points\` = 1.`,
      }),
  })
  .superRefine(({ limit, points }, context) => {
    if (limit > LIMIT_MAX && points !== 1)
      context.addIssue({
        code: "custom",
        path: ["limit"],
        message: `More than ${LIMIT_MAX} series take points = 1, one value over the whole range; points is ${points}.`,
      });
  })
  .meta({ id: "Query" });
export type Query = z.output<typeof querySchema>;

const timeSchema = z.iso.datetime().meta({ description: "RFC 3339, UTC." });
const labelsSchema = z.record(z.string(), z.string()).meta({ description: "One entry per dimension of `by`. `~other` = the rest; empty = unknown." });

export const coverageSchema = z
  .object({
    hosts: z.int().meta({ description: "Hosts that match the filter and were enrolled before the end of the range." }),
    reporting: z.int().meta({ description: "Those that reported the signal; in a range that reaches the present, those that still do." }),
    missing: z
      .array(z.object({ host: z.string(), reason: z.string(), state: z.string(), since: timeSchema.nullable() }))
      .meta({ description: "The others, with the reason; at most 100 of them." }),
    steps: z.array(z.number().min(0).max(1)).meta({ description: "Per step: the share of the expected host time that was reported." }),
    note: z.string().nullable().meta({ description: "What else weakens the numbers." }),
  })
  .meta({ id: "Coverage" });
export type Coverage = z.infer<typeof coverageSchema>;

export const valueSeriesSchema = z
  .object({
    measure: z.string(),
    aggregate: z.string(),
    unit: z.string(),
    labels: labelsSchema,
    values: z.array(z.number().nullable()).meta({
      description:
        "values[i] covers [from + i·step, + step). null = no host that matches reported the signal; 0 = reported and nothing counted. A percentile is null also where nothing was counted.",
    }),
  })
  .meta({ id: "ValueSeries" });
export type ValueSeries = z.infer<typeof valueSeriesSchema>;

export const heatmapSeriesSchema = z
  .object({
    measure: z.string(),
    aggregate: z.literal("heatmap"),
    unit: z.string(),
    labels: labelsSchema,
    buckets: z.array(z.object({ lower: z.number(), upper: z.number() })).meta({ description: "(lower, upper], fast to slow, in `unit`." }),
    cells: z.array(z.array(z.number().nullable())).meta({ description: "cells[bucket][step]: how many; null = no data for the step." }),
  })
  .meta({ id: "HeatmapSeries" });
export type HeatmapSeries = z.infer<typeof heatmapSeriesSchema>;

export const answerSchema = z
  .object({
    meta: z.object({
      signal: z.string(),
      from: timeSchema,
      to: timeSchema,
      stepSeconds: z
        .number()
        .meta({ description: "Length of a step: as short as `points` allows, longer where shorter steps would take too many rows to read." }),
      points: z.int(),
      unit: z.string().meta({ description: "Unit of the first selection." }),
      errorBound: z.number().optional().meta({ description: "Largest relative error of percentiles." }),
      coverage: coverageSchema,
      truncated: z.object({ shown: z.int(), total: z.int() }).nullable().meta({ description: "Set when the rest was merged into `~other`." }),
      level: z
        .enum(levels)
        .meta({ description: "The coarsest rows the values were made of: windows as the agents sent them (`raw`), minutes or hours." }),
      scope: z
        .enum(["host", "fleet"])
        .meta({ description: "`fleet`: rows in which all hosts were added up already; the newest are always added up from hosts." }),
      sources: z
        .array(z.object({ level: z.enum(levels), scope: z.enum(["host", "fleet"]), from: timeSchema, to: timeSchema }))
        .meta({ description: "Which rows were read for which part of the range." }),
      rowsRead: z.int(),
      elapsedMs: z.number(),
    }),
    series: z.array(z.union([valueSeriesSchema, heatmapSeriesSchema])),
  })
  .meta({ id: "Answer" });
export type Answer = z.infer<typeof answerSchema>;
