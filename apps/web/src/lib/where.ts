// SPDX-License-Identifier: Apache-2.0

/** One term of the filter grammar: `process:nginx`, `-peer_port:443`, `host:web-*`. */
export interface Term {
  readonly negated: boolean;
  readonly key: string;
  readonly value: string;
  /** The value as it was typed, with its wildcards and comma lists; otherwise it is text to be taken literally. */
  readonly raw?: true;
}

export const FILTER_KEYS = ["host", "process", "unit", "peer", "peer_port", "port", "role", "class", "errno", "syscall"] as const;

const TERM = /^(-?)([a-z_]+):(.+)$/s;
const QUOTED = /^"((?:[^"\\]|\\.)*)"$/s;

/** Splits at spaces outside double quotes. */
export function splitTerms(text: string): string[] {
  return text.match(/(?:[^\s"]|"[^"]*"?)+/g) ?? [];
}

/** The term, or null when the text is not `key:value`. */
export function parseTerm(text: string): Term | null {
  const match = TERM.exec(text);
  if (!match) return null;
  const [, minus, key = "", value = ""] = match;
  const quoted = QUOTED.exec(value)?.[1];
  const negated = minus === "-";
  return quoted === undefined ? { negated, key, value, raw: true } : { negated, key, value: quoted.replace(/\\(.)/g, "$1") };
}

export function formatTerm(term: Term): string {
  const literal = term.raw !== true && (term.value === "" || /[\s",*\\]/.test(term.value));
  const value = literal ? `"${term.value.replace(/["\\]/g, "\\$&")}"` : term.value;
  return `${term.negated ? "-" : ""}${term.key}:${value}`;
}

/** The filter with `term` added, replacing a positive term of the same key. */
export function withTerm(text: string, term: Term): string {
  const kept = splitTerms(text).filter((t) => {
    const parsed = parseTerm(t);
    return parsed === null || parsed.negated || term.negated || parsed.key !== term.key;
  });
  const added = formatTerm(term);
  return kept.includes(added) ? kept.join(" ") : [...kept, added].join(" ");
}

export function withoutTerm(text: string, index: number): string {
  return splitTerms(text)
    .filter((_, i) => i !== index)
    .join(" ");
}

/** Only the terms a signal can answer: a filter on `peer` does not apply to system calls, and the panel says so. */
export function applicable(text: string, dimensions: readonly string[]): { where: string; ignored: string[] } {
  const used: string[] = [];
  const ignored: string[] = [];
  for (const term of splitTerms(text)) {
    const key = parseTerm(term)?.key;
    (key === undefined || key === "host" || dimensions.includes(key) || !(FILTER_KEYS as readonly string[]).includes(key) ? used : ignored).push(
      term,
    );
  }
  return { where: used.join(" "), ignored };
}

/** What is wrong with a typed term, in words; null when it is fine. */
export function problemWithTerm(text: string): string | null {
  const term = parseTerm(text);
  if (term === null) return `"${text}" is no filter: write key:value, for example process:nginx`;
  if (!(FILTER_KEYS as readonly string[]).includes(term.key)) return `"${term.key}" is no key; keys are ${FILTER_KEYS.join(", ")}`;
  return null;
}

/** Whether a host passes the filter's `host:` terms, as the API reads them: comma = any of, `*` = any text. */
export function hostPredicate(text: string): (name: string) => boolean {
  const terms = splitTerms(text)
    .map(parseTerm)
    .filter((term) => term !== null && term.key === "host");
  const tests = terms.map((term) => {
    const patterns = term?.raw ? term.value.split(",").map(globToRegExp) : [new RegExp(`^${escapeRegExp(term?.value ?? "")}$`)];
    return (name: string): boolean => patterns.some((pattern) => pattern.test(name)) !== (term?.negated ?? false);
  });
  return (name) => tests.every((test) => test(name));
}

function globToRegExp(glob: string): RegExp {
  return new RegExp(`^${glob.split(/\*+/).map(escapeRegExp).join(".*")}$`);
}

function escapeRegExp(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
}
