// SPDX-License-Identifier: Apache-2.0
import { Module } from "@nestjs/common";
import { HostSettingsModule } from "../host-settings/host-settings.module.ts";
import { LedgerModule } from "../ledger/ledger.module.ts";
import { StorageModule } from "../storage/storage.module.ts";
import { FrameWriter } from "./frame-writer.service.ts";
import { HostStatusRepository } from "./host-status.repository.ts";
import { HostStatusService } from "./host-status.service.ts";
import { IngestServer } from "./ingest.grpc.ts";
import { IngestMetrics } from "./ingest.metrics.ts";

@Module({
  imports: [HostSettingsModule, LedgerModule, StorageModule],
  providers: [IngestMetrics, FrameWriter, HostStatusRepository, HostStatusService, IngestServer],
  exports: [IngestServer, FrameWriter],
})
export class IngestModule {}
