// SPDX-License-Identifier: Apache-2.0
import { type Comparison, type Filter, isHostKey, keysOf, nearestName, type Operator, parseWhere, resolveKey, type Vocabulary } from "@waggle/query";
import { catalogue, dimensions, getSignal, type Signal } from "@waggle/signals";
import { AppError, type FieldProblem } from "../../common/app-error.ts";
import { summed } from "../../common/validation.ts";
import { type EarlierWindow, parseCompare } from "./earlier-window.ts";
import { type Aggregate, measuresOf, type QueryableMeasure, type Selection, toSelection, unitOf, usualAggregate } from "./measures.ts";
import { POINTS_DEFAULT, POINTS_MAX, type Query } from "./query.schemas.ts";
import { parseStep } from "./steps-asked.ts";
import { parseTimeRange, type TimeRange } from "./time-range.ts";

/** A comparison that only groups with such a value over the whole range pass. */
export interface GroupComparison {
  readonly selection: Selection;
  readonly operator: Operator;
  readonly value: number;
}

/** A query whose names are all in the catalogue and whose texts are read; hosts are not looked up yet. */
export interface ResolvedQuery {
  readonly signal: Signal;
  readonly selections: readonly Selection[];
  readonly by: readonly string[];
  /** What the query calls them. */
  readonly labels: readonly string[];
  /** On dimensions. */
  readonly filters: readonly Filter[];
  /** On `host` and what is known of hosts. */
  readonly hostFilters: readonly Filter[];
  readonly comparisons: readonly GroupComparison[];
  readonly range: TimeRange;
  readonly points: number;
  /** null: as `points` has it. */
  readonly stepMs: number | null;
  readonly limit: number;
  readonly earlier: EarlierWindow | null;
}

/**
 * Checks a query against the catalogue.
 * @param tagKeys keys of the tags that hosts of the organisation have: they can be named without `tag.`
 * @throws AppError SIGNAL_NOT_FOUND, or VALIDATION_FAILED that lists everything that is wrong
 */
export function resolveQuery(query: Query, nowMs: number, tagKeys: readonly string[] = []): ResolvedQuery {
  const signal = resolveSignal(query.signal);
  const problems: FieldProblem[] = [];
  const selections = query.select.flatMap((entry, index) => {
    const selection = resolveSelection(signal, entry, `/select/${index}`);
    if ("form" in selection) return selection;
    problems.push(selection);
    return [];
  });
  const vocabulary = vocabularyOf(signal, selections, tagKeys);
  const by = query.by.flatMap((name, index) => {
    const key = resolveKey(name, vocabulary);
    if (key !== undefined) return key;
    problems.push({
      pointer: `/by/${index}`,
      detail: `${signal.name} has no dimension \`${name}\`; it has ${["host", ...signal.dimensions].join(", ")}.`,
      suggestion: nearestName(name, keysOf(vocabulary)),
    });
    return [];
  });
  if (new Set(by).size < by.length) problems.push({ pointer: "/by", detail: "The same key stands there twice." });
  const where = parseWhere(query.where, vocabulary);
  for (const { start, end, detail, suggestion } of where.problems ?? [])
    problems.push({ pointer: "/where", detail: `Position ${start + 1}: ${detail}`, suggestion, start, end });
  const range = parseTimeRange(query.from, query.to, nowMs);
  if ("problems" in range) problems.push(...range.problems);
  const stepMs = resolveStep(query, range, problems);
  const earlier = resolveCompare(query, range, nowMs, problems);
  if (problems.length > 0 || "problems" in range || where.problems !== undefined) {
    throw new AppError("VALIDATION_FAILED", summed(problems), { errors: problems });
  }
  const isOfHost = ({ key }: Filter): boolean => key === "host" || isHostKey(key);
  return {
    signal,
    selections,
    by,
    labels: query.by,
    filters: where.filters.filter((filter) => !isOfHost(filter)),
    hostFilters: where.filters.filter(isOfHost),
    comparisons: where.comparisons.map((comparison) => toGroupComparison(signal, comparison)),
    range: range.range,
    points: query.points ?? POINTS_DEFAULT,
    stepMs,
    limit: query.limit,
    earlier,
  };
}

/**
 * What a filter on a signal may speak of.
 * @param selections a comparison that names no aggregate means the one that is selected
 */
export function vocabularyOf(signal: Signal, selections: readonly Selection[], tagKeys: readonly string[]): Vocabulary {
  const measures = measuresOf(signal).map((measure) => {
    const comparable = measure.aggregates.filter((aggregate) => aggregate !== "heatmap");
    const selected = selections.find((selection) => selection.measure === measure.name && selection.aggregate !== "heatmap");
    return {
      name: measure.name,
      aggregates: comparable.map((name) => ({ name, unit: unitOf(measure, name) })),
      aggregate: selected?.aggregate ?? usualAggregate(measure),
    };
  });
  const values = new Map(signal.dimensions.flatMap((name) => (dimensions[name].values === undefined ? [] : [[name, dimensions[name].values]])));
  return { signal: signal.name, dimensions: signal.dimensions, measures, values, tagKeys };
}

function toGroupComparison(signal: Signal, { measure, aggregate, operator, value }: Comparison): GroupComparison {
  const found = measuresOf(signal).find((candidate) => candidate.name === measure) as QueryableMeasure;
  return { selection: toSelection(found, aggregate as Aggregate), operator, value };
}

type ParsedRange = ReturnType<typeof parseTimeRange>;

function resolveStep(query: Query, range: ParsedRange, problems: FieldProblem[]): number | null {
  if (query.step === undefined) return null;
  if (query.points !== undefined) problems.push({ pointer: "/step", detail: "Ask for points or for a step, not for both." });
  if ("problems" in range) return null;
  const step = parseStep(query.step, range.range, POINTS_MAX);
  if ("stepMs" in step) return step.stepMs;
  problems.push(step.problem);
  return null;
}

function resolveCompare(query: Query, range: ParsedRange, nowMs: number, problems: FieldProblem[]): EarlierWindow | null {
  if (query.compare === undefined) return null;
  if ("problems" in range) return null;
  const compare = parseCompare(query.compare, range.range, nowMs);
  if ("earlier" in compare) return compare.earlier;
  problems.push(...compare.problems);
  return null;
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
