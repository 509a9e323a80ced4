// SPDX-License-Identifier: Apache-2.0
import { tableName } from "@waggle/signals";
import type { Planned } from "../query/planner.ts";
import type { Source } from "../query/sources.ts";
import { aggregated, conditionsOf, identifier, list, Parameters, type Part, type Plan, type Statement, sumPart } from "../query/sql.ts";

/** Values of one dimension that are compared; the largest of each side. */
export const VALUES_MAX = 5_000;

/** What is added up. */
export type Quantity =
  | { readonly kind: "sum"; readonly column: string }
  /** A gauge's value × time in ms. */
  | { readonly kind: "time"; readonly column: string }
  /** Values in buckets above this one. */
  | { readonly kind: "above"; readonly bucket: number };

/** A row of `valuesStatement`. */
export interface ValueRow {
  readonly dimension: string;
  readonly value: string;
  readonly amount: number;
  /** Of the whole dimension: everything, and how many values there are. */
  readonly total: number;
  readonly values: number;
}

/** What the values of dimensions add up to, in one pass over the rows. Columns as of `ValueRow`. */
export function valuesStatement({ plan, readings }: Planned, dimensions: readonly string[], quantity: Quantity): Statement {
  const parameters = new Parameters();
  const sql = aggregated({
    sources: readings[0]?.sources ?? [],
    keys: dimensions.map((name, index) => ({ alias: `g${index}`, expression: `toString(${identifier(name)})` })),
    parts: [partOf(quantity, parameters)],
    ...tableOf(plan, parameters),
  });
  const pairs = dimensions.map((name, index) => `(${parameters.add("String", name)}, g${index})`);
  return parameters.statement(`
    SELECT dimension, value, amount, sum(amount) OVER (PARTITION BY dimension) AS total, count() OVER (PARTITION BY dimension) AS values
    FROM (
      SELECT pair.1 AS dimension, pair.2 AS value, sum(part) AS amount
      FROM (${sql}) AS found
      ARRAY JOIN [${list(pairs)}] AS pair
      GROUP BY dimension, value
    )
    ORDER BY dimension, amount DESC, value
    LIMIT ${parameters.add("UInt32", VALUES_MAX)} BY dimension`);
}

/** Hosts that have rows. Column: host_id. */
export function hostsWithRowsStatement({ plan, readings }: Planned): Statement {
  const parameters = new Parameters();
  const sql = aggregated({
    sources: readings[0]?.sources ?? [],
    keys: [{ alias: "host_id", expression: "toString(host)" }],
    parts: [{ name: "newest", inner: "max(ts)", merge: "max" }],
    isFinal: false,
    ...tableOf(plan, parameters),
  });
  return parameters.statement(`SELECT host_id FROM (${sql}) AS found`);
}

/** Facts of the selection that are compared; those that most of its hosts have. */
const FACTS_MAX = 5_000;

export interface FactRow {
  readonly fact: string;
  readonly value: string;
  /** Hosts of the selection, and of the others, that have this value, and that report the fact at all. */
  readonly a: number;
  readonly b: number;
  readonly a_total: number;
  readonly b_total: number;
}

/**
 * How many hosts of two sets reported each fact. Columns as of `FactRow`.
 * @param plan of `host_facts`
 * @param others null: all hosts but those of the selection
 */
export function factsStatement(plan: Plan, sources: readonly Source[], selection: readonly string[], others: readonly string[] | null): Statement {
  const parameters = new Parameters();
  const inA = isIn("host", selection, parameters);
  const inB = others === null ? `NOT ${inA}` : isIn("host", others, parameters);
  const state = (name: string, condition: string): Part => ({ name, inner: `uniqExactIfState(host, ${condition})`, merge: "uniqExactIfMergeState" });
  const sql = aggregated({
    sources,
    keys: [
      { alias: "fact_name", expression: "toString(fact)" },
      { alias: "fact_value", expression: "value" },
    ],
    parts: [state("in_a", inA), state("in_b", inB)],
    // Hosts are counted, not rows.
    isFinal: false,
    ...tableOf(plan, parameters),
  });
  return parameters.statement(`
    SELECT * FROM (
      SELECT fact_name AS fact, fact_value AS value, finalizeAggregation(in_a) AS a, finalizeAggregation(in_b) AS b,
        sum(a) OVER (PARTITION BY fact) AS a_total, sum(b) OVER (PARTITION BY fact) AS b_total
      FROM (${sql}) AS told
    )
    WHERE a > 0
    ORDER BY a DESC
    LIMIT ${parameters.add("UInt32", FACTS_MAX)}`);
}

/** Ids whose parameter stays below what ClickHouse takes in one. */
const HOSTS_PER_PARAMETER = 2_000;

function isIn(column: string, hosts: readonly string[], parameters: Parameters): string {
  if (hosts.length === 0) return "0";
  const chunks = Array.from({ length: Math.ceil(hosts.length / HOSTS_PER_PARAMETER) }, (_, i) =>
    parameters.add("Array(String)", hosts.slice(i * HOSTS_PER_PARAMETER, (i + 1) * HOSTS_PER_PARAMETER)),
  );
  return `(${column} IN ${chunks.length === 1 ? chunks[0] : `arrayConcat(${list(chunks)})`})`;
}

function partOf(quantity: Quantity, parameters: Parameters): Part {
  switch (quantity.kind) {
    case "sum":
      return sumPart("part", `sum(${identifier(quantity.column)})`);
    case "time":
      return sumPart("part", ({ level }) =>
        level === "raw" ? `sum(${identifier(quantity.column)} * window_ms)` : `sum(${identifier(`${quantity.column}_time`)})`,
      );
    case "above":
      return sumPart("part", `sum(arraySum((bucket, n) -> if(bucket > ${parameters.add("UInt16", quantity.bucket)}, n, 0), \`k\`, \`c\`))`);
  }
}

function tableOf(plan: Plan, parameters: Parameters) {
  return {
    table: ({ level, scope }: Source) => tableName(plan.signal, level, scope),
    where: (source: Source) => conditionsOf(plan, source, parameters),
  };
}
