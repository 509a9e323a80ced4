// SPDX-License-Identifier: Apache-2.0
import type { Signal, Unit } from "@waggle/signals";

export const sumAggregates = ["sum", "rate", "share"] as const;
export const gaugeAggregates = ["last", "min", "max", "avg"] as const;
export const quantiles = { p50: 0.5, p75: 0.75, p90: 0.9, p95: 0.95, p99: 0.99, "p99.9": 0.999 } as const;
export type QuantileName = keyof typeof quantiles;
export const quantileNames = Object.keys(quantiles) as QuantileName[];
export const distributionAggregates = [...quantileNames, "min", "max", "avg", "count", "heatmap"] as const;

export type Aggregate = (typeof sumAggregates)[number] | (typeof gaugeAggregates)[number] | (typeof distributionAggregates)[number];
export const aggregates: readonly Aggregate[] = [...new Set<Aggregate>([...sumAggregates, ...gaugeAggregates, ...distributionAggregates])];

/** Something a signal can be asked for. */
export interface QueryableMeasure {
  readonly name: string;
  readonly kind: "sum" | "gauge" | "distribution" | "minimum" | "maximum";
  readonly unit: Unit;
  /** Of how many were measured; of a distribution. */
  readonly countUnit?: Unit;
  readonly aggregates: readonly Aggregate[];
  readonly help: string;
}

/** What can be selected from a signal: its measures, or a histogram's quantity and the exact count, sum, min and max beside it. */
export function measuresOf(signal: Signal): readonly QueryableMeasure[] {
  const { distribution } = signal;
  if (distribution === null) {
    return signal.measures.map((measure) => ({ ...measure, aggregates: measure.kind === "sum" ? sumAggregates : gaugeAggregates }));
  }
  const quantity = distribution.help.replace(/\.$/, "");
  return [
    {
      name: distribution.name,
      kind: "distribution",
      unit: distribution.unit,
      countUnit: distribution.countUnit,
      aggregates: distributionAggregates,
      help: distribution.help,
    },
    { name: "count", kind: "sum", unit: distribution.countUnit, aggregates: sumAggregates, help: `How many were measured: ${quantity}.` },
    { name: "sum", kind: "sum", unit: distribution.unit, aggregates: sumAggregates, help: `All measured values added up: ${quantity}.` },
    { name: "min", kind: "minimum", unit: distribution.unit, aggregates: ["min"], help: `The smallest measured value, exact: ${quantity}.` },
    { name: "max", kind: "maximum", unit: distribution.unit, aggregates: ["max"], help: `The largest measured value, exact: ${quantity}.` },
  ];
}

/** What a comparison of a measure refers to when it does not say; undefined where several values are equally meant. */
export function usualAggregate({ kind }: QueryableMeasure): Aggregate | undefined {
  switch (kind) {
    case "sum":
      return "sum";
    case "gauge":
      return "avg";
    case "minimum":
      return "min";
    case "maximum":
      return "max";
    case "distribution":
      return undefined;
  }
}

/** The unit a signal is known by: that of its quantity, or of its first measure. */
export function mainUnit(signal: Signal): Unit {
  return signal.distribution?.unit ?? signal.measures[0]?.unit ?? "1";
}

/** How a selection is computed. */
export type Form =
  /** Sums, rates and shares of sums. */
  | "sums"
  /** Gauges whose value per host is found first: last, avg. */
  | "gaugesByHost"
  /** Gauges whose value over all hosts at one moment is found first: min, max. */
  | "gaugesByWindow"
  /** Count, sum, min, max of a histogram. */
  | "extents"
  /** Percentiles and heat maps. */
  | "buckets";

/** Forms as statements: percentiles alone need one bucket each, with a heat map all of them. */
export type StatementForm = Form | "quantiles";

/** A selection that is known to fit its signal. */
export interface Selection {
  readonly measure: string;
  readonly aggregate: Aggregate;
  /** Of the answer's values. */
  readonly unit: string;
  readonly form: Form;
}

/**
 * The selections by the statement that computes them. Beside percentiles a histogram's count and extremes come out of the same rows; an average does not, as the sum would be
 * counted with each bucket. A heat map's statement is nothing to rank by, so it takes them only where it comes first itself.
 */
export function byStatement(selections: readonly Selection[]): ReadonlyMap<StatementForm, readonly Selection[]> {
  const hasHeatmap = selections.some((selection) => selection.aggregate === "heatmap");
  const buckets: StatementForm = hasHeatmap ? "buckets" : "quantiles";
  const hasBuckets = selections.some(({ form }) => form === "buckets") && (!hasHeatmap || selections[0]?.form === "buckets");
  return Map.groupBy(
    selections,
    ({ form, aggregate }): StatementForm => (form === "buckets" || (form === "extents" && hasBuckets && aggregate !== "avg") ? buckets : form),
  );
}

/** Resolves a measure and aggregate that fit each other. */
export function toSelection(measure: QueryableMeasure, aggregate: Aggregate): Selection {
  return { measure: measure.name, aggregate, unit: unitOf(measure, aggregate), form: formOf(measure, aggregate) };
}

/** Unit of the values of an aggregate. */
export function unitOf(measure: QueryableMeasure, aggregate: Aggregate): string {
  if (aggregate === "rate") return `${measure.unit}/s`;
  if (aggregate === "share") return "ratio";
  return aggregate === "count" && measure.countUnit !== undefined ? measure.countUnit : measure.unit;
}

function formOf(measure: QueryableMeasure, aggregate: Aggregate): Form {
  switch (measure.kind) {
    case "sum":
      return "sums";
    case "gauge":
      return aggregate === "min" || aggregate === "max" ? "gaugesByWindow" : "gaugesByHost";
    case "minimum":
    case "maximum":
      return "extents";
    case "distribution":
      return aggregate === "heatmap" || aggregate in quantiles ? "buckets" : "extents";
  }
}
