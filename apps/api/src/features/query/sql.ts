// SPDX-License-Identifier: Apache-2.0
import type { Signal } from "@waggle/signals";
import type { Selection } from "./measures.ts";
import type { Source } from "./sources.ts";
import type { Steps } from "./time-range.ts";
import { type Filter, globToLike } from "./where.ts";

/** A query that has been checked against the catalogue: every name in it may stand in SQL. */
export interface Plan {
  /** The caller's organisation. */
  readonly tenant: string;
  readonly signal: Signal;
  readonly selections: readonly Selection[];
  /** Dimensions of the signal, or `host`. */
  readonly by: readonly string[];
  /** Filters on dimensions of the signal; the host filter is resolved into `hosts`. */
  readonly filters: readonly Filter[];
  /** Values of the `host` column; null = every host of the tenant. */
  readonly hosts: readonly string[] | null;
  readonly steps: Steps;
  readonly limit: number;
}

/** SQL with typed parameters. Values never stand in the text. */
export interface Statement {
  readonly sql: string;
  readonly parameters: Readonly<Record<string, unknown>>;
}

/** Collects parameter values and hands out their placeholders. A value that is used twice is sent once: a host list can be long. */
export class Parameters {
  readonly values: Record<string, unknown> = {};
  private readonly placeholders = new Map<string, Map<unknown, string>>();

  add(type: string, value: unknown): string {
    const ofType = this.placeholders.get(type) ?? new Map<unknown, string>();
    this.placeholders.set(type, ofType);
    let placeholder = ofType.get(value);
    if (placeholder === undefined) {
      const name = `p${Object.keys(this.values).length}`;
      this.values[name] = value;
      placeholder = `{${name}:${type}}`;
      ofType.set(value, placeholder);
    }
    return placeholder;
  }
}

/** One column of `aggregated`. */
export interface Part {
  readonly name: string;
  /** Over a table's rows; may depend on the level. */
  readonly inner: string | ((source: Source) => string);
  /** The aggregate function that puts together what `inner` gave for each table. */
  readonly merge: string;
}

export const sumPart = (name: string, inner: Part["inner"]): Part => ({ name, inner, merge: "sum" });
export const minPart = (name: string, inner: Part["inner"]): Part => ({ name, inner, merge: "min" });
export const maxPart = (name: string, inner: Part["inner"]): Part => ({ name, inner, merge: "max" });

/** A column to group by: `alias`, and what it is. */
export interface Key {
  readonly alias: string;
  readonly expression: string | ((source: Source) => string);
}

export interface Aggregation {
  readonly sources: readonly Source[];
  readonly keys: readonly Key[];
  readonly parts: readonly Part[];
  /** The table of a source. */
  readonly table: (source: Source) => string;
  /** The whole condition, which starts with the tenant. */
  readonly where: (source: Source) => string;
  /** `ARRAY JOIN …` */
  readonly join?: string;
}

/**
 * A SELECT that aggregates rows of several tables as if they were one. Each table is aggregated on its own first: on a cluster that happens on
 * the shards, and only groups travel.
 */
export function aggregated({ sources, keys, parts, table, where, join = "" }: Aggregation): string {
  const names = keys.map((key) => key.alias);
  const groupBy = names.length === 0 ? "" : `GROUP BY ${list(names)}`;
  const of = (expression: Part["inner"], source: Source): string => (typeof expression === "string" ? expression : expression(source));
  const branches = sources.map(
    (source) => `
      SELECT ${list([...keys.map((key) => `${of(key.expression, source)} AS ${key.alias}`), ...parts.map((part) => `${of(part.inner, source)} AS ${part.name}`)])}
      FROM ${identifier(table(source))} FINAL ${join}
      WHERE ${where(source)}
      ${groupBy}`,
  );
  const [first = ""] = branches;
  if (branches.length === 1) return first;
  return `
      SELECT ${list([...names, ...parts.map((part) => `${part.merge}(branch.${part.name}) AS ${part.name}`)])}
      FROM (${branches.join("\n      UNION ALL")}) AS branch
      ${groupBy}`;
}

/** Tenant, time and hosts: the start of every condition. */
export function scopeOf(plan: Plan, source: Source, parameters: Parameters): string {
  const { tenant, hosts } = plan;
  const parts = [
    `tenant = ${parameters.add("String", tenant)}`,
    `ts >= fromUnixTimestamp64Milli(${parameters.add("Int64", source.fromMs)}, 'UTC')`,
    `ts < fromUnixTimestamp64Milli(${parameters.add("Int64", source.toMs)}, 'UTC')`,
  ];
  if (hosts !== null) parts.push(`host IN ${hostSet(hosts, parameters)}`);
  return parts.join(" AND ");
}

/** ClickHouse takes at most 128 KiB in one parameter, which is some 3,000 host ids. */
const HOSTS_PER_PARAMETER = 2_000;
const chunksOf = new WeakMap<readonly string[], readonly (readonly string[])[]>();

function hostSet(hosts: readonly string[], parameters: Parameters): string {
  if (hosts.length <= HOSTS_PER_PARAMETER) return parameters.add("Array(String)", hosts);
  let chunks = chunksOf.get(hosts);
  if (chunks === undefined) {
    chunks = Array.from({ length: Math.ceil(hosts.length / HOSTS_PER_PARAMETER) }, (_, i) =>
      hosts.slice(i * HOSTS_PER_PARAMETER, (i + 1) * HOSTS_PER_PARAMETER),
    );
    chunksOf.set(hosts, chunks);
  }
  return `arrayConcat(${list(chunks.map((chunk) => parameters.add("Array(String)", chunk)))})`;
}

/** `scopeOf` and the plan's filters. */
export function conditionsOf(plan: Plan, source: Source, parameters: Parameters): string {
  return [scopeOf(plan, source, parameters), ...plan.filters.map((filter) => condition(filter, parameters))].join(" AND ");
}

const exactOf = new WeakMap<Filter, readonly string[]>();

function condition(filter: Filter, parameters: Parameters): string {
  const column = identifier(filter.key);
  let exact = exactOf.get(filter);
  if (exact === undefined) {
    exact = filter.patterns.filter((pattern) => !pattern.glob).map((pattern) => pattern.text);
    exactOf.set(filter, exact);
  }
  const any = [
    ...(exact.length > 0 ? [`${column} IN ${parameters.add("Array(String)", exact)}`] : []),
    ...filter.patterns.filter((pattern) => pattern.glob).map((pattern) => `${column} LIKE ${parameters.add("String", globToLike(pattern.text))}`),
  ].join(" OR ");
  return filter.negated ? `NOT (${any})` : `(${any})`;
}

/** The number of the step that a row falls into. */
export function stepKey(plan: Plan, parameters: Parameters): Key {
  const { fromMs, stepMs } = plan.steps;
  return {
    alias: "step",
    expression: `toUInt32(intDiv(toUnixTimestamp64Milli(ts) - ${parameters.add("Int64", fromMs)}, ${parameters.add("Int64", stepMs)}))`,
  };
}

/** When the newest window that a row speaks for ended. */
export function endOf(source: Source): string {
  return source.level === "raw" ? "ts + toIntervalMillisecond(window_ms)" : "last_end";
}

export function list(parts: readonly string[]): string {
  return parts.join(", ");
}

/** Names come from the catalogue; this is the second lock on the door. */
export function identifier(name: string): string {
  if (!/^[a-z][a-z0-9_]*$/.test(name)) throw new TypeError(`"${name}" cannot be an identifier`);
  return `\`${name}\``;
}
