// SPDX-License-Identifier: Apache-2.0
import type { FieldProblem } from "../../common/app-error.ts";
import { nearestName } from "./nearest-name.ts";

/** Longest `where` text that is read. */
export const WHERE_LENGTH_MAX = 2_000;

/** One value of a filter. */
export interface Pattern {
  readonly text: string;
  /** `*` in it stands for any run of characters. Quoted text is never a glob. */
  readonly glob: boolean;
}

/** One `key:value[,value…]` term. Terms are joined by AND, the values of a term by OR; `negated` turns the whole term round. */
export interface Filter {
  readonly key: string;
  readonly negated: boolean;
  readonly patterns: readonly Pattern[];
}

export type ParsedWhere =
  | { readonly filters: readonly Filter[]; readonly problems?: undefined }
  | { readonly filters?: undefined; readonly problems: readonly FieldProblem[] };

/**
 * Parses the filter grammar:
 *
 *     where = term { space term }          all terms must hold
 *     term  = [ "-" ] key ":" value { "," value }
 *     value = text without space, comma and quote, `*` = any run of characters
 *           | '"' text '"'                 taken literally; \" and \\ inside; "" = unknown
 *
 * @param keys what may stand before the colon: the signal's dimensions and `host`
 */
export function parseWhere(text: string, keys: readonly string[], pointer = "/where"): ParsedWhere {
  const filters: Filter[] = [];
  const problems: FieldProblem[] = [];
  const complain = (at: number, detail: string, suggestion?: string): void => {
    problems.push({ pointer, detail: `Position ${at + 1}: ${detail}`, suggestion });
  };
  if (text.length > WHERE_LENGTH_MAX)
    return { problems: [{ pointer, detail: `The filter has ${text.length} characters; at most ${WHERE_LENGTH_MAX} are read.` }] };

  let at = 0;
  while (at < text.length) {
    if (isSpace(text[at])) {
      at++;
      continue;
    }
    const start = at;
    const negated = text[at] === "-";
    if (negated) at++;
    const keyStart = at;
    while (at < text.length && /[A-Za-z0-9_]/.test(text[at] as string)) at++;
    const key = text.slice(keyStart, at);
    if (key === "" || text[at] !== ":") {
      const end = endOfTerm(text, start);
      const term = text.slice(start, end);
      complain(start, `\`${term}\` is not a filter; write key:value, such as process:nginx.`, suggestTerm(term, keys));
      at = end;
      continue;
    }
    at++;
    const known = keys.includes(key);
    if (!known) {
      const nearest = nearestName(key, keys);
      complain(
        keyStart,
        `This signal has no dimension \`${key}\`; it has ${keys.join(", ")}.`,
        nearest === undefined ? undefined : `${negated ? "-" : ""}${nearest}:${text.slice(at, endOfTerm(text, at))}`,
      );
    }
    const patterns: Pattern[] = [];
    for (;;) {
      const valueStart = at;
      if (text[at] === '"') {
        at++;
        let value = "";
        while (at < text.length && text[at] !== '"') {
          if (text[at] === "\\" && (text[at + 1] === '"' || text[at + 1] === "\\")) at++;
          value += text[at++];
        }
        if (at >= text.length) complain(valueStart, "The quote is never closed.", `${text.slice(start)}"`);
        at++;
        patterns.push({ text: value, glob: false });
        if (at < text.length && !isSpace(text[at]) && text[at] !== ",") {
          complain(at, "A closing quote is followed by a space or a comma.");
          at = endOfTerm(text, at);
        }
      } else {
        while (at < text.length && !isSpace(text[at]) && text[at] !== "," && text[at] !== '"') at++;
        const value = text.slice(valueStart, at);
        if (text[at] === '"') {
          complain(at, "A quote stands at the start of a value only; put the whole value in quotes.");
          at = endOfTerm(text, at);
        } else if (value === "") {
          complain(valueStart, `\`${key}:\` has no value; for "unknown" write ${key}:"".`, `${text.slice(start, valueStart)}""`);
        } else patterns.push({ text: value, glob: value.includes("*") });
      }
      if (text[at] !== ",") break;
      at++;
    }
    if (known && patterns.length > 0) filters.push({ key, negated, patterns });
  }
  return problems.length > 0 ? { problems } : { filters };
}

/** Whether a value passes a filter. */
export function matchesFilter(filter: Filter, value: string): boolean {
  return filter.patterns.some((pattern) => matchesPattern(pattern, value)) !== filter.negated;
}

function matchesPattern(pattern: Pattern, value: string): boolean {
  if (!pattern.glob) return value === pattern.text;
  // Walks the literal pieces from left to right; no regular expression, so no pattern can be slow.
  const pieces = pattern.text.split("*");
  const first = pieces[0] as string;
  const last = pieces[pieces.length - 1] as string;
  if (!value.startsWith(first)) return false;
  let at = first.length;
  for (const piece of pieces.slice(1, -1)) {
    const found = value.indexOf(piece, at);
    if (found < 0) return false;
    at = found + piece.length;
  }
  return value.length - at >= last.length && value.endsWith(last);
}

/** The LIKE pattern of a glob: only `*` is a wildcard. */
export function globToLike(glob: string): string {
  return glob.replace(/[\\%_]/g, "\\$&").replaceAll("*", "%");
}

function suggestTerm(term: string, keys: readonly string[]): string | undefined {
  const text = term.replace(/^-/, "");
  const equals = /^([A-Za-z_]+)(?:!=|==|=|~)(.+)$/.exec(text);
  if (equals !== null) {
    const key = keys.includes(equals[1] as string) ? equals[1] : nearestName(equals[1] as string, keys);
    if (key !== undefined) return `${term.includes("!=") || term.startsWith("-") ? "-" : ""}${key}:${equals[2]}`;
  }
  return keys.includes("process") && /^[\w.*/-]+$/.test(text) ? `${term.startsWith("-") ? "-" : ""}process:${text}` : undefined;
}

function isSpace(character: string | undefined): boolean {
  return character === " " || character === "\t" || character === "\n" || character === "\r";
}

/** Position behind the term that starts at or before `from`: the next space outside quotes. */
function endOfTerm(text: string, from: number): number {
  let quoted = false;
  let at = from;
  while (at < text.length && (quoted || !isSpace(text[at]))) if (text[at++] === '"') quoted = !quoted;
  return at;
}
