// SPDX-License-Identifier: Apache-2.0
import { parseAmount } from "./amount.ts";
import { hostAttributes, isTagKey, TAG_PREFIX } from "./host-keys.ts";
import { matchesPattern } from "./match.ts";
import { nearestName } from "./nearest-name.ts";
import {
  type Filter,
  isComparison,
  type LocatedTerm,
  type Operator,
  PROBLEMS_MAX,
  type Problem,
  type RawComparison,
  readTerms,
  type Span,
  shown,
} from "./terms.ts";

/** Of one filter: each is a question of its own about all groups. */
export const COMPARISONS_MAX = 8;

/** Dimensions whose values are addresses of machines. */
const addressKeys: readonly string[] = ["peer", "resolver"];

/** What a filter may speak of, of one signal. */
export interface Vocabulary {
  /** Name of the signal; its measures may be written behind it (`tcp_retransmits.segments`, `retransmits.segments`). */
  readonly signal: string;
  /** What has the dimensions and measures, in words; left out: the signal. */
  readonly subject?: string;
  readonly dimensions: readonly string[];
  readonly measures: readonly {
    readonly name: string;
    /** What can be compared, with the unit of the value. */
    readonly aggregates: readonly { readonly name: string; readonly unit: string }[];
    /** Taken when the term names none; undefined: it must. */
    readonly aggregate?: string | undefined;
  }[];
  /** Of dimensions that can have few values: all of them, besides empty and `~other`. Quoted values are not held against it. */
  readonly values?: ReadonlyMap<string, readonly string[]>;
  /** Keys of the tags that hosts of the organisation have. */
  readonly tagKeys: readonly string[];
}

/** A comparison of a group's value over the whole range. */
export interface Comparison {
  readonly measure: string;
  readonly aggregate: string;
  readonly operator: Operator;
  /** In the unit of the aggregate. */
  readonly value: number;
}

export interface ResolvedWhere {
  /** Keys are `host`, dimensions of the signal, host attributes, and tags as `tag.…`. */
  readonly filters: readonly Filter[];
  readonly comparisons: readonly Comparison[];
}

export type ParsedWhere =
  | (ResolvedWhere & { readonly problems?: undefined })
  | { readonly filters?: undefined; readonly problems: readonly Problem[] };

/** Reads a filter and holds it against what the signal has. All that is wrong is listed, at most twenty. */
export function parseWhere(text: string, vocabulary: Vocabulary): ParsedWhere {
  const { terms, problems } = readTerms(text);
  const resolved = resolveTerms(text, terms, vocabulary);
  const all = [...problems, ...resolved.problems].sort((a, b) => a.start - b.start).slice(0, PROBLEMS_MAX);
  if (all.length > 0) return { problems: all.map((problem) => withKey(text, problem, vocabulary)) };
  return { filters: resolved.filters, comparisons: resolved.comparisons };
}

/** A bare word, and a key of another language's filter, may still be put right by name. */
function withKey(text: string, problem: Problem, vocabulary: Vocabulary): Problem {
  const term = text.slice(problem.start, problem.end);
  if (problem.suggestion !== undefined) {
    const [, minus, key = "", rest] = /^(-?)([\w./-]+)(:.*)$/s.exec(problem.suggestion) ?? [];
    if (key === "" || keysOf(vocabulary).includes(key)) return problem;
    const nearest = nearestName(key, keysOf(vocabulary));
    return nearest === undefined ? problem : { ...problem, suggestion: `${minus}${nearest}${rest}` };
  }
  if (!vocabulary.dimensions.includes("process") || !/^-?[\w.*/]+$/.test(term) || !problem.detail.includes("is not a filter")) return problem;
  return { ...problem, suggestion: term.startsWith("-") ? `-process:${term.slice(1)}` : `process:${term}` };
}

/** Terms held against what the signal has. */
export function resolveTerms(
  text: string,
  terms: readonly LocatedTerm[],
  vocabulary: Vocabulary,
): ResolvedWhere & { readonly problems: readonly Problem[] } {
  const filters: Filter[] = [];
  const comparisons: Comparison[] = [];
  const problems: Problem[] = [];
  for (const located of terms) {
    const { term } = located;
    if (isComparison(term)) {
      if (comparisons.length === COMPARISONS_MAX) {
        problems.push({ start: located.start, end: located.end, detail: `A filter has at most ${COMPARISONS_MAX} comparisons.` });
        continue;
      }
      const resolved = resolveComparison(text, located, term, vocabulary);
      if ("detail" in resolved) problems.push(resolved);
      else comparisons.push(resolved);
      continue;
    }
    const key = resolveKey(term.key, vocabulary);
    if (key !== undefined) {
      const network = addressKeys.includes(key) ? term.patterns.find(({ text: value }) => networkForm.test(value)) : undefined;
      if (network === undefined) {
        filters.push({ ...term, key });
        problems.push(...valueProblems(text, located, term, vocabulary.values?.get(key)));
      } else {
        const { detail, pattern } = networkProblem(network.text, key);
        const suggestion = pattern === undefined || term.patterns.length > 1 ? undefined : `${term.negated ? "-" : ""}${key}:${pattern}`;
        problems.push({ ...located.value, detail, suggestion });
      }
      continue;
    }
    const nearest = nearestName(term.key, keysOf(vocabulary));
    const tags = vocabulary.tagKeys.length === 0 ? "" : `; hosts have the tags ${some(vocabulary.tagKeys)}`;
    problems.push({
      ...located.key,
      detail: `${vocabulary.subject ?? "This signal"} has no dimension \`${shown(term.key)}\`; it has ${some(["host", ...vocabulary.dimensions])}${tags}.`,
      suggestion: nearest === undefined ? undefined : `${term.negated ? "-" : ""}${nearest}:${text.slice(located.value.start, located.value.end)}`,
    });
  }
  return { filters, comparisons, problems };
}

/** What every dimension can be: not known, and what did not fit under a cap. */
const everyones: readonly string[] = ["", "~other"];

/** Values that the dimension does not have: such a filter would find nothing, or exclude nothing, without a word. */
function valueProblems(text: string, located: LocatedTerm, term: Filter, values: readonly string[] | undefined): Problem[] {
  if (values === undefined) return [];
  return term.patterns.flatMap((pattern, index) => {
    const { start, end } = located.patterns[index] as Span;
    // In quotes stands what is meant as it is: agents of other versions may have more values.
    if (text[start] === '"' || [...values, ...everyones].some((value) => matchesPattern(pattern, value))) return [];
    const nearest = nearestName(pattern.text.replaceAll("*", ""), values);
    return {
      start,
      end,
      detail: `${shown(term.key)} has no value \`${shown(pattern.text)}\`; it has ${some(values)}. In quotes it is looked for all the same.`,
      suggestion: nearest === undefined ? undefined : `${text.slice(located.start, start)}${nearest}${text.slice(end, located.end)}`,
    };
  });
}

const networkForm = /^[0-9a-f.:]+\/\d{1,3}$/i;

/** Addresses are compared as text, which no network is: taken as one, it would be a peer that nobody ever met. */
function networkProblem(network: string, key: string): { readonly detail: string; readonly pattern: string | undefined } {
  const [address = "", bits = ""] = network.split("/");
  const parts = address.split(".");
  const kept = Number(bits) / 8;
  const pattern = kept === 4 ? address : `${parts.slice(0, kept).join(".")}.*`;
  return {
    detail: `\`${shown(network)}\` is a network; addresses are compared as text, so write how they begin, such as ${key}:10.1.*.`,
    pattern: parts.length === 4 && [1, 2, 3, 4].includes(kept) ? pattern : undefined,
  };
}

/** The key that a filter or a `by` means: `host`, a dimension, a host attribute or `tag.…`; undefined if nothing has it. */
export function resolveKey(key: string, { dimensions, tagKeys }: Pick<Vocabulary, "dimensions" | "tagKeys">): string | undefined {
  if (key === "host" || dimensions.includes(key) || isTagKey(key)) return key;
  if (tagKeys.includes(key)) return `${TAG_PREFIX}${key}`;
  return (hostAttributes as readonly string[]).includes(key) ? key : undefined;
}

/** Everything that may stand before a colon. */
export function keysOf({ dimensions, tagKeys }: Pick<Vocabulary, "dimensions" | "tagKeys">): readonly string[] {
  return [...new Set(["host", ...dimensions, ...tagKeys, ...hostAttributes, ...tagKeys.map((key) => `${TAG_PREFIX}${key}`)])];
}

function some(names: readonly string[]): string {
  return names.length > 12 ? `${names.slice(0, 12).join(", ")}, …` : names.join(", ");
}

const opposite: Readonly<Record<Operator, Operator>> = { ">": "<=", ">=": "<", "<": ">=", "<=": ">" };

function resolveComparison(text: string, located: LocatedTerm, term: RawComparison, vocabulary: Vocabulary): Comparison | Problem {
  const { signal, measures } = vocabulary;
  const [, prefix, rest = term.key] = /^([a-z0-9_]+)\.(.+)$/.exec(term.key) ?? [];
  const isPrefixed = prefix !== undefined && !measures.some(({ name }) => name === prefix) && (prefix === signal || signal.endsWith(`_${prefix}`));
  const path = isPrefixed ? rest : term.key;
  const dot = path.indexOf(".");
  const name = dot < 0 ? path : path.slice(0, dot);
  const behind = `${term.operator}${term.amount}`;
  const minus = term.negated ? "-" : "";
  const measure = measures.find((candidate) => candidate.name === name);
  if (measure === undefined) {
    const names = measures.map((candidate) => candidate.name);
    if (vocabulary.dimensions.includes(term.key) || term.key === "host")
      return { ...located.key, detail: `\`${shown(term.key)}\` is a dimension and has no size; compare a measure: ${names.join(", ")}.` };
    const nearest = nearestName(name, names);
    return {
      ...located.key,
      detail: `${vocabulary.subject ?? signal} has no measure \`${shown(name)}\`; it has ${some(names)}.`,
      suggestion: nearest === undefined ? undefined : `${minus}${nearest}${dot < 0 ? "" : path.slice(dot)}${behind}`,
    };
  }
  const names = measure.aggregates.map((aggregate) => aggregate.name);
  const wanted = dot < 0 ? measure.aggregate : path.slice(dot + 1);
  if (wanted === undefined) {
    const first = names.find((candidate) => candidate === "p99") ?? names[0];
    return {
      ...located.key,
      detail: `Say which value of \`${name}\` is compared: ${names.map((aggregate) => `${name}.${aggregate}`).join(", ")}.`,
      suggestion: `${minus}${name}.${first}${behind}`,
    };
  }
  const aggregate = measure.aggregates.find((candidate) => candidate.name === wanted);
  if (aggregate === undefined) {
    const nearest = nearestName(wanted, names) ?? names[0];
    return {
      ...located.key,
      detail: `\`${name}\` cannot be compared by \`${shown(wanted)}\`; it takes ${names.join(", ")}.`,
      suggestion: `${minus}${name}.${nearest}${behind}`,
    };
  }
  const amount = parseAmount(term.amount, aggregate.unit);
  if (amount.problem !== undefined) {
    const isShare = term.amount.endsWith("%") && names.includes("share");
    const suggested = isShare
      ? `${name}.share${behind}`
      : amount.suggestion === undefined
        ? undefined
        : `${text.slice(located.key.start, located.key.end)}${term.operator}${amount.suggestion}`;
    return { ...located.value, detail: amount.problem, suggestion: suggested === undefined ? undefined : `${minus}${suggested}` };
  }
  return { measure: name, aggregate: wanted, operator: term.negated ? opposite[term.operator] : term.operator, value: amount.value };
}
