// SPDX-License-Identifier: Apache-2.0
import {
  applicable,
  type HostFacts,
  hostAttributes,
  isComparison,
  isHostKey,
  matchesHost,
  type Problem,
  readTerms,
  resolveTerms,
  type Term,
  tagKeysOf,
  type Vocabulary,
} from "@waggle/query";
import type { Host, Signal } from "./api/types";

/** What the page's filter may speak of: every signal's dimensions and measures, and the hosts' tags. */
export interface PageWords {
  readonly signals: readonly Signal[];
  readonly tagKeys: readonly string[];
}

/** Of hosts that are not known yet there are no tags yet. */
export function tagKeysOfHosts(hosts: readonly Host[] | undefined): readonly string[] {
  return tagKeysOf(hosts ?? []);
}

const dimensionsOf = (signals: readonly Signal[]): string[] => [...new Set(signals.flatMap((signal) => signal.dimensions.map((d) => d.name)))];

/** By dimension, of those that can have few values: all of them. */
export function closedValuesOf(signals: readonly Signal[]): ReadonlyMap<string, readonly string[]> {
  return new Map(signals.flatMap((signal) => signal.dimensions.flatMap(({ name, values }) => (values === null ? [] : [[name, values] as const]))));
}

/** The measure that a comparison names: `segments`, `segments.rate`, `retransmits.segments`. */
function measures(signal: Signal, term: Term): boolean {
  const parts = term.key.split(".");
  return signal.measures.some(
    ({ name }) => parts[0] === name || ((parts[0] === signal.name || signal.name.endsWith(`_${parts[0]}`)) && parts[1] === name),
  );
}

function has(signal: Signal, term: Term): boolean {
  if (isComparison(term)) return measures(signal, term);
  return term.key === "host" || isHostKey(term.key) || signal.dimensions.some(({ name }) => name === term.key);
}

/** Only the terms that a signal can answer: a filter on `peer` does not apply to system calls, and the panel says so. */
export function filterFor(text: string, signal: Signal, signals: readonly Signal[]): ReturnType<typeof applicable> {
  return applicable(
    text,
    (term) => has(signal, term),
    (term) => signals.some((other) => has(other, term)),
  );
}

/** What is wrong with what was typed. Without the signals only its form is looked at: whoever answers refuses unknown names. */
export function problemsOf(text: string, words: PageWords | undefined): readonly Problem[] {
  const { terms, problems } = readTerms(text);
  if (words === undefined || problems.length > 0) return problems;
  const { signals, tagKeys } = words;
  // The same measure of two signals may take different aggregates: the page takes them all.
  const byMeasure = Map.groupBy(
    signals.flatMap((signal) => signal.measures),
    ({ name }) => name,
  );
  const vocabulary: Vocabulary = {
    signal: "",
    subject: "This page",
    dimensions: dimensionsOf(signals),
    measures: [...byMeasure].map(([name, of]) => ({
      name,
      aggregates: [...new Map(of.flatMap(({ aggregates, unit }) => aggregates.map((aggregate) => [aggregate, unit] as const)))].map(
        ([aggregate, unit]) => ({ name: aggregate, unit: unitOf(aggregate, unit) }),
      ),
      aggregate: of[0]?.aggregates[0],
    })),
    values: closedValuesOf(signals),
    tagKeys,
  };
  // With a signal's name before it, it is for that signal to judge.
  const judged = terms.filter(
    ({ term }) => !isComparison(term) || !signals.some((signal) => measures(signal, term)) || byMeasure.has(term.key.split(".")[0] ?? ""),
  );
  return resolveTerms(text, judged, vocabulary).problems;
}

function unitOf(aggregate: string, unit: string): string {
  return aggregate === "rate" ? `${unit}/s` : aggregate === "share" ? "ratio" : unit;
}

/** Keys to offer. */
export function keysToOffer(words: PageWords | undefined): readonly string[] {
  return ["host", ...(words === undefined ? [] : [...words.tagKeys, ...dimensionsOf(words.signals)]), ...hostAttributes];
}

/** Values to offer behind `key:`; empty where any text may stand. */
export function valuesToOffer(text: string, words: PageWords | undefined): readonly string[] {
  const [, key = ""] = /(?:^|\s)-?([\w./-]+):$/.exec(text) ?? [];
  return (words === undefined ? undefined : closedValuesOf(words.signals).get(key)) ?? [];
}

/** Whether a host passes what the filter says of hosts: their name, what is known of them, and their tags. */
export function hostPredicate(text: string, hosts: readonly Host[] | undefined, signals: readonly Signal[] | undefined): (host: Host) => boolean {
  const tagKeys = tagKeysOfHosts(hosts);
  const dimensions = dimensionsOf(signals ?? []);
  const filters = readTerms(text).terms.flatMap(({ term }) => {
    if (isComparison(term)) return [];
    if (term.key === "host" || isHostKey(term.key)) return [term];
    return tagKeys.includes(term.key) && !dimensions.includes(term.key) ? [{ ...term, key: `tag.${term.key}` }] : [];
  });
  return (host) => matchesHost(filters, factsOf(host));
}

function factsOf({ id, name, tags, kernel, distro, arch, agentVersion }: Host): HostFacts {
  return { id, name, tags, attributes: { kernel, distribution: distro, architecture: arch, agent_version: agentVersion } };
}
