// SPDX-License-Identifier: Apache-2.0
import { Module } from "@nestjs/common";
import { FormatsModule } from "../formats/formats.module.ts";
import { RollupsModule } from "../rollups/rollups.module.ts";
import { QueryPlanner } from "./planner.ts";
import { QueryController } from "./query.controller.ts";
import { QueryMetrics } from "./query.metrics.ts";
import { QueryRepository } from "./query.repository.ts";
import { QueryService } from "./query.service.ts";
import { QueryExecutor } from "./query-executor.ts";
import { StatementAdmission } from "./statement-admission.ts";

@Module({
  imports: [RollupsModule, FormatsModule],
  controllers: [QueryController],
  providers: [QueryService, QueryExecutor, QueryPlanner, QueryRepository, QueryMetrics, StatementAdmission],
  exports: [QueryService, QueryRepository, QueryExecutor],
})
export class QueryModule {}
