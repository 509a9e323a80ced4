// SPDX-License-Identifier: Apache-2.0
import { Body, Controller, Get, HttpCode, Inject, Post, Query as QueryString, Res, UseInterceptors } from "@nestjs/common";
import type { FastifyReply } from "fastify";
import { type Caller, CurrentCaller, RequireScope } from "../../common/caller.ts";
import { untilGone } from "../../common/until-gone.ts";
import { parseOrThrow, withPointers } from "../../common/validation.ts";
import { answerTable } from "../formats/answer-table.ts";
import { Formats } from "../formats/formats.interceptor.ts";
import { QueryLimitInterceptor } from "../limits/query-limit.interceptor.ts";
import { type Answer, type Query, querySchema } from "./query.schemas.ts";
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
    return this.answer(caller, latencyQuery(parameters), reply);
  }

  @Get("retransmits")
  async retransmits(
    @CurrentCaller() caller: Caller,
    @QueryString() parameters: unknown,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<Answer> {
    return this.answer(caller, retransmitsQuery(parameters), reply);
  }

  @Get("syscalls")
  async syscalls(
    @CurrentCaller() caller: Caller,
    @QueryString() parameters: unknown,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<Answer> {
    return this.answer(caller, syscallsQuery(parameters), reply);
  }

  @Get("drops")
  async drops(@CurrentCaller() caller: Caller, @QueryString() parameters: unknown, @Res({ passthrough: true }) reply: FastifyReply): Promise<Answer> {
    return this.answer(caller, dropsQuery(parameters), reply);
  }

  @Get("dns")
  async dns(@CurrentCaller() caller: Caller, @QueryString() parameters: unknown, @Res({ passthrough: true }) reply: FastifyReply): Promise<Answer> {
    return this.answer(caller, dnsQuery(parameters), reply);
  }

  @Get("disk")
  async disk(@CurrentCaller() caller: Caller, @QueryString() parameters: unknown, @Res({ passthrough: true }) reply: FastifyReply): Promise<Answer> {
    return this.answer(caller, diskQuery(parameters), reply);
  }

  @Get("files")
  async files(@CurrentCaller() caller: Caller, @QueryString() parameters: unknown, @Res({ passthrough: true }) reply: FastifyReply): Promise<Answer> {
    return this.answer(caller, filesQuery(parameters), reply);
  }

  /** What is wrong with the selections of a shortcut is wrong with its `aggregate`: it says the rest. */
  private async answer(caller: Caller, query: Query, reply: FastifyReply): Promise<Answer> {
    try {
      return await this.queries.query(caller, query, untilGone(reply));
    } catch (error) {
      return withPointers(error, (pointer) => pointer.replace(/^\/select\/\d+\/aggregate$/, "/aggregate"));
    }
  }
}
