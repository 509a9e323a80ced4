// SPDX-License-Identifier: Apache-2.0
import { Controller, Get, Inject, Query, Res, UseInterceptors } from "@nestjs/common";
import type { FastifyReply } from "fastify";
import { type Caller, CurrentCaller, RequireScope } from "../../common/caller.ts";
import { untilGone } from "../../common/until-gone.ts";
import { parseOrThrow } from "../../common/validation.ts";
import { Formats } from "../formats/formats.interceptor.ts";
import { QueryLimitInterceptor } from "../limits/query-limit.interceptor.ts";
import { processRows } from "./process-rows.ts";
import { type ProcessTable, processesParametersSchema } from "./processes.schemas.ts";
import { ProcessesService } from "./processes.service.ts";

@Controller("processes")
@RequireScope("metrics:read")
@Formats(processRows)
@UseInterceptors(QueryLimitInterceptor)
export class ProcessesController {
  constructor(@Inject(ProcessesService) private readonly processes: ProcessesService) {}

  @Get()
  async list(@CurrentCaller() caller: Caller, @Query() parameters: unknown, @Res({ passthrough: true }) reply: FastifyReply): Promise<ProcessTable> {
    return this.processes.table(caller, parseOrThrow(processesParametersSchema, parameters), untilGone(reply));
  }
}
