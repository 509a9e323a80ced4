// SPDX-License-Identifier: Apache-2.0
import { Body, Controller, HttpCode, Inject, Post, Res, UseInterceptors } from "@nestjs/common";
import type { FastifyReply } from "fastify";
import { type Caller, CurrentCaller, RequireScope } from "../../common/caller.ts";
import { untilGone } from "../../common/until-gone.ts";
import { parseOrThrow } from "../../common/validation.ts";
import { QueryLimitInterceptor } from "../limits/query-limit.interceptor.ts";
import { type Explanation, explainSchema } from "./explain.schemas.ts";
import { ExplainService } from "./explain.service.ts";

@Controller("explain-difference")
@RequireScope("metrics:read")
@UseInterceptors(QueryLimitInterceptor)
export class ExplainController {
  constructor(@Inject(ExplainService) private readonly explanations: ExplainService) {}

  @Post()
  @HttpCode(200)
  async explain(@CurrentCaller() caller: Caller, @Body() body: unknown, @Res({ passthrough: true }) reply: FastifyReply): Promise<Explanation> {
    return this.explanations.explain(caller, parseOrThrow(explainSchema, body), untilGone(reply));
  }
}
