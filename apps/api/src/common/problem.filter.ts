// SPDX-License-Identifier: Apache-2.0
import { type ArgumentsHost, Catch, type ExceptionFilter, Inject } from "@nestjs/common";
import type { FastifyReply, FastifyRequest } from "fastify";
import { AppError } from "./app-error.ts";
import { Log } from "./log.ts";
import { toAppError, toProblem } from "./problem.ts";

/** Answers every thrown value as problem+json. A bug's text goes to the log under the request id, never to the caller. */
@Catch()
export class ProblemFilter implements ExceptionFilter {
  constructor(@Inject(Log) private readonly log: Log) {}

  catch(thrown: unknown, host: ArgumentsHost): void {
    const http = host.switchToHttp();
    const request = http.getRequest<FastifyRequest>();
    const reply = http.getResponse<FastifyReply>();
    const requestId = String(request.id);
    // The caller went away: nobody is left to answer, and nothing is wrong here.
    if (request.raw.destroyed && reply.raw.destroyed) return;
    const known = toAppError(thrown);
    if (known === undefined) this.log.error({ err: thrown, requestId, route: request.routeOptions?.url }, "request failed");
    else if (known.kind.httpStatus >= 500) this.log.warn({ err: known.cause ?? known, requestId, errorCode: known.code }, "request failed");
    const error = known ?? new AppError("INTERNAL", `The request failed for a reason of ours; quote request id ${requestId}.`);
    if (reply.sent) return;
    sendProblem(reply, error, requestId);
  }
}

/** Answers with a problem document. */
export function sendProblem(reply: FastifyReply, error: AppError, requestId: string): void {
  reply.code(error.kind.httpStatus).header("content-type", "application/problem+json; charset=utf-8").header("cache-control", "no-store");
  if (error.code === "UNAUTHENTICATED") reply.header("www-authenticate", 'Bearer realm="waggle"');
  if (error.retryAfterMs !== undefined) reply.header("retry-after", String(Math.ceil(error.retryAfterMs / 1_000)));
  // Serialised here: the adapter would put its own content type on an object.
  reply.send(JSON.stringify(toProblem(error, requestId)));
}
