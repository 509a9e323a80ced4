// SPDX-License-Identifier: Apache-2.0
import type { OpenAPIRegistry, RouteConfig } from "@asteasolutions/zod-to-openapi";
import { z } from "zod";
import { liveEndSchema, liveHelloSchema, liveParametersSchema, liveProblemSchema, liveResetSchema, liveWindowSchema } from "../live/live.schemas.ts";

/** GET /live: OpenAPI 3.1 has no words for a stream of events; what stands here is what the data of its events look like. */
export function registerLive(registry: OpenAPIRegistry, security: Record<string, string[]>[], problems: RouteConfig["responses"]): void {
  const events = z
    .union([liveHelloSchema, liveWindowSchema, liveResetSchema, liveProblemSchema, liveEndSchema])
    .meta({ description: "The `data` of the events `hello`, `window`, `reset`, `problem` and `end`, in this order." });
  registry.registerPath({
    method: "get",
    path: "/live",
    operationId: "live",
    summary: "Every window as it is complete",
    description:
      "Server-sent events: `hello` (LiveHello), `window` (LiveWindow), `reset` (LiveReset), `problem` (LiveProblem), `end` (LiveEnd), and a comment every 15 s. The ranges of `window` events follow each other without " +
      "a gap, unless a `reset` or `problem` came between. A client that comes back with `Last-Event-ID` gets what it missed, up to 10 min. Named hosts have windows of 1 s while somebody looks at them.",
    tags: ["live"],
    security,
    request: {
      query: liveParametersSchema,
      headers: z.object({
        "last-event-id": z.string().optional().meta({ description: "Id of the last event that was received; browsers send it by themselves." }),
      }),
    },
    responses: { 200: { description: "Events, for at most 30 min.", content: { "text/event-stream": { schema: events } } }, ...problems },
  });
}
