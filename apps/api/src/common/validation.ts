// SPDX-License-Identifier: Apache-2.0
import type { z } from "zod";
import { AppError, type FieldProblem } from "./app-error.ts";

/**
 * The value as the schema reads it.
 * @throws AppError VALIDATION_FAILED with a JSON pointer for every field that is wrong, unknown fields included when the schema is strict
 */
export function parseOrThrow<Schema extends z.ZodType>(schema: Schema, value: unknown): z.output<Schema> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const errors = parsed.error.issues.flatMap(toFieldProblems);
  const detail = errors.length === 1 ? `${errors[0]?.pointer || "/"}: ${errors[0]?.detail}` : `${errors.length} fields are wrong.`;
  throw new AppError("VALIDATION_FAILED", detail, { errors });
}

function toFieldProblems(issue: z.core.$ZodIssue): FieldProblem[] {
  const pointer = toPointer(issue.path);
  if (issue.code === "unrecognized_keys")
    return issue.keys.map((key) => ({ pointer: `${pointer}${toPointer([key])}`, detail: "There is no such field." }));
  return [{ pointer, detail: issue.message }];
}

/** RFC 6901 JSON pointer of a path. */
export function toPointer(path: readonly PropertyKey[]): string {
  return path.map((part) => `/${String(part).replaceAll("~", "~0").replaceAll("/", "~1")}`).join("");
}

/** Throws the error again, with its fields below `pointer`: a part of a request was wrong in itself. */
export function atPointer(pointer: string, error: unknown): never {
  if (!(error instanceof AppError) || error.errors === undefined) throw error;
  const errors = error.errors.map((problem) => ({ ...problem, pointer: `${pointer}${problem.pointer}` }));
  throw new AppError(error.code, `${pointer}: ${error.message}`, { errors, cause: error });
}
