// SPDX-License-Identifier: Apache-2.0
import { Module } from "@nestjs/common";
import { RollupsModule } from "../rollups/rollups.module.ts";
import { QueryPlanner } from "./planner.ts";
import { QueryController } from "./query.controller.ts";
import { QueryRepository } from "./query.repository.ts";
import { QueryService } from "./query.service.ts";

@Module({
  imports: [RollupsModule],
  controllers: [QueryController],
  providers: [QueryService, QueryPlanner, QueryRepository],
  exports: [QueryService, QueryRepository],
})
export class QueryModule {}
