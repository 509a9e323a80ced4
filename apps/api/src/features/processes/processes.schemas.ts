// SPDX-License-Identifier: Apache-2.0

import { WHERE_LENGTH_MAX } from "@waggle/query";
import { z } from "zod";
import { wholeNumber } from "../../common/query-string.ts";
import { compareParameter, coverageSchema, instantParameter } from "../query/query.schemas.ts";
import { processColumns } from "./process-columns.ts";

const columnCoverageSchema = coverageSchema.pick({ hosts: true, reporting: true, note: true });
const names = processColumns.map((column) => column.name) as [string, ...string[]];
export const PROCESSES_MAX = 200;
const groupings = ["process", "process,unit", "process,host", "process,unit,host"] as const;

export const processesParametersSchema = z.strictObject({
  where: z
    .string()
    .max(WHERE_LENGTH_MAX)
    .default("")
    .meta({ description: "Filter on `host`, `process`, `unit`.", examples: ["host:web-*"] }),
  from: instantParameter.default("now-1h"),
  to: instantParameter.default("now"),
  compare: compareParameter.optional(),
  by: z
    .enum(groupings)
    .default("process")
    .meta({ description: "What makes a row. The same name on several hosts is one row unless `host` is named." }),
  sort: z.enum(names).default("cpu").meta({ description: "The column whose largest values are shown." }),
  limit: wholeNumber(PROCESSES_MAX)
    .default(25)
    .meta({ description: `Rows; at most ${PROCESSES_MAX}. The others are added up in a last row, \`~other\`.` }),
});
export type ProcessesParameters = z.output<typeof processesParametersSchema>;

export const processTableSchema = z
  .object({
    meta: z.object({
      from: z.iso.datetime(),
      to: z.iso.datetime(),
      by: z.array(z.string()),
      sort: z.string(),
      compare: z.object({ from: z.iso.datetime(), to: z.iso.datetime() }).optional().meta({ description: "With `compare`: the earlier window." }),
      truncated: z.object({ shown: z.int(), total: z.int() }).nullable(),
      rowsRead: z.int(),
      elapsedMs: z.number(),
    }),
    columns: z.array(
      z.object({
        name: z.string(),
        signal: z.string().meta({ description: "Where the column comes from." }),
        unit: z.string(),
        help: z.string(),
        coverage: columnCoverageSchema,
        compared: columnCoverageSchema.optional().meta({ description: "With `compare`: coverage of the earlier window." }),
      }),
    ),
    data: z
      .array(
        z.object({
          labels: z.record(z.string(), z.string()),
          values: z
            .record(z.string(), z.number().nullable())
            .meta({ description: "By column. null: nobody reported the column's signal; 0: measured, and nothing counted." }),
          compared: z
            .record(z.string(), z.number().nullable())
            .optional()
            .meta({ description: "With `compare`: by column, what the same row was in the earlier window." }),
        }),
      )
      .meta({ description: "Largest first; `~other` last: all that is not shown, and what agents had no room for." }),
  })
  .meta({ id: "ProcessTable" });
export type ProcessTable = z.infer<typeof processTableSchema>;
