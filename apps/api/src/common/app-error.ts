// SPDX-License-Identifier: Apache-2.0
import { GrpcStatus } from "../grpc/grpc-status.ts";

interface ErrorKind {
  readonly httpStatus: number;
  readonly grpcStatus: GrpcStatus;
  readonly title: string;
  /** The same request may succeed later. */
  readonly retryable: boolean;
}

/** Everything that can go wrong on purpose: one row per code, for both transports. */
export const errorKinds = {
  VALIDATION_FAILED: { httpStatus: 422, grpcStatus: GrpcStatus.INVALID_ARGUMENT, title: "The request is not valid", retryable: false },
  UNAUTHENTICATED: { httpStatus: 401, grpcStatus: GrpcStatus.UNAUTHENTICATED, title: "Sign in first", retryable: false },
  FORBIDDEN: { httpStatus: 403, grpcStatus: GrpcStatus.PERMISSION_DENIED, title: "The token does not allow this", retryable: false },
  NOT_FOUND: { httpStatus: 404, grpcStatus: GrpcStatus.NOT_FOUND, title: "There is nothing at this address", retryable: false },
  HOST_NOT_FOUND: { httpStatus: 404, grpcStatus: GrpcStatus.NOT_FOUND, title: "There is no such host", retryable: false },
  DIMENSION_NOT_FOUND: { httpStatus: 404, grpcStatus: GrpcStatus.NOT_FOUND, title: "There is no such dimension", retryable: false },
  SIGNAL_NOT_FOUND: { httpStatus: 422, grpcStatus: GrpcStatus.INVALID_ARGUMENT, title: "There is no such signal", retryable: false },
  METHOD_NOT_ALLOWED: { httpStatus: 405, grpcStatus: GrpcStatus.INVALID_ARGUMENT, title: "This address does not take the method", retryable: false },
  NOT_ACCEPTABLE: { httpStatus: 406, grpcStatus: GrpcStatus.INVALID_ARGUMENT, title: "There is no such format", retryable: false },
  PRECONDITION_FAILED: { httpStatus: 412, grpcStatus: GrpcStatus.FAILED_PRECONDITION, title: "It was changed meanwhile", retryable: false },
  IDEMPOTENCY_CONFLICT: { httpStatus: 409, grpcStatus: GrpcStatus.ALREADY_EXISTS, title: "The key was used for something else", retryable: false },
  QUERY_TOO_LARGE: { httpStatus: 413, grpcStatus: GrpcStatus.RESOURCE_EXHAUSTED, title: "The query would read too much", retryable: false },
  QUERY_TIMEOUT: { httpStatus: 504, grpcStatus: GrpcStatus.DEADLINE_EXCEEDED, title: "The query took too long", retryable: true },
  STORAGE_UNAVAILABLE: { httpStatus: 503, grpcStatus: GrpcStatus.UNAVAILABLE, title: "The storage does not answer", retryable: true },
  MALFORMED_REQUEST: { httpStatus: 400, grpcStatus: GrpcStatus.INVALID_ARGUMENT, title: "This is no HTTP that can be read", retryable: false },
  REQUEST_TIMEOUT: { httpStatus: 408, grpcStatus: GrpcStatus.DEADLINE_EXCEEDED, title: "The request did not come to its end", retryable: true },
  HEADERS_TOO_LARGE: { httpStatus: 431, grpcStatus: GrpcStatus.RESOURCE_EXHAUSTED, title: "The address or headers are too large", retryable: false },
  PAYLOAD_TOO_LARGE: { httpStatus: 413, grpcStatus: GrpcStatus.RESOURCE_EXHAUSTED, title: "The request body is too large", retryable: false },
  OVERLOADED: { httpStatus: 503, grpcStatus: GrpcStatus.UNAVAILABLE, title: "Too many queries wait for the storage", retryable: true },
  RATE_LIMITED: { httpStatus: 429, grpcStatus: GrpcStatus.RESOURCE_EXHAUSTED, title: "Too many requests", retryable: true },
  INTERNAL: { httpStatus: 500, grpcStatus: GrpcStatus.INTERNAL, title: "Something broke on our side", retryable: false },
} as const satisfies Record<string, ErrorKind>;

export type ErrorCode = keyof typeof errorKinds;

/** One offending field of a request. */
export interface FieldProblem {
  /** JSON pointer into the body (`/select/0/measure`), or `/name` of a query parameter. */
  readonly pointer: string;
  readonly detail: string;
  /** What was probably meant. */
  readonly suggestion?: string | undefined;
  /** Where in the field's text it is wrong, half open, in UTF-16 units. */
  readonly start?: number | undefined;
  readonly end?: number | undefined;
}

export interface AppErrorOptions {
  readonly errors?: readonly FieldProblem[] | undefined;
  readonly retryAfterMs?: number | undefined;
  readonly cause?: unknown;
}

/** An expected failure. `message` is shown to the caller: what happened, to what, what to do next. */
export class AppError extends Error {
  override readonly name = "AppError";
  readonly code: ErrorCode;
  readonly errors: readonly FieldProblem[] | undefined;
  readonly retryAfterMs: number | undefined;

  constructor(code: ErrorCode, detail: string, options: AppErrorOptions = {}) {
    super(detail, { cause: options.cause });
    this.code = code;
    this.errors = options.errors;
    this.retryAfterMs = options.retryAfterMs;
  }

  get kind(): ErrorKind {
    return errorKinds[this.code];
  }
}
