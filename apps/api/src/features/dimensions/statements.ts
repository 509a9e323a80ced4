// SPDX-License-Identifier: Apache-2.0
import { OTHER, tableName } from "@waggle/signals";
import type { Planned } from "../query/planner.ts";
import { aggregated, and, conditionsOf, identifier, Parameters, type Statement, sumPart } from "../query/sql.ts";

/** What values must look like. Empty texts ask nothing. */
export interface ValueText {
  readonly prefix: string;
  /** In upper or lower case. */
  readonly contains: string;
}

/**
 * Values of the plan's one dimension, the largest volume first. Columns: value, volume, values (how many there are in all).
 * @param measure column that is added up
 */
export function valuesStatement({ plan, readings }: Planned, measure: string, { prefix, contains }: ValueText): Statement {
  const parameters = new Parameters();
  const column = `toString(${identifier(plan.by[0] as string)})`;
  const text = [
    ...(prefix === "" ? [] : [`startsWith(${column}, ${parameters.add("String", prefix)})`]),
    ...(contains === "" ? [] : [`positionCaseInsensitiveUTF8(${column}, ${parameters.add("String", contains)}) > 0`]),
    `${column} NOT IN ('', ${parameters.add("String", OTHER)})`,
  ].join(" AND ");
  const sql = aggregated({
    sources: readings[0]?.sources ?? [],
    keys: [{ alias: "value", expression: column }],
    parts: [sumPart("volume", `sum(${identifier(measure)})`)],
    table: ({ level, scope }) => tableName(plan.signal, level, scope),
    where: (source) => and(conditionsOf(plan, source, parameters), text),
  });
  return parameters.statement(`
    SELECT value, volume, count() OVER () AS values
    FROM (${sql}) AS found
    ORDER BY volume DESC, value
    LIMIT ${parameters.add("UInt32", plan.limit)}`);
}
