// SPDX-License-Identifier: Apache-2.0
import { type Filter, isComparison, type Pattern, readTerms, type Term } from "./terms.ts";

/** A filter on one value, taken as it is. */
export function literal(key: string, value: string, negated = false): Filter {
  return { key, negated, patterns: [{ text: value, glob: false }] };
}

/** A filter on one pattern, in which `*` stands for any run of characters. */
export function wildcard(key: string, pattern: string, negated = false): Filter {
  return { key, negated, patterns: [{ text: pattern, glob: pattern.includes("*") }] };
}

/**
 * A term as text that is read as the same term.
 * @param quoted in quotes also where none are needed: a value that its dimension is not known to have
 */
export function formatTerm(term: Term, quoted = false): string {
  const minus = term.negated ? "-" : "";
  if (isComparison(term)) return `${minus}${term.key}${term.operator}${term.amount}`;
  return `${minus}${term.key}:${term.patterns.map((pattern) => formatPattern(pattern, quoted)).join(",")}`;
}

function formatPattern({ text, glob }: Pattern, quoted: boolean): string {
  if (glob) return text;
  return quoted || text === "" || /[\s",*\\]/.test(text) ? `"${text.replace(/["\\]/g, "\\$&")}"` : text;
}

/** The texts of the terms, also of those that cannot be read: the text between spaces that stand outside of quotes. */
export function splitTerms(text: string): string[] {
  return text.match(/(?:[^\s"]|"(?:[^"\\]|\\.)*(?:"|$)|")+/g) ?? [];
}

/**
 * The filter with `term` added; a filter on a value replaces the one on other values of the same key, an exclusion adds to the others.
 * @param quoted as in `formatTerm`
 */
export function withTerm(text: string, term: Filter, quoted = false): string {
  const kept = splitTerms(text).filter((other) => {
    const read = readTerms(other).terms[0]?.term;
    return read === undefined || isComparison(read) || read.negated || term.negated || read.key !== term.key;
  });
  const added = formatTerm(term, quoted);
  return kept.includes(added) ? kept.join(" ") : [...kept, added].join(" ");
}

/** @param index as in `splitTerms` */
export function withoutTerm(text: string, index: number): string {
  return splitTerms(text)
    .filter((_, i) => i !== index)
    .join(" ");
}

/**
 * Cuts a filter that is meant for a whole page into the terms that one signal can answer and the others. Keys and measures that no signal has stay:
 * who answers refuses them by name.
 * @param has of the signal @param known of any signal
 */
export function applicable(
  text: string,
  has: (term: Term) => boolean,
  known: (term: Term) => boolean,
): { readonly where: string; readonly ignored: readonly string[] } {
  const used: string[] = [];
  const ignored: string[] = [];
  for (const part of splitTerms(text)) {
    const term = readTerms(part).terms[0]?.term;
    (term === undefined || has(term) || !known(term) ? used : ignored).push(part);
  }
  return { where: used.join(" "), ignored };
}
