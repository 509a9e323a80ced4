// SPDX-License-Identifier: Apache-2.0
import { type Filter, globToLike, isHostKey } from "@waggle/query";
import type { Signal } from "@waggle/signals";
import type { HostValues } from "./host-values.ts";
import type { Selection } from "./measures.ts";
import type { Source } from "./sources.ts";
import type { Steps, TimeRange } from "./time-range.ts";

/** A query that has been checked against the catalogue: every name in it may stand in SQL. */
export interface Plan {
  /** The caller's organisation. */
  readonly tenant: string;
  readonly signal: Signal;
  readonly selections: readonly Selection[];
  /** Dimensions of the signal, `host`, or what is known of hosts (`kernel`, `tag.env`). */
  readonly by: readonly string[];
  /** What `by` is called in the answer; left out: by its own names. */
  readonly labels?: readonly string[];
  /** Of the keys of `by` that are known of hosts: each host's value. */
  readonly hostValues?: ReadonlyMap<string, HostValues>;
  /** Filters on dimensions of the signal; the host filter is resolved into `hosts`. */
  readonly filters: readonly Filter[];
  /** Values of the `host` column; null = every host of the tenant. */
  readonly hosts: readonly string[] | null;
  readonly steps: Steps;
  readonly limit: number;
  /** Sets of filters: rows are told apart by whether each lets them pass, too. */
  readonly marks?: readonly (readonly Filter[])[];
  /** The condition that picks the groups which may be in the answer; left out: all. */
  readonly passing?: (parameters: Parameters) => string;
}

/** SQL with typed parameters. Values never stand in the text. */
export interface Statement {
  readonly sql: string;
  readonly parameters: Readonly<Record<string, unknown>>;
  /** What it reads, from first to last; left out: not known, and its answer is never kept. */
  readonly reads?: Reads;
  /** Names what the tables held when it was asked: of two statements that differ in it neither answers the other. Left out: whoever asks takes what there is. */
  readonly asOf?: string;
}

/** The stretch of time that a statement reads. */
export interface Reads extends TimeRange {
  /** Only rows that are made out of others, of times that all have been looked at. */
  readonly isRolledUp: boolean;
}

/** Collects parameter values and hands out their placeholders. A value that is used twice is sent once: a host list can be long. */
export class Parameters {
  readonly values: Record<string, unknown> = {};
  private readonly placeholders = new Map<string, Map<unknown, string>>();
  private reads: Reads | undefined;

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

  /** Remembers that the statement reads a source. */
  note({ level, fromMs, toMs }: Source): void {
    const { reads } = this;
    this.reads = {
      fromMs: Math.min(fromMs, reads?.fromMs ?? fromMs),
      toMs: Math.max(toMs, reads?.toMs ?? toMs),
      isRolledUp: level !== "raw" && (reads?.isRolledUp ?? true),
    };
  }

  /** The statement that these are the parameters of. */
  statement(sql: string): Statement {
    return { sql, parameters: this.values, ...(this.reads === undefined ? {} : { reads: this.reads }) };
  }
}

declare const scoped: unique symbol;
/** A condition that begins with the tenant. Only `scopeOf` makes one, and only with one can a table be named. */
export type Scoped = string & { readonly [scoped]: true };

/** A condition and more. */
export function and(condition: Scoped, ...more: readonly string[]): Scoped {
  return [condition, ...more].join(" AND ") as Scoped;
}

/** `FROM … WHERE …`: the one place where a statement of a query names a table. */
export function rowsOf(
  table: string,
  where: Scoped,
  { isFinal = true, join = "" }: { readonly isFinal?: boolean; readonly join?: string } = {},
): string {
  // The type says so already; a cast may lie.
  if (!TENANT_FIRST.test(where)) throw new TypeError(`the condition on ${table} does not begin with the tenant`);
  return `FROM ${identifier(table)} ${isFinal ? "FINAL" : ""} ${join}
      WHERE ${where}`;
}

const TENANT_FIRST = /^tenant = \{p\d+:String\} AND /;

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
  /** The whole condition. */
  readonly where: (source: Source) => Scoped;
  /** `ARRAY JOIN …` */
  readonly join?: string;
  /** false: rows that are stored twice, or in an earlier version, may be read as often, where that changes nothing. */
  readonly isFinal?: boolean;
}

/**
 * A SELECT that aggregates rows of several tables as if they were one. Each table is aggregated on its own first: on a cluster that happens on
 * the shards, and only groups travel.
 */
export function aggregated({ sources, keys, parts, table, where, join = "", isFinal = true }: Aggregation): string {
  const names = keys.map((key) => key.alias);
  const groupBy = names.length === 0 ? "" : `GROUP BY ${list(names)}`;
  const of = (expression: Part["inner"], source: Source): string => (typeof expression === "string" ? expression : expression(source));
  const branches = byTable(sources).map(
    (source) => `
      SELECT ${list([...keys.map((key) => `${of(key.expression, source)} AS ${key.alias}`), ...parts.map((part) => `${of(part.inner, source)} AS ${part.name}`)])}
      ${rowsOf(table(source), where(source), { join, isFinal })}
      ${groupBy}`,
  );
  const [first = ""] = branches;
  if (branches.length === 1) return first;
  return `
      SELECT ${list([...names, ...parts.map((part) => `${part.merge}(branch.${part.name}) AS ${part.name}`)])}
      FROM (${branches.join("\n      UNION ALL")}) AS branch
      ${groupBy}`;
}

/** Several stretches of one table. */
interface Stretches extends Source {
  readonly others: readonly Source[];
}

/** Sources with those of one table as one, which is read once: each branch of a statement costs about as much as a small statement. */
function byTable(sources: readonly Source[]): readonly Source[] {
  return [...Map.groupBy(sources, ({ level, scope }) => `${level} ${scope}`).values()].map((own): Source | Stretches => {
    const [first, ...others] = own as [Source, ...Source[]];
    return others.length === 0 ? first : { ...first, others };
  });
}

/** Tenant, time and hosts: the start of every condition. */
export function scopeOf(plan: Pick<Plan, "tenant" | "hosts">, source: Source | Stretches, parameters: Parameters): Scoped {
  const { tenant, hosts } = plan;
  const stretches = "others" in source ? [source, ...source.others] : [source];
  const times = stretches.map((stretch) => {
    parameters.note(stretch);
    const [from, to] = [stretch.fromMs, stretch.toMs].map((ms) => `fromUnixTimestamp64Milli(${parameters.add("Int64", ms)}, 'UTC')`);
    return `ts >= ${from} AND ts < ${to}`;
  });
  const parts = [
    `tenant = ${parameters.add("String", tenant)}`,
    times.length === 1 ? (times[0] as string) : `(${times.map((time) => `(${time})`).join(" OR ")})`,
  ];
  if (hosts !== null) parts.push(`host IN ${hostSet(hosts, parameters)}`);
  return parts.join(" AND ") as Scoped;
}

/** ClickHouse takes at most 128 KiB in one parameter, of which escaping may take a part: a backslash becomes four. */
const TEXT_PER_PARAMETER = 24 * 1_024;
/** Ids need no escaping: some 3,000 fit. */
const HOSTS_PER_PARAMETER = 2_000;
const chunksOf = new WeakMap<readonly unknown[], readonly (readonly unknown[])[]>();

/** A long list in pieces that fit into a parameter each; of one list always the same ones. */
export function chunked<T>(values: readonly T[], countMax: number, sizeOf: (value: T) => number): readonly (readonly T[])[] {
  const known = chunksOf.get(values);
  if (known !== undefined) return known as readonly (readonly T[])[];
  const chunks: T[][] = [[]];
  let bytes = 0;
  for (const value of values) {
    const size = sizeOf(value);
    const last = chunks.at(-1) as T[];
    if (last.length > 0 && (bytes + size > TEXT_PER_PARAMETER || last.length >= countMax)) {
      chunks.push([value]);
      bytes = size;
    } else {
      last.push(value);
      bytes += size;
    }
  }
  chunksOf.set(values, chunks);
  return chunks;
}

function hostSet(hosts: readonly string[], parameters: Parameters): string {
  if (hosts.length <= HOSTS_PER_PARAMETER) return parameters.add("Array(String)", hosts);
  return `arrayConcat(${list(chunked(hosts, HOSTS_PER_PARAMETER, () => 0).map((chunk) => parameters.add("Array(String)", chunk)))})`;
}

function texts(values: readonly string[], parameters: Parameters): string {
  return `arrayConcat(${list(chunked(values, HOSTS_PER_PARAMETER, (value) => Buffer.byteLength(value) + 8).map((chunk) => parameters.add("Array(String)", chunk)))})`;
}

/** What a key of `by` is in SQL. */
export function keyExpression(plan: Plan, name: string, parameters: Parameters): string {
  if (!isHostKey(name)) return identifier(name);
  const values = plan.hostValues?.get(name);
  if (values === undefined) throw new TypeError(`nobody looked up the values of ${name}`);
  if (values.hosts.length === 0) return "''";
  return `transform(toString(host), ${hostSet(values.hosts, parameters)}, ${texts(values.values, parameters)}, '')`;
}

/** `scopeOf` and the plan's filters. */
export function conditionsOf(plan: Plan, source: Source, parameters: Parameters): Scoped {
  return and(
    scopeOf(plan, source, parameters),
    ...plan.filters.map((filter) => filterCondition(filter, parameters)),
    ...(plan.passing === undefined ? [] : [plan.passing(parameters)]),
  );
}

const exactOf = new WeakMap<Filter, readonly string[]>();

/** What a filter asks of a row. */
export function filterCondition(filter: Filter, parameters: Parameters): string {
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
