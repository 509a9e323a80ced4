// SPDX-License-Identifier: Apache-2.0
import "reflect-metadata";
import { randomUUID } from "node:crypto";
import type { IncomingMessage } from "node:http";
import compress from "@fastify/compress";
import cookie from "@fastify/cookie";
import { NestFactory } from "@nestjs/core";
import { FastifyAdapter, type NestFastifyApplication } from "@nestjs/platform-fastify";
import type { FastifyReply, FastifyRequest } from "fastify";
import { AppModule } from "./app.module.ts";
import { AppError } from "./common/app-error.ts";
import { COMPRESS_AT_ONCE_BYTES, COMPRESS_FROM_BYTES, compressionOptions, encodings } from "./common/compression.ts";
import { type Log, nestLogger } from "./common/log.ts";
import { sendProblem } from "./common/problem.filter.ts";
import { toAppError } from "./common/problem.ts";
import { RouteMethods } from "./common/route-methods.ts";
import { answerUnreadable } from "./common/unreadable-request.ts";
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
    // Nor does what is no HTTP at all reach the router.
    clientErrorHandler: answerUnreadable,
    // A request without Host is refused below, in words.
    http: { requireHostHeader: false },
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
  await app.register(compress, {
    threshold: COMPRESS_FROM_BYTES,
    syncThreshold: COMPRESS_AT_ONCE_BYTES,
    encodings: [...encodings],
    // JSON, problems, NDJSON, CSV, Arrow and the metrics; a stream of events goes out as it comes.
    customTypes:
      /^(?:application\/(?:problem\+|vnd\.speedscope\+)?json|application\/x-ndjson|text\/(?!event-stream)|application\/vnd\.apache\.arrow)/,
    zlibOptions: compressionOptions.zlib,
    brotliOptions: compressionOptions.brotli,
    // A query object is small; what unpacks to something large is not honest.
    globalDecompression: false,
  });
  const fastify = app.getHttpAdapter().getInstance();
  fastify.removeContentTypeParser("text/plain");
  // What PATCH takes is a merge patch (RFC 7396), and may be called so.
  fastify.addContentTypeParser("application/merge-patch+json", { parseAs: "string" }, fastify.getDefaultJsonParser("error", "error"));
  // Node answers these two itself, without a word, where nobody else does. There is no proxy here; what a client expects besides may be ignored (RFC 9110, section 10.1.1).
  fastify.server.on("connect", (_, socket) => answerUnreadable(new Error("CONNECT"), socket));
  fastify.server.on("checkExpectation", (request, response) => fastify.server.emit("request", request, response));
  const routes = new RouteMethods();
  fastify.addHook("onRoute", ({ method, url }) => routes.add(method, url));
  fastify.addHook("onRequest", async (request, reply) => {
    reply.header("x-request-id", request.id).header("x-content-type-options", "nosniff");
    if (request.headers.host === undefined && request.raw.httpVersion === "1.1")
      throw new AppError("MALFORMED_REQUEST", "The request has no Host header.");
    const encoding = request.headers["content-encoding"];
    if (encoding !== undefined && encoding.toLowerCase() !== "identity")
      throw new AppError("VALIDATION_FAILED", "Bodies are read as they are: send this one without Content-Encoding.");
    // No name and no text has one, and Postgres takes none.
    if (request.url.includes("%00")) throw new AppError("VALIDATION_FAILED", "The address holds a NUL character (%00).");
    const methods = request.is404 ? routes.of(request.url).join(", ") : "";
    if (methods !== "") {
      reply.header("allow", methods);
      throw new AppError("METHOD_NOT_ALLOWED", `${request.method} is not for this address; it takes ${methods}.`);
    }
  });
  fastify.addHook("onResponse", async (request, reply) => {
    const route = request.routeOptions.url ?? "none";
    const traceId = traceIdOf(request.headers["traceparent"]);
    const fields = {
      requestId: request.id,
      ...(traceId === undefined ? {} : { traceId }),
      method: request.method,
      route,
      status: reply.statusCode,
      durationMs: Math.round(reply.elapsedTime),
    };
    if (rootRoutes.includes(route.slice(1))) log.debug(fields, "request");
    else log.info(fields, "request");
  });
  await app.init();
  return app;
}

/** Trace id of a W3C `traceparent` header, by which the caller's tracing finds our lines; undefined for anything else. */
function traceIdOf(header: string | string[] | undefined): string | undefined {
  const traceId = typeof header === "string" ? /^[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}/.exec(header)?.[1] : undefined;
  return traceId === undefined || /^0+$/.test(traceId) ? undefined : traceId;
}
