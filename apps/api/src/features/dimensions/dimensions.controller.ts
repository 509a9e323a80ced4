// SPDX-License-Identifier: Apache-2.0
import { Controller, Get, Inject, Param, Query, Res, UseInterceptors } from "@nestjs/common";
import type { FastifyReply } from "fastify";
import { type Caller, CurrentCaller, RequireScope } from "../../common/caller.ts";
import { untilGone } from "../../common/until-gone.ts";
import { parseOrThrow } from "../../common/validation.ts";
import { Formats } from "../formats/formats.interceptor.ts";
import { listTable } from "../formats/list-table.ts";
import { QueryLimitInterceptor } from "../limits/query-limit.interceptor.ts";
import { type DimensionValues, dimensionValueSchema, dimensionValuesParametersSchema } from "./dimensions.schemas.ts";
import { DimensionsService } from "./dimensions.service.ts";

@Controller("dimensions")
@RequireScope("metrics:read")
@Formats(listTable(dimensionValueSchema))
@UseInterceptors(QueryLimitInterceptor)
export class DimensionsController {
  constructor(@Inject(DimensionsService) private readonly dimensions: DimensionsService) {}

  @Get(":name/values")
  async values(
    @CurrentCaller() caller: Caller,
    @Param("name") name: string,
    @Query() parameters: unknown,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<DimensionValues> {
    return this.dimensions.values(caller, name, parseOrThrow(dimensionValuesParametersSchema, parameters), untilGone(reply));
  }
}
