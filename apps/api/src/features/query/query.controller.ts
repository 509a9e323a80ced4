// SPDX-License-Identifier: Apache-2.0
import { Body, Controller, Get, HttpCode, Inject, Post, Query as QueryString, Res, UseInterceptors } from "@nestjs/common";
import type { FastifyReply } from "fastify";
import { type Caller, CurrentCaller, RequireScope } from "../../common/caller.ts";
import { untilGone } from "../../common/until-gone.ts";
import { parseOrThrow } from "../../common/validation.ts";
import { answerTable } from "../formats/answer-table.ts";
import { Formats } from "../formats/formats.interceptor.ts";
import { QueryLimitInterceptor } from "../limits/query-limit.interceptor.ts";
import { type Answer, querySchema } from "./query.schemas.ts";
import { QueryService } from "./query.service.ts";
import { diskQuery, dnsQuery, dropsQuery, filesQuery, latencyQuery, retransmitsQuery, syscallsQuery } from "./shortcuts.ts";

@Controller()
@RequireScope("metrics:read")
@Formats(answerTable)
@UseInterceptors(QueryLimitInterceptor)
export class QueryController {
  constructor(@Inject(QueryService) private readonly queries: QueryService) {}

  @Post("query")
  @HttpCode(200)
  async query(@CurrentCaller() caller: Caller, @Body() body: unknown, @Res({ passthrough: true }) reply: FastifyReply): Promise<Answer> {
    return this.queries.query(caller, parseOrThrow(querySchema, body), untilGone(reply));
  }

  @Get("latency")
  async latency(
    @CurrentCaller() caller: Caller,
    @QueryString() parameters: unknown,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<Answer> {
    return this.queries.query(caller, latencyQuery(parameters), untilGone(reply));
  }

  @Get("retransmits")
  async retransmits(
    @CurrentCaller() caller: Caller,
    @QueryString() parameters: unknown,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<Answer> {
    return this.queries.query(caller, retransmitsQuery(parameters), untilGone(reply));
  }

  @Get("syscalls")
  async syscalls(
    @CurrentCaller() caller: Caller,
    @QueryString() parameters: unknown,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<Answer> {
    return this.queries.query(caller, syscallsQuery(parameters), untilGone(reply));
  }

  @Get("drops")
  async drops(@CurrentCaller() caller: Caller, @QueryString() parameters: unknown, @Res({ passthrough: true }) reply: FastifyReply): Promise<Answer> {
    return this.queries.query(caller, dropsQuery(parameters), untilGone(reply));
  }

  @Get("dns")
  async dns(@CurrentCaller() caller: Caller, @QueryString() parameters: unknown, @Res({ passthrough: true }) reply: FastifyReply): Promise<Answer> {
    return this.queries.query(caller, dnsQuery(parameters), untilGone(reply));
  }

  @Get("disk")
  async disk(@CurrentCaller() caller: Caller, @QueryString() parameters: unknown, @Res({ passthrough: true }) reply: FastifyReply): Promise<Answer> {
    return this.queries.query(caller, diskQuery(parameters), untilGone(reply));
  }

  @Get("files")
  async files(@CurrentCaller() caller: Caller, @QueryString() parameters: unknown, @Res({ passthrough: true }) reply: FastifyReply): Promise<Answer> {
    return this.queries.query(caller, filesQuery(parameters), untilGone(reply));
  }
}
