// SPDX-License-Identifier: Apache-2.0
import { type CallHandler, type ExecutionContext, Inject, Injectable, type NestInterceptor } from "@nestjs/common";
import { finalize, type Observable, tap } from "rxjs";
import type { AuthenticatedRequest } from "../../common/caller.ts";
import { LimitsService } from "./limits.service.ts";

/** What a query that failed is taken to have read: it was stopped for reading too much, or it read little. */
const ROWS_OF_FAILED_QUERY = 1_000_000;

/** Admits a request whose answer says `meta.rowsRead`, and counts that against the organisation's query limits. */
@Injectable()
export class QueryLimitInterceptor implements NestInterceptor {
  constructor(@Inject(LimitsService) private readonly limits: LimitsService) {}

  async intercept(context: ExecutionContext, next: CallHandler): Promise<Observable<unknown>> {
    const { caller } = context.switchToHttp().getRequest<AuthenticatedRequest>();
    // The guard has been here before.
    if (caller === undefined) return next.handle();
    const done = await this.limits.admitQuery(caller.organisationId);
    let rowsRead = ROWS_OF_FAILED_QUERY;
    return next.handle().pipe(
      tap((answer: { meta?: { rowsRead?: number } }) => {
        rowsRead = answer.meta?.rowsRead ?? 0;
      }),
      finalize(() => done(rowsRead)),
    );
  }
}
