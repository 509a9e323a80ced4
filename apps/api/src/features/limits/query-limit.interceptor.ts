// SPDX-License-Identifier: Apache-2.0
import { type CallHandler, type ExecutionContext, Inject, Injectable, type NestInterceptor } from "@nestjs/common";
import type { FastifyReply } from "fastify";
import { finalize, type Observable, tap } from "rxjs";
import type { AuthenticatedRequest } from "../../common/caller.ts";
import { LimitsService } from "./limits.service.ts";
import { setRateLimits } from "./rate-limit-headers.ts";

/** What a query that failed is taken to have read: it was stopped for reading too much, or it read little. */
const ROWS_OF_FAILED_QUERY = 1_000_000;

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
      tap((answer: { meta?: { rowsRead?: number } }) => {
        done(answer.meta?.rowsRead ?? 0);
        tell();
      }),
      // Nothing is left to count after an answer.
      finalize(() => done(ROWS_OF_FAILED_QUERY)),
    );
  }
}
