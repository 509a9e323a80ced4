// SPDX-License-Identifier: Apache-2.0
import { WHERE_LENGTH_MAX } from "@waggle/query";
import { coverageStates, levels } from "@waggle/signals";
import { z } from "zod";
import { COMPARE_FORMS } from "./earlier-window.ts";
import { aggregates } from "./measures.ts";
import { INSTANT_FORMS } from "./time-range.ts";

export const BY_MAX = 3;
export const SELECT_MAX = 12;
export const POINTS_DEFAULT = 300;
export const POINTS_MAX = 600;
export const LIMIT_DEFAULT = 10;
/** Series of an answer. With one point a series is one number, so that every host of a fleet can have its own. */
export const LIMIT_MAX = 100;
export const LIMIT_MAX_ONE_POINT = 10_000;

/** One end of a range in a body. */
export const instantSchema = z.union([z.string().min(1).max(64), z.int()], { error: `This is no time; ${INSTANT_FORMS}` }).meta({
  description: "`now`, `now-15m` (ms, s, m, h, d, w), RFC 3339 with an offset, or Unix milliseconds.",
  examples: ["now-1h", "2026-11-20T21:00:00Z", 1763672400000],
});
/** The same in an address. */
export const instantParameter = z.string().min(1).max(64);

export const selectionSchema = z.strictObject({
  measure: z
    .string()
    .min(1)
    .max(64)
    .meta({ description: "A measure of the signal, as GET /signals lists it.", examples: ["rtt"] }),
  aggregate: z.enum(aggregates as [string, ...string[]]).meta({
    description:
      "Sums take `sum`, `rate` (per second of time in which hosts reported) and `share` (of all that the filter leaves, step by step; 1 = all). Gauges take `last`, `min`, `max`, `avg` over the windows of a step. " +
      "A histogram's quantity takes percentiles, `min`, `max`, `avg`, `count` and `heatmap`.",
    examples: ["p99"],
  }),
});

/** `compare` of the query object in an address, where a range is written `from..to`. */
export const compareParameter = z
  .string()
  .max(140)
  .transform((text) => {
    const [from = "", to, ...rest] = text.split("..");
    return to === undefined || rest.length > 0 ? text : { from, to };
  })
  .meta({
    description:
      "A second window as long as the first, whose values stand beside the first's: `prev` (right before), how much earlier (`1h`, `1d`, `7d`), or a range as `from..to`.",
    examples: ["prev", "7d", "2026-11-20T21:00:00Z..2026-11-20T22:00:00Z"],
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
      .meta({
        description:
          "Dimensions of the signal, `host`, what is known of hosts (`kernel`, `distribution`, `architecture`, `agent_version`) or their tags (`env`; `tag.env` where the signal has a dimension of that name): one series per combination of their values.",
      }),
    where: z
      .string()
      .max(WHERE_LENGTH_MAX)
      .default("")
      .meta({
        description:
          'Filter: terms joined by spaces. `key:value` on what `by` takes; `*` in a value is a wildcard, a comma means any of, a leading `-` negates, quotes take text literally, `""` is unknown. `measure>number` (`>=`, `<`, `<=`; units such as `ms`, `%`, `KiB`; `measure.aggregate` where another than the selected one is meant) leaves the groups of `by` whose value over the whole range is such.',
        examples: ["host:web-* -peer_port:443 process:nginx", "env:prod segments>10"],
      }),
    from: instantSchema.default("now-1h"),
    to: instantSchema.default("now"),
    points: z
      .int()
      .min(1)
      .max(POINTS_MAX)
      .optional()
      .meta({ description: `At most this many steps; 1 = one value over the whole range. ${POINTS_DEFAULT} unless \`step\` is given.` }),
    step: z
      .string()
      .max(16)
      .optional()
      .meta({
        description:
          "Instead of `points`: the length of a step, 10s, 20s, 30s or whole minutes (`1m`, `1h`, `1d`). Longer where the range begins before such rows are kept, or they would be too many to read; `meta.stepSeconds` says what it became.",
        examples: ["1m"],
      }),
    compare: z
      .union([z.string().max(16), z.strictObject({ from: instantSchema, to: instantSchema })], { error: COMPARE_FORMS })
      .optional()
      .meta({
        description:
          "A second window as long as the first, whose values stand beside the first's in every series: `prev` (right before), how much earlier (`1h`, `1d`, `7d`), or a range.",
        examples: ["prev", "7d"],
      }),
    explain: z
      .boolean()
      .default(false)
      .meta({ description: "Say in `meta.explain` how the answer was made: levels, rows, the step and why, the statements." }),
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

const stateSchema = z.object({
  state: z.enum(coverageStates),
  hosts: z.int().meta({ description: "Hosts that were in the state in the range, as their newest one that is not exact." }),
  now: z.int().meta({ description: "Those of them whose newest window in the range is still in it." }),
  reason: z.string().meta({ description: "What one of them said; empty if it did not." }),
  last: timeSchema.meta({ description: "End of the newest such window." }),
});

export const coverageSchema = z
  .object({
    hosts: z.int().meta({ description: "Hosts that match the filter and were enrolled before the end of the range." }),
    reporting: z.int().meta({ description: "Those that reported the signal; in a range that reaches the present, those that still do." }),
    missing: z
      .array(z.object({ host: z.string(), reason: z.string(), state: z.string(), since: timeSchema.nullable() }))
      .meta({ description: "The others, with the reason; at most 100 of them." }),
    steps: z.array(z.number().min(0).max(1)).meta({ description: "Per step: the share of the expected host time that was reported." }),
    stepHosts: z.object({ reporting: z.array(z.int()), expected: z.array(z.int()) }).meta({
      description:
        "Per step: hosts that reported in it, and hosts that were enrolled then. Of a step that is made of fleet rows: the most that reported at one time.",
    }),
    states: z.array(stateSchema).meta({ description: "How the signal was measured otherwise than exactly, and on how many hosts." }),
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
        "values[i] covers [from + i·step, + step). null = no host that matches reported the signal; 0 = reported and nothing counted. A percentile and a share are null also where nothing was counted.",
    }),
    compared: z
      .array(z.number().nullable())
      .optional()
      .meta({ description: "With `compare`: compared[i] is the value of the step of the earlier window that stands beside step i." }),
    change: z.number().nullable().optional().meta({
      description:
        "With `compare`: by how much the mean of the values differs from that of the earlier ones, over the steps in which both exist; 0.5 = half as much again. null = no such step, or the earlier mean is 0.",
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
    compared: z.array(z.array(z.number().nullable())).optional().meta({
      description:
        "With `compare`: the cells of the earlier window. Both windows have the same buckets, those of the two together, and as many steps; null = no data for the step.",
    }),
  })
  .meta({ id: "HeatmapSeries" });
export type HeatmapSeries = z.infer<typeof heatmapSeriesSchema>;

const sourceSchema = z.object({ level: z.enum(levels), scope: z.enum(["host", "fleet"]), from: timeSchema, to: timeSchema });

export const explanationSchema = z
  .object({
    step: z.object({ seconds: z.number(), why: z.string() }),
    estimatedRows: z.int().meta({ description: "Rows that the values' sources were thought to take; 0 = certainly few, nobody looked." }),
    considered: z
      .array(z.object({ level: z.enum(levels), stepSeconds: z.number(), estimatedRows: z.int(), chosen: z.boolean() }))
      .meta({ description: "Steps that were weighed, finest first." }),
    statements: z.array(
      z.object({
        purpose: z.string(),
        sql: z.string(),
        parameters: z
          .array(z.object({ name: z.string(), type: z.string(), value: z.unknown() }))
          .meta({ description: "`(tenant)` stands for the caller's organisation; of a long list the first values and how many there are." }),
        origin: z.enum(["read", "shared", "kept", "recent"]).meta({
          description:
            "`read`: run for this query; `shared`: the same statement was running for somebody else; `kept`: it was answered before, and nothing has changed since; `recent`: answered some seconds ago, up to five for coverage and large fleets, up to ten while statements wait long for ClickHouse.",
        }),
        rowsRead: z.int(),
        waitedMs: z.number().meta({ description: "Of `elapsedMs`: how long the statement waited until ClickHouse had a core for it." }),
        elapsedMs: z.number(),
      }),
    ),
  })
  .meta({ id: "Explanation" });
export type Explanation = z.infer<typeof explanationSchema>;

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
      sources: z.array(sourceSchema).meta({ description: "Which rows were read for which part of the range." }),
      compare: z
        .object({ from: timeSchema, to: timeSchema, coverage: coverageSchema })
        .optional()
        .meta({ description: "With `compare`: the earlier window. Its distance is a whole number of steps." }),
      rowsRead: z.int().meta({ description: "Rows that were read to make the answer; 0 = all of it was known." }),
      elapsedMs: z
        .number()
        .meta({ description: "How long it took to make; of an answer that was made for somebody who asked the same (header `Age`), then." }),
      plannerMs: z.number().meta({ description: "Of `elapsedMs`: what it took to choose what to read, outside of the databases." }),
      assemblyMs: z.number().meta({ description: "Of `elapsedMs`: what it took to make the answer out of what was read, outside of the databases." }),
      explain: explanationSchema.optional(),
    }),
    series: z.array(z.union([valueSeriesSchema, heatmapSeriesSchema])),
  })
  .meta({ id: "Answer" });
export type Answer = z.infer<typeof answerSchema>;
