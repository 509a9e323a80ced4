// SPDX-License-Identifier: Apache-2.0
import { type CallHandler, type ExecutionContext, Inject, Injectable, type NestInterceptor } from "@nestjs/common";
import type { FastifyReply } from "fastify";
import { type Observable, tap } from "rxjs";
import { Clock } from "../../common/clock.ts";
import { AnswerBodies } from "./answer-bodies.ts";

/** An answer that reaches the present changes with each window, whatever its step. */
const MAX_AGE_OF_PRESENT_SECONDS = 60;
/** What is late, resent or backfilled changes the past too. */
const MAX_AGE_SECONDS = 3_600;
const SETTLED_MS = 10 * 60_000;

/** Says how long a query's answer stays as it is: a step, and only in the cache of who asked. Of one that others get, too, how old it is. */
@Injectable()
export class AnswerCacheInterceptor implements NestInterceptor {
  constructor(
    @Inject(Clock) private readonly clock: Clock,
    @Inject(AnswerBodies) private readonly bodies: AnswerBodies,
  ) {}

  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    const reply = context.switchToHttp().getResponse<FastifyReply>();
    return next.handle().pipe(
      tap((answer: { meta?: { stepSeconds?: number; to?: string } } | undefined) => {
        const { stepSeconds, to } = answer?.meta ?? {};
        if (stepSeconds === undefined || to === undefined || reply.hasHeader("cache-control")) return;
        const ageMs = this.bodies.ageMs(answer);
        if (ageMs !== undefined && ageMs >= 1_000) reply.header("age", String(Math.floor(ageMs / 1_000)));
        const isSettled = Date.parse(to) < this.clock.now() - SETTLED_MS;
        reply.header(
          "cache-control",
          `private, max-age=${Math.floor(Math.min(stepSeconds, isSettled ? MAX_AGE_SECONDS : MAX_AGE_OF_PRESENT_SECONDS))}`,
        );
      }),
    );
  }
}
