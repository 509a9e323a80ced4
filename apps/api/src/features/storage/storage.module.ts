// SPDX-License-Identifier: Apache-2.0
import { Module } from "@nestjs/common";
import { DiskGuard } from "./disk-guard.service.ts";
import { RawFloor } from "./raw-floor.service.ts";
import { RetentionService } from "./retention.service.ts";
import { StorageController } from "./storage.controller.ts";
import { StorageMetrics } from "./storage.metrics.ts";
import { StorageRepository } from "./storage.repository.ts";
import { StorageService } from "./storage.service.ts";

@Module({
  controllers: [StorageController],
  providers: [StorageMetrics, StorageRepository, RawFloor, DiskGuard, RetentionService, StorageService],
  exports: [RawFloor, DiskGuard, RetentionService, StorageRepository],
})
export class StorageModule {}
