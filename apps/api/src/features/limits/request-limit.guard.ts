// SPDX-License-Identifier: Apache-2.0
import { type CanActivate, type ExecutionContext, Inject, Injectable } from "@nestjs/common";
import type { FastifyReply } from "fastify";
import { AppError } from "../../common/app-error.ts";
import type { AuthenticatedRequest } from "../../common/caller.ts";
import { Clock } from "../../common/clock.ts";
import { Config } from "../../config/config.ts";
import { setRateLimits } from "./rate-limit-headers.ts";
import { TokenBucket } from "./token-bucket.ts";

const WINDOW_SECONDS = 60;
/** Tokens that nobody used for longer are forgotten; by then their buckets are full. */
const FORGET_AFTER_MS = 120_000;
const SWEEP_INTERVAL_MS = 60_000;

/** Counts requests per API token, and says in every answer what is left. */
@Injectable()
export class RequestLimitGuard implements CanActivate {
  private readonly buckets = new Map<string, { readonly bucket: TokenBucket; usedAtMs: number }>();
  private sweptAtMs = 0;

  constructor(
    @Inject(Config) private readonly config: Config,
    @Inject(Clock) private readonly clock: Clock,
  ) {}

  canActivate(context: ExecutionContext): boolean {
    const http = context.switchToHttp();
    const { caller } = http.getRequest<AuthenticatedRequest>();
    // Public addresses say nothing about anybody.
    if (caller === undefined) return true;
    const nowMs = this.clock.now();
    this.sweep(nowMs);
    const quota = this.config.requestsPerMinuteMax;
    let entry = this.buckets.get(caller.token.id);
    if (entry === undefined) {
      entry = { bucket: new TokenBucket(quota / WINDOW_SECONDS, WINDOW_SECONDS, nowMs), usedAtMs: nowMs };
      this.buckets.set(caller.token.id, entry);
    }
    const { bucket } = entry;
    entry.usedAtMs = nowMs;
    const isAdmitted = bucket.tryTake(1, nowMs);
    setRateLimits(http.getResponse<FastifyReply>(), [
      { name: "requests", quota, windowSeconds: WINDOW_SECONDS, left: bucket.left(nowMs), fullInSeconds: bucket.fullInSeconds(nowMs) },
    ]);
    if (isAdmitted) return true;
    throw new AppError(
      "RATE_LIMITED",
      `The token may make ${quota} requests a minute and has made them. Wait, ask for more at once (\`by\`, several selections), or ask for a higher WAGGLE_API_LIMIT_REQUESTS_PER_MINUTE.`,
      { retryAfterMs: Math.max(1_000, bucket.waitMs(1, nowMs)) },
    );
  }

  private sweep(nowMs: number): void {
    if (nowMs - this.sweptAtMs < SWEEP_INTERVAL_MS) return;
    this.sweptAtMs = nowMs;
    for (const [id, { usedAtMs }] of this.buckets) if (nowMs - usedAtMs > FORGET_AFTER_MS) this.buckets.delete(id);
  }
}
