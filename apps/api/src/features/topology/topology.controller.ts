// SPDX-License-Identifier: Apache-2.0
import { Controller, Get, Inject, Query, Res, UseInterceptors } from "@nestjs/common";
import type { FastifyReply } from "fastify";
import { type Caller, CurrentCaller, RequireScope } from "../../common/caller.ts";
import { untilGone } from "../../common/until-gone.ts";
import { parseOrThrow } from "../../common/validation.ts";
import { Formats } from "../formats/formats.interceptor.ts";
import { QueryLimitInterceptor } from "../limits/query-limit.interceptor.ts";
import { edgeRows } from "./edge-rows.ts";
import { type Topology, topologyParametersSchema } from "./topology.schemas.ts";
import { TopologyService } from "./topology.service.ts";

@Controller("topology")
@RequireScope("metrics:read")
@Formats(edgeRows)
@UseInterceptors(QueryLimitInterceptor)
export class TopologyController {
  constructor(@Inject(TopologyService) private readonly topologies: TopologyService) {}

  @Get()
  async topology(@CurrentCaller() caller: Caller, @Query() parameters: unknown, @Res({ passthrough: true }) reply: FastifyReply): Promise<Topology> {
    return this.topologies.topology(caller, parseOrThrow(topologyParametersSchema, parameters), untilGone(reply));
  }
}
