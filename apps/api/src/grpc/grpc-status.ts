// SPDX-License-Identifier: Apache-2.0

/** Status codes of gRPC, as many as are answered here. */
export const GrpcStatus = {
  OK: 0,
  CANCELLED: 1,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  ABORTED: 10,
  OUT_OF_RANGE: 11,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  UNAUTHENTICATED: 16,
} as const;

export type GrpcStatus = (typeof GrpcStatus)[keyof typeof GrpcStatus];

/** Ends a call with a status and a reason. */
export class GrpcError extends Error {
  override readonly name = "GrpcError";
  readonly code: GrpcStatus;

  constructor(code: GrpcStatus, details: string) {
    super(details);
    this.code = code;
  }
}

/** Text as the trailer `grpc-message` carries it: UTF-8 with everything but printable ASCII as %XX. */
export function encodeStatusMessage(text: string): string {
  return text.toWellFormed().replace(/[^ -$&-~]+/g, (part) => encodeURIComponent(part));
}

const UNIT_MS: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1_000, m: 1, u: 1e-3, n: 1e-6 };

/** What the header `grpc-timeout` allows, ms; undefined if it says nothing that can be read. */
export function parseTimeoutMs(header: string | undefined): number | undefined {
  const match = /^(\d{1,8})([HMSmun])$/.exec(header ?? "");
  return match === null ? undefined : Number(match[1]) * (UNIT_MS[match[2] as string] as number);
}
