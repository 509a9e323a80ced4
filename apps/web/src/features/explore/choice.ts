// SPDX-License-Identifier: Apache-2.0
import type { Aggregate, Selection, Signal } from "../../lib/api/types";

/** Dimensions an answer is grouped by, at most: the API's own bound. */
export const BY_MAX = 3;

/** What the page's URL says, as text; empty = not said. */
export interface ChoiceText {
  readonly measure: string;
  readonly aggregate: string;
  readonly by: readonly string[];
}

/** What of a signal is drawn. */
export interface Choice {
  readonly measure: string;
  readonly aggregate: Aggregate;
  readonly by: readonly string[];
}

type Measure = Signal["measures"][number];

/** The aggregate that says most about a measure: the whole distribution, a rate, the newest value. */
function defaultAggregate(measure: Measure): Aggregate {
  const wanted: Record<Measure["kind"], Aggregate> = { distribution: "heatmap", sum: "rate", gauge: "last", minimum: "min", maximum: "max" };
  return wanted[measure.kind];
}

/** What a signal can be grouped by, `host` first. */
export function groupable(signal: Signal): readonly string[] {
  return ["host", ...signal.dimensions.map(({ name }) => name)];
}

/**
 * The URL's choice as far as the signal has it, the rest by default; null for a signal without measures. A name that the signal does not know
 * (of a link made for another one) is left out rather than asked for.
 */
export function chosen(signal: Signal, text: ChoiceText): Choice | null {
  const measure = signal.measures.find(({ name }) => name === text.measure) ?? signal.measures[0];
  if (measure === undefined) return null;
  const aggregate = measure.aggregates.includes(text.aggregate) ? (text.aggregate as Aggregate) : defaultAggregate(measure);
  const by = text.by.filter((name) => groupable(signal).includes(name)).slice(0, BY_MAX);
  return { measure: measure.name, aggregate, by };
}

/** `by` with `name` put in or taken out; at the bound the oldest makes room. */
export function toggled(by: readonly string[], name: string): readonly string[] {
  return by.includes(name) ? by.filter((other) => other !== name) : [...by, name].slice(-BY_MAX);
}

/** The columns of a signal's table: every measure in the ways that one number can stand for a whole range; the first one ranks. */
export function tableSelections(signal: Signal): readonly Selection[] {
  return signal.measures.flatMap((measure): Selection[] => {
    const of = (aggregate: Aggregate): Selection => ({ measure: measure.name, aggregate });
    switch (measure.kind) {
      case "distribution":
        return [of("count"), of("p50"), of("p99"), of("max")];
      case "sum":
        // A histogram's own count and sum are columns of its distribution already.
        return signal.kind === "histogram" ? [] : [of("sum"), of("rate")];
      case "gauge":
        return [of("last"), of("max")];
      default:
        return [];
    }
  });
}
