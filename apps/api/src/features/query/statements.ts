// SPDX-License-Identifier: Apache-2.0
import { OTHER, reportingStates, type Signal } from "@waggle/signals";
import type { Form, Selection } from "./measures.ts";
import { type Steps, WINDOW_MS } from "./time-range.ts";
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
class Parameters {
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

/** The groups with the largest totals, largest first. Columns: g0…, total, groups (how many there are in all). */
export function rankStatement(plan: Plan): Statement {
  const parameters = new Parameters();
  const names = plan.by.map((_, index) => `g${index}`);
  const columns = plan.by.map((name, index) => `toString(${identifier(name)}) AS g${index}`);
  // The agent's own overflow row joins the rest; it is nobody's series.
  const allOther = names.map((name) => `${name} = ${parameters.add("String", OTHER)}`).join(" AND ");
  const sql = `
    SELECT ${names.join(", ")}, total, count() OVER () AS groups
    FROM (
      SELECT ${columns.join(", ")}, ${rankExpression(plan)} AS total
      FROM ${rows(plan)}
      WHERE ${conditions(plan, parameters)}
      GROUP BY ${names.join(", ")}
    )
    WHERE NOT (${allOther})
    ORDER BY total DESC, ${names.join(", ")}
    LIMIT ${parameters.add("UInt32", plan.limit)}`;
  return { sql, parameters: parameters.values };
}

function rankExpression(plan: Plan): string {
  if (plan.signal.kind === "histogram") return "sum(`count`)";
  return `sum(${identifier((plan.selections[0] as Selection).measure)})`;
}

/**
 * The values of all selections of one form. Columns: step, g0…, then v0… in the order of the selections (sums, gauges), or as
 * `extents` and `buckets` say.
 * @param top the groups that get a series of their own; everything else becomes `~other`. null = all of them.
 */
export function seriesStatement(plan: Plan, form: Form, selections: readonly Selection[], top: readonly (readonly string[])[] | null): Statement {
  const parameters = new Parameters();
  const context: Context = { plan, parameters, groups: groupColumns(plan, top, parameters), names: plan.by.map((_, index) => `g${index}`) };
  const sql = {
    sums: () => sums(context, selections),
    gaugesByHost: () => gaugesByHost(context, selections),
    gaugesByWindow: () => gaugesByWindow(context, selections),
    extents: () => extents(context),
    buckets: () => buckets(context),
  }[form]();
  return { sql, parameters: parameters.values };
}

interface Context {
  readonly plan: Plan;
  readonly parameters: Parameters;
  /** `… AS g0`, `… AS g1` */
  readonly groups: readonly string[];
  readonly names: readonly string[];
}

/**
 * A rate divides each host's sum by the time that host reported in the step, and only then adds up hosts: a host that was away for
 * half the step must not look half as busy.
 */
function sums({ plan, parameters, groups, names }: Context, selections: readonly Selection[]): string {
  const isRate = selections.some((selection) => selection.aggregate === "rate");
  const measures = [...new Set(selections.map((selection) => selection.measure))];
  const totals = measures.map((measure, index) => `sum(${identifier(measure)}) AS s${index}`);
  if (!isRate) {
    const values = selections.map((selection, index) => `s${measures.indexOf(selection.measure)} AS v${index}`);
    return `
    SELECT ${list(["step", ...names, ...values])}
    FROM (
      SELECT ${list([step(plan, parameters), ...groups, ...totals])}
      FROM ${rows(plan)}
      WHERE ${conditions(plan, parameters)}
      GROUP BY ${list(["step", ...names])}
    )`;
  }
  const values = selections.map((selection, index) => {
    const total = `s${measures.indexOf(selection.measure)}`;
    return `${selection.aggregate === "rate" ? `sum(toFloat64(${total}) * 1000 / nullIf(covered_ms, 0))` : `sum(${total})`} AS v${index}`;
  });
  return `
    SELECT ${list(["step", ...names, ...values])}
    FROM (
      SELECT ${list(["host", step(plan, parameters), ...groups, ...totals])}
      FROM ${rows(plan)}
      WHERE ${conditions(plan, parameters)}
      GROUP BY ${list(["host", "step", ...names])}
    ) AS hosts
    ANY LEFT JOIN (${coveredTime(plan, parameters)}) AS cover USING (host, step)
    GROUP BY ${list(["step", ...names])}`;
}

/** last: each host's value in its newest reported window; avg: over the time the host reported. A reported window without a row is 0. */
function gaugesByHost({ plan, parameters, groups, names }: Context, selections: readonly Selection[]): string {
  const measures = [...new Set(selections.map((selection) => selection.measure))];
  const totals = measures.map((measure, index) => `sum(${identifier(measure)}) AS s${index}`);
  const values = selections.map((selection, index) => {
    const total = `s${measures.indexOf(selection.measure)}`;
    return selection.aggregate === "last"
      ? `sumIf(${total}, ts = last_ts) AS v${index}`
      : `sum(toFloat64(${total}) * length_ms / nullIf(covered_ms, 0)) AS v${index}`;
  });
  return `
    SELECT ${list(["step", ...names, ...values])}
    FROM (
      SELECT ${list(["host", "ts", step(plan, parameters), "any(window_ms) AS length_ms", ...groups, ...totals])}
      FROM ${rows(plan)}
      WHERE ${conditions(plan, parameters)}
      GROUP BY ${list(["host", "ts", "step", ...names])}
    ) AS hosts
    ANY LEFT JOIN (${coveredTime(plan, parameters)}) AS cover USING (host, step)
    GROUP BY ${list(["step", ...names])}`;
}

/**
 * min and max of the sum over hosts at one moment. Moments are window slots on the wall clock, so that a host whose agent
 * started in the middle of a window lines up with the others; of two windows in one slot the later counts.
 */
function gaugesByWindow({ plan, parameters, groups, names }: Context, selections: readonly Selection[]): string {
  const measures = [...new Set(selections.map((selection) => selection.measure))];
  const index = (selection: Selection): number => measures.indexOf(selection.measure);
  const slot = `intDiv(toUnixTimestamp64Milli(ts), ${WINDOW_MS})`;
  const values = selections.map((selection, position) => {
    const total = `t${index(selection)}`;
    // A slot that was reported but has no row for this group held 0.
    return `${selection.aggregate === "max" ? `max(${total})` : `if(count() < any(covered_slots), 0, min(${total}))`} AS v${position}`;
  });
  return `
    SELECT ${list(["step", ...names, ...values])}
    FROM (
      SELECT ${list(["step", "slot", ...names, ...measures.map((_, i) => `sum(r${i}) AS t${i}`)])}
      FROM (
        SELECT ${list(["host", "step", `${slot} AS slot`, ...names, ...measures.map((_, i) => `argMax(s${i}, ts) AS r${i}`)])}
        FROM (
          SELECT ${list(["host", "ts", step(plan, parameters), ...groups, ...measures.map((measure, i) => `sum(${identifier(measure)}) AS s${i}`)])}
          FROM ${rows(plan)}
          WHERE ${conditions(plan, parameters)}
          GROUP BY ${list(["host", "ts", "step", ...names])}
        )
        GROUP BY ${list(["host", "step", "slot", ...names])}
      )
      GROUP BY ${list(["step", "slot", ...names])}
    ) AS slots
    ANY LEFT JOIN (
      SELECT ${step(plan, parameters)}, uniqExact(${slot}) AS covered_slots
      FROM ${coverageRows(plan, parameters)}
      GROUP BY step
    ) AS cover USING (step)
    GROUP BY ${list(["step", ...names])}`;
}

/** Columns behind the groups: count, sum, min, max. */
function extents({ plan, parameters, groups, names }: Context): string {
  return `
    SELECT ${list([step(plan, parameters), ...groups, "sum(`count`) AS n", "sum(`sum`) AS total", "min(`min`) AS lowest", "max(`max`) AS highest"])}
    FROM ${rows(plan)}
    WHERE ${conditions(plan, parameters)} AND \`count\` > 0
    GROUP BY ${list(["step", ...names])}`;
}

/** Columns behind the groups: bucket indexes (ascending), their counts, min, max. */
function buckets({ plan, parameters, groups, names }: Context): string {
  return `
    SELECT ${list(["step", ...names, "groupArray(bucket) AS indexes", "groupArray(n) AS counts", "min(lowest) AS least", "max(highest) AS most"])}
    FROM (
      SELECT ${list([step(plan, parameters), ...groups, "bucket", "sum(amount) AS n", "min(`min`) AS lowest", "max(`max`) AS highest"])}
      FROM ${rows(plan)} ARRAY JOIN \`k\` AS bucket, \`c\` AS amount
      WHERE ${conditions(plan, parameters)}
      GROUP BY ${list(["step", ...names, "bucket"])}
      ORDER BY bucket
    )
    GROUP BY ${list(["step", ...names])}`;
}

/**
 * What every host said about the signal, one row per host: host_id, steps and covered_ms (parallel arrays: time in which the
 * signal was really measured), last_reporting_ms and last_ms (ends of windows, 0 = none), the newest state with its reason, and
 * first_ms (start of the first window in the range).
 */
export function coverageStatement(plan: Plan): Statement {
  const parameters = new Parameters();
  const speaksAll = plan.signal.name === "agent_coverage";
  const reporting = speaksAll ? "1" : `state IN ${parameters.add("Array(String)", reportingStates)}`;
  const state = speaksAll ? "'exact'" : "toString(state)";
  const reason = speaksAll ? "''" : "reason";
  const end = "toUnixTimestamp64Milli(ts) + window_ms";
  const sql = `
    SELECT toString(host) AS host_id, groupArrayIf(step, covered_ms > 0) AS steps, groupArrayIf(covered_ms, covered_ms > 0) AS covered,
      max(reporting_end) AS last_reporting_ms, max(any_end) AS last_ms,
      argMax(step_state, any_end) AS last_state, argMax(step_reason, any_end) AS last_reason, min(any_start) AS first_ms
    FROM (
      SELECT host, ${step(plan, parameters)}, sumIf(window_ms, ${reporting}) AS covered_ms,
        maxIf(${end}, ${reporting}) AS reporting_end, max(${end}) AS any_end, min(toUnixTimestamp64Milli(ts)) AS any_start,
        argMax(${state}, ts) AS step_state, argMax(${reason}, ts) AS step_reason
      FROM ${coverageTable(plan)}
      WHERE ${scope(plan, parameters)}${speaksAll ? "" : ` AND signal = ${parameters.add("String", plan.signal.name)}`}
      GROUP BY host, step
      ORDER BY step
    )
    GROUP BY host`;
  return { sql, parameters: parameters.values };
}

/** How many rows ClickHouse would read, from the primary key alone. Column `rows`. */
export function estimateStatement(statement: Statement): Statement {
  return { sql: `SELECT sum(rows) AS rows FROM (EXPLAIN ESTIMATE ${statement.sql})`, parameters: statement.parameters };
}

/** host, step, covered_ms, last_ts of the reported windows. */
function coveredTime(plan: Plan, parameters: Parameters): string {
  return `
      SELECT host, ${step(plan, parameters)}, sum(window_ms) AS covered_ms, max(ts) AS last_ts
      FROM ${coverageRows(plan, parameters)}
      GROUP BY host, step`;
}

/** Table and conditions of the windows in which the signal was really measured. */
function coverageRows(plan: Plan, parameters: Parameters): string {
  const where = scope(plan, parameters);
  if (plan.signal.name === "agent_coverage") return `${coverageTable(plan)} WHERE ${where}`;
  const signal = parameters.add("String", plan.signal.name);
  return `${coverageTable(plan)} WHERE ${where} AND signal = ${signal} AND state IN ${parameters.add("Array(String)", reportingStates)}`;
}

/** A window that arrived has coverage rows by contract, so `windows` is the coverage of agent_coverage itself. */
function coverageTable(plan: Plan): string {
  return plan.signal.name === "agent_coverage" ? "`windows` FINAL" : "`agent_coverage` FINAL";
}

/** FINAL: a frame that was sent twice counts once, merged or not. */
function rows(plan: Plan): string {
  return `${identifier(plan.signal.name)} FINAL`;
}

/** Tenant, time and hosts: the start of every condition. */
function scope(plan: Plan, parameters: Parameters): string {
  const { tenant, steps, hosts } = plan;
  const parts = [
    `tenant = ${parameters.add("String", tenant)}`,
    `ts >= fromUnixTimestamp64Milli(${parameters.add("Int64", steps.fromMs)}, 'UTC')`,
    `ts < fromUnixTimestamp64Milli(${parameters.add("Int64", steps.toMs)}, 'UTC')`,
  ];
  if (hosts !== null) parts.push(`host IN ${hostSet(plan, hosts, parameters)}`);
  return parts.join(" AND ");
}

/** ClickHouse takes at most 128 KiB in one parameter, which is some 3,000 host ids. */
const HOSTS_PER_PARAMETER = 2_000;
const chunksOf = new WeakMap<Plan, readonly (readonly string[])[]>();

function hostSet(plan: Plan, hosts: readonly string[], parameters: Parameters): string {
  if (hosts.length <= HOSTS_PER_PARAMETER) return parameters.add("Array(String)", hosts);
  let chunks = chunksOf.get(plan);
  if (chunks === undefined) {
    chunks = Array.from({ length: Math.ceil(hosts.length / HOSTS_PER_PARAMETER) }, (_, i) =>
      hosts.slice(i * HOSTS_PER_PARAMETER, (i + 1) * HOSTS_PER_PARAMETER),
    );
    chunksOf.set(plan, chunks);
  }
  return `arrayConcat(${list(chunks.map((chunk) => parameters.add("Array(String)", chunk)))})`;
}

function conditions(plan: Plan, parameters: Parameters): string {
  return [scope(plan, parameters), ...plan.filters.map((filter) => condition(filter, parameters))].join(" AND ");
}

function condition(filter: Filter, parameters: Parameters): string {
  const column = identifier(filter.key);
  const exact = filter.patterns.filter((pattern) => !pattern.glob).map((pattern) => pattern.text);
  const any = [
    ...(exact.length > 0 ? [`${column} IN ${parameters.add("Array(String)", exact)}`] : []),
    ...filter.patterns.filter((pattern) => pattern.glob).map((pattern) => `${column} LIKE ${parameters.add("String", globToLike(pattern.text))}`),
  ].join(" OR ");
  return filter.negated ? `NOT (${any})` : `(${any})`;
}

function groupColumns(plan: Plan, top: readonly (readonly string[])[] | null, parameters: Parameters): string[] {
  if (plan.by.length === 0) return [];
  if (top === null) return plan.by.map((name, index) => `toString(${identifier(name)}) AS g${index}`);
  const shown = `arrayConcat(${list(chunksOfGroups(top).map((chunk) => parameters.add("Array(Array(String))", chunk)))})`;
  const parts = plan.by.map((_, index) => `shown[${index + 1}]`);
  // GLOBAL, for a cluster: each server would make the set itself, and give it a name that the asking one does not know.
  const isShown = `(${plan.by.map((name) => `toString(${identifier(name)})`).join(", ")}) GLOBAL IN (SELECT ${parts.join(", ")} FROM (SELECT arrayJoin(${shown}) AS shown))`;
  const other = parameters.add("String", OTHER);
  return plan.by.map((name, index) => `if(${isShown}, toString(${identifier(name)}), ${other}) AS g${index}`);
}

/** A parameter's 128 KiB, less what escaping may add: a backslash becomes four. */
const GROUP_BYTES_PER_PARAMETER = 24 * 1_024;

function chunksOfGroups(groups: readonly (readonly string[])[]): (readonly string[])[][] {
  const chunks: (readonly string[])[][] = [[]];
  let bytes = 0;
  for (const group of groups) {
    const size = group.reduce((sum, value) => sum + Buffer.byteLength(value) + 8, 8);
    if (bytes > 0 && bytes + size > GROUP_BYTES_PER_PARAMETER) {
      chunks.push([]);
      bytes = 0;
    }
    chunks.at(-1)?.push(group);
    bytes += size;
  }
  return chunks;
}

function step(plan: Plan, parameters: Parameters): string {
  return `toUInt32(intDiv(toUnixTimestamp64Milli(ts) - ${parameters.add("Int64", plan.steps.fromMs)}, ${parameters.add("Int64", plan.steps.stepMs)})) AS step`;
}

function list(parts: readonly string[]): string {
  return parts.join(", ");
}

/** Names come from the catalogue; this is the second lock on the door. */
function identifier(name: string): string {
  if (!/^[a-z][a-z0-9_]*$/.test(name)) throw new TypeError(`"${name}" cannot be an identifier`);
  return `\`${name}\``;
}
