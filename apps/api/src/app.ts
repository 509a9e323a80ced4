// SPDX-License-Identifier: Apache-2.0
import "reflect-metadata";
import { randomUUID } from "node:crypto";
import type { IncomingMessage } from "node:http";
import cookie from "@fastify/cookie";
import { NestFactory } from "@nestjs/core";
import { FastifyAdapter, type NestFastifyApplication } from "@nestjs/platform-fastify";
import type { FastifyReply, FastifyRequest } from "fastify";
import { AppModule } from "./app.module.ts";
import { AppError } from "./common/app-error.ts";
import { type Log, nestLogger } from "./common/log.ts";
import { sendProblem } from "./common/problem.filter.ts";
import { toAppError } from "./common/problem.ts";
import type { Config } from "./config/config.ts";

/** The largest request is a query object; nothing near this is honest. */
const BODY_BYTES_MAX = 64 * 1_024;

/** Routes of supervisors and scrapers, outside the versioned prefix. */
const rootRoutes = ["healthz", "readyz", "metrics"];

/** The application, initialised and not yet listening on HTTP. The caller listens and closes. */
export async function createApp(config: Config, log: Log): Promise<NestFastifyApplication> {
  const adapter = new FastifyAdapter({
    bodyLimit: BODY_BYTES_MAX,
    // A caller's own id is kept, so that both sides' logs meet; only if it cannot break a log line or a header.
    genReqId: (request: IncomingMessage) => {
      const given = request.headers["x-request-id"];
      return typeof given === "string" && /^[\w.:-]{1,64}$/.test(given) ? given : randomUUID();
    },
    // A host's name may have 253 characters; each may be percent-encoded.
    routerOptions: { maxParamLength: 1_024 },
    // What the router cannot even read never reaches Nest's filter.
    frameworkErrors: (error: Error, request: FastifyRequest, reply: FastifyReply) => {
      reply.header("x-request-id", request.id).header("x-content-type-options", "nosniff");
      sendProblem(reply, toAppError(error) ?? new AppError("NOT_FOUND", "There is nothing at this address."), String(request.id));
    },
    // Open keep-alive connections must not hold up a stop.
    forceCloseConnections: true,
  });
  const app = await NestFactory.create<NestFastifyApplication>(AppModule.register(config, log), adapter, {
    logger: nestLogger(log),
    abortOnError: false,
    // Fastify's own JSON parser does. Nest would add one for forms, which any page may send with a visitor's cookies and without asking.
    bodyParser: false,
  });
  app.setGlobalPrefix("api/v1", { exclude: rootRoutes });
  await app.register(cookie);
  const fastify = app.getHttpAdapter().getInstance();
  fastify.removeContentTypeParser("text/plain");
  fastify.addHook("onRequest", async (request, reply) => {
    reply.header("x-request-id", request.id).header("x-content-type-options", "nosniff");
  });
  fastify.addHook("onResponse", async (request, reply) => {
    const route = request.routeOptions.url ?? "none";
    const fields = { requestId: request.id, method: request.method, route, status: reply.statusCode, durationMs: Math.round(reply.elapsedTime) };
    if (rootRoutes.includes(route.slice(1))) log.debug(fields, "request");
    else log.info(fields, "request");
  });
  await app.init();
  return app;
}
