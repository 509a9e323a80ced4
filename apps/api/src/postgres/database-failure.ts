// SPDX-License-Identifier: Apache-2.0
import { DrizzleQueryError } from "drizzle-orm";
import { AppError } from "../common/app-error.ts";

/** Connections that are refused, broken or ended by a server that stops, starts or has too many (PostgreSQL's appendix A, and Node's own). */
const goneCodes = /^(?:08\w{3}|57P0[1-3]|53300|ECONNREFUSED|ECONNRESET|EPIPE|ETIMEDOUT|ENOTFOUND|EAI_AGAIN)$/;
const DISK_FULL = "53100";
const CAUSES_MAX = 5;
const RETRY_AFTER_MS = 5_000;

/** What a failed statement of the control plane says to a caller, where Postgres' state is to blame; undefined: it is none, or a bug of ours. */
export function databaseFailure(thrown: unknown): AppError | undefined {
  let isStatement = false;
  for (let error = thrown, depth = 0; error instanceof Error && depth < CAUSES_MAX; error = error.cause, depth++) {
    isStatement ||= error instanceof DrizzleQueryError;
    if (!isStatement) continue;
    const code = String((error as { code?: unknown }).code ?? "");
    if (code === DISK_FULL)
      return new AppError("STORAGE_UNAVAILABLE", "Postgres' disk is full: what is there can be read, and nothing be changed until there is room.", {
        retryAfterMs: RETRY_AFTER_MS,
        cause: thrown,
      });
    if (goneCodes.test(code))
      return new AppError("STORAGE_UNAVAILABLE", "Postgres does not answer.", { retryAfterMs: RETRY_AFTER_MS, cause: thrown });
  }
  return undefined;
}
