// SPDX-License-Identifier: Apache-2.0
import { Module } from "@nestjs/common";
import { IngestModule } from "../ingest/ingest.module.ts";
import { RollupProgress } from "./rollup-progress.service.ts";
import { RollupsMetrics } from "./rollups.metrics.ts";
import { RollupsRepository } from "./rollups.repository.ts";
import { RollupsService } from "./rollups.service.ts";

@Module({
  imports: [IngestModule],
  providers: [RollupProgress, RollupsMetrics, RollupsRepository, RollupsService],
  exports: [RollupProgress, RollupsService],
})
export class RollupsModule {}
