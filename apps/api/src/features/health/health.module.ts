// SPDX-License-Identifier: Apache-2.0
import { Inject, Module } from "@nestjs/common";
import { collectDefaultMetrics, Registry } from "prom-client";
import { StorageModule } from "../storage/storage.module.ts";
import { HealthController } from "./health.controller.ts";

@Module({ imports: [StorageModule], controllers: [HealthController] })
export class HealthModule {
  constructor(@Inject(Registry) registry: Registry) {
    collectDefaultMetrics({ register: registry });
  }
}
