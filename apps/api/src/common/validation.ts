// SPDX-License-Identifier: Apache-2.0
import { nearestName } from "@waggle/query";
import type { z } from "zod";
import { AppError, type FieldProblem } from "./app-error.ts";

/** More are not told: nobody mends a hundred fields at once. */
const PROBLEMS_MAX = 20;
/** Of a name that somebody sent, as far as it is told back. */
const NAME_SHOWN_MAX = 64;

/**
 * The value as the schema reads it.
 * @throws AppError VALIDATION_FAILED with a JSON pointer for every field that is wrong, unknown fields included when the schema is strict
 */
export function parseOrThrow<Schema extends z.ZodType>(schema: Schema, value: unknown): z.output<Schema> {
  // What was sent is looked at to say what is wrong with it, and not told back.
  const parsed = schema.safeParse(value, { reportInput: true });
  if (parsed.success) return parsed.data;
  const all = parsed.error.issues.flatMap((issue) => toFieldProblems(issue, schema));
  const errors = all.slice(0, PROBLEMS_MAX);
  throw new AppError("VALIDATION_FAILED", summed(errors, all.length), { errors });
}

/** All problems in one sentence. */
export function summed(problems: readonly FieldProblem[], count = problems.length): string {
  const [first] = problems;
  return count === 1 ? `${first?.pointer || "/"}: ${first?.detail}` : `${count} fields are wrong.`;
}

function toFieldProblems(issue: z.core.$ZodIssue, schema: z.ZodType): FieldProblem[] {
  const pointer = toPointer(issue.path);
  switch (issue.code) {
    case "unrecognized_keys": {
      const known = fieldsAt(schema, issue.path);
      const detail = known.length === 0 ? "There is no such field." : `There is no such field; there are ${known.join(", ")}.`;
      return issue.keys.map((key) => ({
        pointer: `${pointer}${toPointer([key.slice(0, NAME_SHOWN_MAX)])}`,
        detail,
        suggestion: nearestName(key, known),
      }));
    }
    case "invalid_type": {
      // A union, or a number that is none, says it in its own words.
      if (!issue.message.startsWith("Invalid input")) return [{ pointer, detail: issue.message }];
      const expected = describe(issue.expected);
      if (issue.input === undefined) return [{ pointer, detail: `This is missing; write ${expected}.` }];
      const twice = Array.isArray(issue.input) && issue.expected === "string" ? "; in an address, write it once" : "";
      const found = typeof issue.input === "number" ? String(issue.input) : describe(typeOf(issue.input));
      return [{ pointer, detail: `This must be ${expected}, and is ${found}${twice}.` }];
    }
    case "invalid_value": {
      const values = issue.values.filter((value) => typeof value === "string");
      const suggestion = typeof issue.input === "string" ? nearestName(issue.input, values) : undefined;
      const detail = values.length === issue.values.length ? `There is no such value; write ${oneOf(values)}.` : issue.message;
      return [{ pointer, detail, ...(suggestion === undefined ? {} : { suggestion }) }];
    }
    case "too_small":
    case "too_big": {
      // One that the schema has words of its own for says it in those.
      if (!issue.message.startsWith("Too ")) return [{ pointer, detail: issue.message }];
      const [bound, word] = issue.code === "too_small" ? [issue.minimum, "least"] : [issue.maximum, "most"];
      return [{ pointer, detail: `${sizeOf(issue.origin)} at ${word} ${bound}${countedAs(issue.origin)}.` }];
    }
    default:
      return [{ pointer, detail: issue.message }];
  }
}

function oneOf(values: readonly string[]): string {
  return values.length === 1 ? `${values[0]}` : `one of ${values.join(", ")}`;
}

function sizeOf(origin: string): string {
  return origin === "string" || origin === "array" ? "This has" : "This is";
}

function countedAs(origin: string): string {
  return origin === "string" ? " characters" : origin === "array" ? " entries" : "";
}

function typeOf(value: unknown): string {
  return value === null ? "null" : Array.isArray(value) ? "array" : typeof value;
}

function describe(type: string): string {
  if (type === "null") return "null";
  const words = type === "int" ? "whole number" : type === "array" ? "list" : type === "record" ? "object" : type;
  return `${/^[aeiou]/.test(words) ? "an" : "a"} ${words}`;
}

/** Names of the fields that the object at a path of the schema has; empty where there is none, or one of several. */
function fieldsAt(schema: z.ZodType, path: readonly PropertyKey[]): readonly string[] {
  let inner: z.ZodType | undefined = unwrapped(schema);
  for (const part of path) {
    const { shape, element } = defOf(inner);
    const next: z.ZodType | undefined = shape !== undefined && Object.hasOwn(shape, part) ? shape[part as string] : element;
    inner = next === undefined ? undefined : unwrapped(next);
  }
  return Object.keys(defOf(inner).shape ?? {});
}

interface SchemaDef {
  readonly shape?: Readonly<Record<string, z.ZodType>>;
  readonly element?: z.ZodType;
  readonly innerType?: z.ZodType;
  readonly in?: z.ZodType;
}

function defOf(schema: z.ZodType | undefined): SchemaDef {
  return (schema?.def ?? {}) as SchemaDef;
}

/** Without what says that a value may be absent or becomes another. */
function unwrapped(schema: z.ZodType): z.ZodType {
  const { innerType, in: input } = defOf(schema);
  const inner = innerType ?? input;
  return inner === undefined ? schema : unwrapped(inner);
}

/** RFC 6901 JSON pointer of a path. */
export function toPointer(path: readonly PropertyKey[]): string {
  return path.map((part) => `/${String(part).replaceAll("~", "~0").replaceAll("/", "~1")}`).join("");
}

/** Throws the error again, with its fields below `pointer`: a part of a request was wrong in itself. */
export function atPointer(pointer: string, error: unknown): never {
  return withPointers(error, (inner) => `${pointer}${inner}`);
}

/** Throws the error again, with its fields called as the request calls them: what it became on the way was wrong. */
export function withPointers(error: unknown, rename: (pointer: string) => string): never {
  if (!(error instanceof AppError) || error.errors === undefined) throw error;
  const renamed = error.errors.map((problem) => ({ ...problem, pointer: rename(problem.pointer) }));
  // What was made of one field may have been wrong several times.
  const errors = [...new Map(renamed.map((problem) => [JSON.stringify(problem), problem])).values()];
  const detail = error.code === "VALIDATION_FAILED" ? summed(errors) : error.message;
  throw new AppError(error.code, detail, { errors, retryAfterMs: error.retryAfterMs, cause: error });
}
