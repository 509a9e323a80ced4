// SPDX-License-Identifier: Apache-2.0
import { Body, Controller, Get, Headers, Inject, Post, Query, Res } from "@nestjs/common";
import type { FastifyReply } from "fastify";
import { type Caller, CurrentCaller, RequireScope } from "../../common/caller.ts";
import { atPointer, parseOrThrow } from "../../common/validation.ts";
import { Formats } from "../formats/formats.interceptor.ts";
import { listTable } from "../formats/list-table.ts";
import { createEventSchema, type Event, type EventPage, eventSchema, eventsParametersSchema, idempotencyKeySchema } from "./events.schemas.ts";
import { EventsService } from "./events.service.ts";

@Controller("events")
export class EventsController {
  constructor(@Inject(EventsService) private readonly events: EventsService) {}

  @Get()
  @RequireScope("hosts:read")
  @Formats(listTable(eventSchema))
  async list(@CurrentCaller() caller: Caller, @Query() parameters: unknown): Promise<EventPage> {
    return this.events.list(caller, parseOrThrow(eventsParametersSchema, parameters));
  }

  @Post()
  @RequireScope("events:write")
  async create(
    @CurrentCaller() caller: Caller,
    @Headers("idempotency-key") key: string | undefined,
    @Body() body: unknown,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<Event> {
    const input = parseOrThrow(createEventSchema, body);
    const { event, isNew } = await this.events.create(caller, input, key === undefined ? undefined : readKey(key));
    reply.status(isNew ? 201 : 200);
    return event;
  }
}

function readKey(key: string): string {
  try {
    return parseOrThrow(idempotencyKeySchema, key);
  } catch (error) {
    return atPointer("/idempotency-key", error);
  }
}
