// SPDX-License-Identifier: Apache-2.0
import { type CallHandler, type ExecutionContext, Inject, Injectable, type NestInterceptor } from "@nestjs/common";
import type { FastifyReply } from "fastify";
import { finalize, type Observable, tap } from "rxjs";
import { AppError, type ErrorCode } from "../../common/app-error.ts";
import type { AuthenticatedRequest } from "../../common/caller.ts";
import { rowsToCount } from "../query/answer-cost.ts";
import { LimitsService } from "./limits.service.ts";
import { setRateLimits } from "./rate-limit-headers.ts";

/** What a query that was stopped while it read is taken to have read: nobody said. */
const ROWS_OF_STOPPED_QUERY = 1_000_000;
/** Failures of queries that were read for: by a limit of ClickHouse, after a time. All others were refused before anything was read. */
const stoppedCodes: readonly ErrorCode[] = ["QUERY_TOO_LARGE", "QUERY_TIMEOUT", "INTERNAL"];

const rowsOfFailed = (error: unknown): number => (error instanceof AppError && !stoppedCodes.includes(error.code) ? 0 : ROWS_OF_STOPPED_QUERY);

/** Admits a request whose answer says `meta.rowsRead`, and counts that against the organisation's query limits. */
@Injectable()
export class QueryLimitInterceptor implements NestInterceptor {
  constructor(@Inject(LimitsService) private readonly limits: LimitsService) {}

  async intercept(context: ExecutionContext, next: CallHandler): Promise<Observable<unknown>> {
    const http = context.switchToHttp();
    const { caller } = http.getRequest<AuthenticatedRequest>();
    // The guard has been here before.
    if (caller === undefined) return next.handle();
    const reply = http.getResponse<FastifyReply>();
    const { organisationId } = caller;
    const tell = (): void => setRateLimits(reply, [this.limits.queryRows(organisationId)]);
    let done: (rowsRead: number) => void;
    try {
      done = await this.limits.admitQuery(organisationId);
    } catch (error) {
      tell();
      throw error;
    }
    return next.handle().pipe(
      tap({
        next: (answer: { meta?: { rowsRead?: number } }) => {
          done(rowsToCount(answer));
          tell();
        },
        error: (error: unknown) => {
          done(rowsOfFailed(error));
          tell();
        },
      }),
      // Nothing is left to count after an answer or a failure.
      finalize(() => done(ROWS_OF_STOPPED_QUERY)),
    );
  }
}
