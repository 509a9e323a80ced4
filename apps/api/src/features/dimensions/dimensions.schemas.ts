// SPDX-License-Identifier: Apache-2.0
import { WHERE_LENGTH_MAX } from "@waggle/query";
import { z } from "zod";
import { wholeNumber } from "../../common/query-string.ts";
import { instantParameter } from "../query/query.schemas.ts";

export const VALUES_MAX = 1_000;
const text = z.string().max(256);

export const dimensionValuesParametersSchema = z.strictObject({
  signal: z
    .string()
    .min(1)
    .max(64)
    .optional()
    .meta({ description: "Where to look. Left out: the first signal that has the dimension, and values of it." }),
  prefix: text.default("").meta({ description: "What values begin with.", examples: ["ngi"] }),
  q: text.default("").meta({ description: "What values contain, in upper or lower case." }),
  where: z.string().max(WHERE_LENGTH_MAX).default("").meta({ description: "Filter on the rows that are looked at, as of the query object." }),
  from: instantParameter.default("now-1h"),
  to: instantParameter.default("now"),
  limit: wholeNumber(VALUES_MAX).default(20),
});
export type DimensionValuesParameters = z.output<typeof dimensionValuesParametersSchema>;

export const dimensionValueSchema = z.object({
  value: z.string(),
  volume: z
    .number()
    .nullable()
    .meta({ description: "What the rows with this value add up to; of tags and facts of hosts: how many hosts; null for `host`." }),
});

export const dimensionValuesSchema = z
  .object({
    meta: z.object({
      dimension: z.string(),
      signal: z.string().nullable().meta({ description: "Whose rows the values are from; null for `host`, tags and facts of hosts." }),
      signals: z.array(z.string()).meta({ description: "All signals that have the dimension." }),
      measure: z.string().nullable().meta({ description: "What `volume` adds up; null where `signal` is." }),
      unit: z.string().nullable(),
      from: z.iso.datetime(),
      to: z.iso.datetime(),
      truncated: z.object({ shown: z.int(), total: z.int() }).nullable(),
      rowsRead: z.int(),
      elapsedMs: z.number(),
    }),
    data: z
      .array(dimensionValueSchema)
      .meta({ description: "Largest volume first; hosts by name. Unknown (empty) values and `~other` are left out." }),
  })
  .meta({ id: "DimensionValues" });
export type DimensionValues = z.infer<typeof dimensionValuesSchema>;
