// SPDX-License-Identifier: Apache-2.0
import { Controller, Get, Inject, Query, Req, Res } from "@nestjs/common";
import type { FastifyReply } from "fastify";
import { callerOf } from "../../common/auth.guard.ts";
import { type AuthenticatedRequest, Authenticator, type Caller, CurrentCaller, RequireScope } from "../../common/caller.ts";
import { Clock } from "../../common/clock.ts";
import { liveRequest } from "./live.schemas.ts";
import { LiveService } from "./live.service.ts";

const EVENT_STREAM = "text/event-stream; charset=utf-8";

@Controller("live")
@RequireScope("metrics:read")
export class LiveController {
  constructor(
    @Inject(LiveService) private readonly live: LiveService,
    @Inject(Authenticator) private readonly authenticator: Authenticator,
    @Inject(Clock) private readonly clock: Clock,
  ) {}

  @Get()
  async open(
    @CurrentCaller() caller: Caller,
    @Query() parameters: unknown,
    @Req() request: AuthenticatedRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    // A stream has no end that the length of an answer without a body could be known by: its head is all there is to it.
    if (request.method === "HEAD") {
      liveRequest(parameters, this.clock.now());
      await reply.type(EVENT_STREAM).header("cache-control", "no-store, no-transform").send();
      return;
    }
    const lastEventId = request.headers["last-event-id"];
    const { headers, cookies, method } = request;
    await this.live.open({
      caller,
      request: liveRequest(parameters, this.clock.now()),
      lastEventId: typeof lastEventId === "string" && lastEventId !== "" ? lastEventId.slice(0, 200) : undefined,
      requestId: String(request.id),
      reauthenticate: () => callerOf(this.authenticator, { headers, cookies, method }),
      accept: () => {
        reply.hijack();
        reply.raw.writeHead(200, {
          ...(reply.getHeaders() as Record<string, string>),
          "content-type": EVENT_STREAM,
          // Nobody on the way may keep or pack it: an event is of use now.
          "cache-control": "no-store, no-transform",
          "x-accel-buffering": "no",
        });
        return reply.raw;
      },
    });
  }
}
