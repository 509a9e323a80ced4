// SPDX-License-Identifier: Apache-2.0
import { Module } from "@nestjs/common";
import { IngestModule } from "../ingest/ingest.module.ts";
import { ServerStorageService } from "./server-storage.service.ts";
import { StorageModule } from "./storage.module.ts";

/** Apart from the storage module, which ingest itself needs. */
@Module({ imports: [StorageModule, IngestModule], providers: [ServerStorageService] })
export class ServerStorageModule {}
