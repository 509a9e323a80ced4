// SPDX-License-Identifier: Apache-2.0
import { catalogue, getSignal, type Signal } from "@waggle/signals";
import { AppError, type FieldProblem } from "../../common/app-error.ts";
import { type Aggregate, measuresOf, type Selection, toSelection } from "./measures.ts";
import { nearestName } from "./nearest-name.ts";
import type { Query } from "./query.schemas.ts";
import { parseTimeRange, type TimeRange } from "./time-range.ts";
import { type Filter, parseWhere } from "./where.ts";

/** A query whose names are all in the catalogue and whose texts are read; hosts are not looked up yet. */
export interface ResolvedQuery {
  readonly signal: Signal;
  readonly selections: readonly Selection[];
  readonly by: readonly string[];
  readonly filters: readonly Filter[];
  readonly hostFilters: readonly Filter[];
  readonly range: TimeRange;
  readonly points: number;
  readonly limit: number;
}

/**
 * Checks a query against the catalogue.
 * @throws AppError SIGNAL_NOT_FOUND, or VALIDATION_FAILED that lists everything that is wrong
 */
export function resolveQuery(query: Query, nowMs: number): ResolvedQuery {
  const signal = resolveSignal(query.signal);
  const problems: FieldProblem[] = [];
  const selections = query.select.flatMap((entry, index) => {
    const selection = resolveSelection(signal, entry, `/select/${index}`);
    if ("form" in selection) return selection;
    problems.push(selection);
    return [];
  });
  const keys = ["host", ...signal.dimensions];
  for (const [index, name] of query.by.entries()) {
    if (keys.includes(name)) continue;
    problems.push({
      pointer: `/by/${index}`,
      detail: `${signal.name} has no dimension \`${name}\`; it has ${keys.join(", ")}.`,
      suggestion: nearestName(name, keys),
    });
  }
  const where = parseWhere(query.where, keys);
  problems.push(...(where.problems ?? []));
  const range = parseTimeRange(query.from, query.to, nowMs);
  if ("problems" in range) problems.push(...range.problems);
  if (problems.length > 0 || "problems" in range) {
    const [first] = problems;
    throw new AppError("VALIDATION_FAILED", problems.length === 1 ? `${first?.pointer}: ${first?.detail}` : `${problems.length} fields are wrong.`, {
      errors: problems,
    });
  }
  const filters = where.filters ?? [];
  return {
    signal,
    selections,
    by: query.by,
    filters: filters.filter((filter) => filter.key !== "host"),
    hostFilters: filters.filter((filter) => filter.key === "host"),
    range: range.range,
    points: query.points,
    limit: query.limit,
  };
}

function resolveSignal(name: string): Signal {
  const signal = getSignal(name);
  if (signal !== undefined) return signal;
  const names = catalogue.map((entry) => entry.name);
  const suggestion = nearestName(name, names);
  const detail = `There is no signal \`${name}\`${suggestion === undefined ? "." : `; did you mean ${suggestion}?`} GET /api/v1/signals lists them.`;
  throw new AppError("SIGNAL_NOT_FOUND", detail, { errors: [{ pointer: "/signal", detail, suggestion }] });
}

function resolveSelection(signal: Signal, entry: Query["select"][number], pointer: string): Selection | FieldProblem {
  const measures = measuresOf(signal);
  const measure = measures.find((candidate) => candidate.name === entry.measure);
  if (measure === undefined) {
    const names = measures.map((candidate) => candidate.name);
    return {
      pointer: `${pointer}/measure`,
      detail: `${signal.name} has no measure \`${entry.measure}\`; it has ${names.join(", ")}.`,
      suggestion: nearestName(entry.measure, names),
    };
  }
  if (!(measure.aggregates as readonly string[]).includes(entry.aggregate)) {
    return {
      pointer: `${pointer}/aggregate`,
      detail: `${signal.name}.${measure.name} cannot be aggregated by \`${entry.aggregate}\`; it takes ${measure.aggregates.join(", ")}.`,
      suggestion: measure.aggregates[0],
    };
  }
  return toSelection(measure, entry.aggregate as Aggregate);
}
