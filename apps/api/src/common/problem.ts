// SPDX-License-Identifier: Apache-2.0
import { HttpException } from "@nestjs/common";
import { z } from "zod";
import { databaseFailure } from "../postgres/database-failure.ts";
import { AppError, type ErrorCode, errorKinds } from "./app-error.ts";

/** RFC 9457 problem details, as every error of the REST API answers them. */
export const problemSchema = z.object({
  type: z.url(),
  title: z.string(),
  status: z.int(),
  detail: z.string(),
  instance: z.string(),
  code: z.enum(Object.keys(errorKinds) as [ErrorCode, ...ErrorCode[]]),
  requestId: z.string(),
  errors: z
    .array(
      z.object({
        pointer: z.string(),
        detail: z.string(),
        suggestion: z.string().optional(),
        start: z.int().optional().meta({ description: "Where in the field's text it is wrong: from this character, in UTF-16 units." }),
        end: z.int().optional().meta({ description: "Up to and without this one." }),
      }),
    )
    .optional(),
  retryable: z.boolean(),
  retryAfterMs: z.int().optional(),
});
export type Problem = z.infer<typeof problemSchema>;

/** The problem document of an error. */
export function toProblem(error: AppError, requestId: string): Problem {
  return {
    type: `https://waggle.dev/errors/${error.code.toLowerCase().replaceAll("_", "-")}`,
    title: error.kind.title,
    status: error.kind.httpStatus,
    detail: error.message,
    instance: `/requests/${requestId}`,
    code: error.code,
    requestId,
    ...(error.errors === undefined ? {} : { errors: error.errors.map((problem) => ({ ...problem })) }),
    retryable: error.kind.retryable,
    ...(error.retryAfterMs === undefined ? {} : { retryAfterMs: error.retryAfterMs }),
  };
}

/** Of what a library says of a request. */
const TEXT_MAX = 300;

/** What a thrown value means to the caller; undefined for a bug of ours, whose text stays inside. */
export function toAppError(thrown: unknown): AppError | undefined {
  if (thrown instanceof AppError) return thrown;
  const fastifyCode = (thrown as { code?: unknown } | null)?.code;
  const status = thrown instanceof HttpException ? thrown.getStatus() : (thrown as { statusCode?: unknown } | null)?.statusCode;
  // It may hold the whole address.
  const text = thrown instanceof Error ? thrown.message.slice(0, TEXT_MAX) : "";
  if (fastifyCode === "FST_ERR_CTP_BODY_TOO_LARGE" || status === 413) {
    return new AppError("PAYLOAD_TOO_LARGE", "The request body is larger than 64 KiB.");
  }
  if (status === 404) return new AppError("NOT_FOUND", `${text || "Not found"}. The addresses are listed in /api/v1/openapi.json.`);
  if (fastifyCode === "FST_ERR_BAD_URL" || status === 414)
    return new AppError("VALIDATION_FAILED", "The address is not valid: it is too long, or a % in it is not followed by two hex digits of UTF-8.");
  if (status === 415) return new AppError("VALIDATION_FAILED", "The body must be JSON: send `Content-Type: application/json`.");
  if (typeof status === "number" && status >= 400 && status < 500) {
    return new AppError("VALIDATION_FAILED", `The request could not be read: ${text || "malformed"}.`);
  }
  return databaseFailure(thrown);
}
