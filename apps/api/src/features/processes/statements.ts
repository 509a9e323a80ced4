// SPDX-License-Identifier: Apache-2.0
import { OTHER, tableName } from "@waggle/signals";
import type { Planned } from "../query/planner.ts";
import { aggregated, conditionsOf, identifier, type Key, list, Parameters, type Statement } from "../query/sql.ts";
import type { ProcessColumn } from "./process-columns.ts";

/** Groups whose parameter stays below what ClickHouse takes in one, even where every character of a name has to be escaped. */
const GROUPS_PER_PARAMETER = 25;

/** The groups with the largest value of a column, largest first. Columns: g0…, groups (how many there are in all). */
export function processRanking(planned: Planned, column: ProcessColumn, limit: number): Statement {
  const { plan } = planned;
  const parameters = new Parameters();
  const keys = plan.by.map((name, index) => ({ alias: `g${index}`, expression: `toString(${identifier(name)})` }));
  const names = keys.map((key) => key.alias);
  const sql = aggregated({ sources: sourcesOf(planned), keys, parts: [column.part], ...tableOf(planned, parameters) });
  return parameters.statement(`
    SELECT ${list(names)}, count() OVER () AS groups
    FROM (${sql}) AS found
    WHERE g0 != ${parameters.add("String", OTHER)} AND ${column.value(column.part.name)} > 0
    ORDER BY ${column.value(column.part.name)} DESC, ${list(names)}
    LIMIT ${parameters.add("UInt32", limit)}`);
}

/** The values of columns of one signal: g0…, and each column under its part's name. What is not in `top` is in the group `~other`. */
export function processValues(planned: Planned, columns: readonly ProcessColumn[], top: readonly (readonly string[])[]): Statement {
  const { plan } = planned;
  const parameters = new Parameters();
  const chunks = Array.from({ length: Math.ceil(top.length / GROUPS_PER_PARAMETER) }, (_, i) =>
    parameters.add("Array(Array(String))", top.slice(i * GROUPS_PER_PARAMETER, (i + 1) * GROUPS_PER_PARAMETER)),
  );
  const own = plan.by.map((name) => `toString(${identifier(name)})`);
  const isShown =
    chunks.length === 0
      ? "0"
      : `(${list(own)}) GLOBAL IN (SELECT ${list(own.map((_, i) => `shown[${i + 1}]`))} FROM (SELECT arrayJoin(arrayConcat(${list(chunks)})) AS shown))`;
  const other = parameters.add("String", OTHER);
  const keys: Key[] = own.map((column, index) => ({ alias: `g${index}`, expression: `if(${isShown}, ${column}, ${other})` }));
  const sql = aggregated({ sources: sourcesOf(planned), keys, parts: columns.map((column) => column.part), ...tableOf(planned, parameters) });
  const values = columns.map((column) => `${column.value(`found.${column.part.name}`)} AS ${column.part.name}`);
  return parameters.statement(`SELECT ${list([...keys.map((key) => key.alias), ...values])} FROM (${sql}) AS found`);
}

function sourcesOf({ readings }: Planned) {
  return readings[0]?.sources ?? [];
}

function tableOf({ plan }: Planned, parameters: Parameters) {
  return {
    table: ({ level, scope }: Planned["hostSources"][number]) => tableName(plan.signal, level, scope),
    where: (source: Planned["hostSources"][number]) => conditionsOf(plan, source, parameters),
  };
}
