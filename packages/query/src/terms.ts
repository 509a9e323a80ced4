// SPDX-License-Identifier: Apache-2.0

/** Longest filter that is read, in UTF-16 units. */
export const WHERE_LENGTH_MAX = 2_000;
/** More problems are not looked for: nobody mends twenty at once. */
export const PROBLEMS_MAX = 20;

const SHOWN_MAX = 60;

/** A stretch of the text, half open, in UTF-16 units as an input field counts them. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

/** What is wrong with a stretch of the text. */
export interface Problem extends Span {
  readonly detail: string;
  /** What the whole term was probably meant to be. */
  readonly suggestion?: string | undefined;
}

/** One value of a filter. */
export interface Pattern {
  readonly text: string;
  /** `*` in it stands for any run of characters. Quoted text is never a glob. */
  readonly glob: boolean;
}

/** A `key:value[,value…]` term. Terms are joined by AND, the values of a term by OR; `negated` turns the whole term round. */
export interface Filter {
  readonly key: string;
  readonly negated: boolean;
  readonly patterns: readonly Pattern[];
}

export const operators = [">=", "<=", ">", "<"] as const;
export type Operator = (typeof operators)[number];

/** A `measure>amount` term, not yet held against a signal's measures. `negated` turns the operator round. */
export interface RawComparison {
  /** `measure`, `measure.aggregate`, or either with the signal's name before it. */
  readonly key: string;
  readonly negated: boolean;
  readonly operator: Operator;
  /** As it was written: `10`, `1.5ms`, `1%`. */
  readonly amount: string;
}

export type Term = Filter | RawComparison;

/** A term and where it stands: the whole of it, its key, and what follows the colon or operator. */
export interface LocatedTerm extends Span {
  readonly term: Term;
  readonly key: Span;
  readonly value: Span;
  /** Of a filter: where each of its patterns stands, quotes included. */
  readonly patterns: readonly Span[];
}

export function isComparison(term: Term): term is RawComparison {
  return "operator" in term;
}

export interface ReadTerms {
  /** Those that can be read, in order. */
  readonly terms: readonly LocatedTerm[];
  readonly problems: readonly Problem[];
}

const KEY_CHARACTER = /[A-Za-z0-9_./-]/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const CONTROL = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]/;

/**
 * Reads the filter grammar; what the keys mean is not looked at.
 *
 *     where   = term { space term }              all terms must hold
 *     term    = [ "-" ] key ":" value { "," value }
 *             | [ "-" ] key operator amount      a measure, over the whole range
 *     key     = letters, digits, "_", ".", "/", "-"; no "-" in front
 *     value   = text without space, comma and quote, `*` = any run of characters
 *             | '"' text '"'                     taken literally; \" and \\ inside; "" = unknown
 *     operator = ">" | ">=" | "<" | "<="
 *     amount  = number with an optional unit, without a space: 10, 1.5ms, 1%, 64KiB
 */
export function readTerms(text: string): ReadTerms {
  if (text.length > WHERE_LENGTH_MAX) {
    const detail = `The filter has ${text.length} characters; at most ${WHERE_LENGTH_MAX} are read.`;
    return { terms: [], problems: [{ start: WHERE_LENGTH_MAX, end: text.length, detail }] };
  }
  const control = CONTROL.exec(text);
  if (control !== null)
    return { terms: [], problems: [{ start: control.index, end: control.index + 1, detail: "A control character stands here; no name has one." }] };
  if (!text.isWellFormed()) {
    const at = loneSurrogate(text);
    return { terms: [], problems: [{ start: at, end: at + 1, detail: "Half of a character stands here: a surrogate without its other half." }] };
  }
  const reader = new Reader(text);
  while (reader.problems.length < PROBLEMS_MAX && reader.skipSpace()) reader.term();
  return { terms: reader.terms, problems: reader.problems };
}

class Reader {
  readonly terms: LocatedTerm[] = [];
  readonly problems: Problem[] = [];
  private readonly text: string;
  private at = 0;

  // No parameter property: scripts run these files without compiling them.
  constructor(text: string) {
    this.text = text;
  }

  /** Whether anything follows. */
  skipSpace(): boolean {
    while (isSpace(this.text[this.at])) this.at++;
    return this.at < this.text.length;
  }

  term(): void {
    const { text } = this;
    const start = this.at;
    const negated = text[this.at] === "-";
    if (negated) this.at++;
    const keyStart = this.at;
    while (this.at < text.length && KEY_CHARACTER.test(text[this.at] as string)) this.at++;
    const key = { start: keyStart, end: this.at };
    const name = text.slice(key.start, key.end);
    const operator = operators.find((candidate) => text.startsWith(candidate, this.at));
    if (name !== "" && text[this.at] === ":") {
      this.at++;
      this.values(start, negated, name, key);
    } else if (name !== "" && operator !== undefined) {
      this.at += operator.length;
      this.comparison(start, negated, name, key, operator);
    } else {
      const end = endOfTerm(text, start);
      const term = text.slice(start, end);
      this.problems.push({
        start,
        end,
        detail: `\`${shown(term)}\` is not a filter; write key:value, such as process:nginx, or measure>number.`,
        suggestion: suggest(term),
      });
      this.at = end;
    }
  }

  private values(start: number, negated: boolean, name: string, key: Span): void {
    const { text } = this;
    const value = this.at;
    const before = this.problems.length;
    const patterns: Pattern[] = [];
    const spans: Span[] = [];
    do {
      const valueStart = this.at;
      if (text[this.at] === '"') patterns.push(this.quoted(start));
      else {
        while (this.at < text.length && !isSpace(text[this.at]) && text[this.at] !== "," && text[this.at] !== '"') this.at++;
        const word = text.slice(valueStart, this.at);
        if (text[this.at] === '"') this.skip("A quote stands at the start of a value only; put the whole value in quotes.");
        else if (word === "") {
          this.problems.push({
            start: valueStart,
            end: Math.max(valueStart + 1, this.at),
            detail: `\`${shown(name)}:\` has no value; for "unknown" write ${shown(name)}:"".`,
            suggestion: `${text.slice(start, valueStart)}""`,
          });
        } else patterns.push({ text: word, glob: word.includes("*") });
      }
      spans.push({ start: valueStart, end: this.at });
    } while (text[this.at] === "," && this.at++ >= 0);
    if (this.problems.length > before) return;
    this.terms.push({ start, end: this.at, term: { key: name, negated, patterns }, key, value: { start: value, end: this.at }, patterns: spans });
  }

  /** @param start of the term */
  private quoted(start: number): Pattern {
    const { text } = this;
    const quote = this.at++;
    let value = "";
    while (this.at < text.length && text[this.at] !== '"') {
      if (text[this.at] === "\\" && (text[this.at + 1] === '"' || text[this.at + 1] === "\\")) this.at++;
      value += text[this.at++];
    }
    if (this.at >= text.length)
      this.problems.push({ start: quote, end: text.length, detail: "The quote is never closed.", suggestion: `${text.slice(start)}"` });
    this.at = Math.min(text.length, this.at + 1);
    if (this.at < text.length && !isSpace(text[this.at]) && text[this.at] !== ",") this.skip("A closing quote is followed by a space or a comma.");
    return { text: value, glob: false };
  }

  private comparison(start: number, negated: boolean, name: string, key: Span, operator: Operator): void {
    const value = this.at;
    while (this.at < this.text.length && !isSpace(this.text[this.at])) this.at++;
    const amount = this.text.slice(value, this.at);
    if (amount === "") {
      this.problems.push({
        start: value,
        end: value + 1,
        detail: `\`${shown(name)}${operator}\` has no number behind it, such as ${shown(name)}${operator}10.`,
      });
      return;
    }
    this.terms.push({
      start,
      end: this.at,
      term: { key: name, negated, operator, amount },
      key,
      value: { start: value, end: this.at },
      patterns: [],
    });
  }

  /** The rest of the term makes no sense from here. */
  private skip(detail: string): void {
    const end = endOfTerm(this.text, this.at);
    this.problems.push({ start: this.at, end, detail });
    this.at = end;
  }
}

/** What someone who writes another language's filters probably meant. */
function suggest(term: string): string | undefined {
  const [, minus = "", key, operator, value] = /^(-?)([A-Za-z_][\w./-]*)(!=|==|=|~)(\S+)$/.exec(term) ?? [];
  if (key === undefined) return undefined;
  return `${minus === "-" || operator === "!=" ? "-" : ""}${key}:${value}`;
}

/** What somebody wrote, as far as it has to be told back for them to find it. */
export function shown(text: string): string {
  return text.length <= SHOWN_MAX ? text : `${text.slice(0, SHOWN_MAX)}…`;
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

function loneSurrogate(text: string): number {
  let at = 0;
  for (const character of text) {
    if (!character.isWellFormed()) break;
    at += character.length;
  }
  return at;
}
