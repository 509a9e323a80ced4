// SPDX-License-Identifier: Apache-2.0

/** One term of the filter grammar: `process:nginx`, `-peer_port:443`, `host:web-*`. */
export interface Term {
  readonly negated: boolean;
  readonly key: string;
  readonly value: string;
}

export const FILTER_KEYS = ["host", "process", "unit", "peer", "peer_port", "port", "role", "class", "errno", "syscall"] as const;

const TERM = /^(-?)([a-z_]+):(?:"([^"]*)"|(\S+))$/;

/** Splits at spaces outside double quotes. */
export function splitTerms(text: string): string[] {
  return text.match(/(?:[^\s"]|"[^"]*"?)+/g) ?? [];
}

/** The term, or null when the text is not `key:value`. */
export function parseTerm(text: string): Term | null {
  const match = TERM.exec(text);
  if (!match) return null;
  const [, minus, key = "", quoted, bare] = match;
  return { negated: minus === "-", key, value: quoted ?? bare ?? "" };
}

export function formatTerm(term: Term): string {
  const value = /[\s"]/.test(term.value) || term.value === "" ? `"${term.value.replaceAll('"', "")}"` : term.value;
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
    (key === undefined || key === "host" || dimensions.includes(key) || !(FILTER_KEYS as readonly string[]).includes(key) ? used : ignored).push(term);
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
