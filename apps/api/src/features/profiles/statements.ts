// SPDX-License-Identifier: Apache-2.0
import { tableName } from "@waggle/signals";
import type { Planned } from "../query/planner.ts";
import { aggregated, and, conditionsOf, identifier, list, Parameters, type Statement, sumPart } from "../query/sql.ts";

/** Stacks of one selection; what lies beyond is summed. */
export const STACKS_MAX = 20_000;
/** 16 hex digits each: below what ClickHouse takes in one parameter. */
const STACKS_PER_PARAMETER = 4_000;

/** A row of `stacksStatement`. */
export interface StackRow {
  readonly label: string;
  readonly stack: string;
  readonly values: readonly number[];
  /** Of all stacks. */
  readonly totals: readonly number[];
  readonly stacks: number;
}

/**
 * The stacks with the most of the last measure. Columns as of `StackRow`.
 * @param measures columns that are added up
 * @param label the dimension that stacks are told apart by as well; null: by none
 */
export function stacksStatement({ plan, readings }: Planned, measures: readonly string[], label: string | null): Statement {
  const parameters = new Parameters();
  const names = measures.map((_, index) => `v${index}`);
  const sql = aggregated({
    sources: readings[0]?.sources ?? [],
    keys: [
      { alias: "label", expression: label === null ? "''" : `toString(${identifier(label)})` },
      { alias: "stack_name", expression: "stack" },
    ],
    parts: measures.map((measure, index) => sumPart(`v${index}`, `sum(${identifier(measure)})`)),
    table: ({ level, scope }) => tableName(plan.signal, level, scope),
    where: (source) => conditionsOf(plan, source, parameters),
  });
  return parameters.statement(`
    SELECT label, stack_name AS stack, [${list(names)}] AS values, [${list(names.map((name) => `sum(${name}) OVER ()`))}] AS totals, count() OVER () AS stacks
    FROM (${sql}) AS found
    ORDER BY ${names.at(-1)} DESC, stack, label
    LIMIT ${parameters.add("UInt32", STACKS_MAX)}`);
}

/** The frames of stacks. Columns: stack, frames. @param planned of `stack_frames`, whose filters are the stacks' only condition besides time and tenant */
export function framesStatement({ plan, readings }: Planned, stacks: readonly string[]): Statement {
  const parameters = new Parameters();
  const chunks = Array.from({ length: Math.ceil(stacks.length / STACKS_PER_PARAMETER) }, (_, i) =>
    parameters.add("Array(String)", stacks.slice(i * STACKS_PER_PARAMETER, (i + 1) * STACKS_PER_PARAMETER)),
  );
  const wanted = chunks.length === 1 ? chunks[0] : `arrayConcat(${list(chunks)})`;
  const sql = aggregated({
    sources: readings[0]?.sources ?? [],
    keys: [{ alias: "stack_name", expression: "stack" }],
    parts: [{ name: "text", inner: "any(frames)", merge: "any" }],
    table: ({ level, scope }) => tableName(plan.signal, level, scope),
    where: (source) => and(conditionsOf(plan, source, parameters), `stack IN ${wanted}`),
  });
  return parameters.statement(`SELECT stack_name AS stack, text AS frames FROM (${sql}) AS named`);
}
