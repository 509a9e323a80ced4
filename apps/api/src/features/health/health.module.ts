// SPDX-License-Identifier: Apache-2.0
import { Inject, Module } from "@nestjs/common";
import { collectDefaultMetrics, Registry } from "prom-client";
import { HealthController } from "./health.controller.ts";

@Module({ controllers: [HealthController] })
export class HealthModule {
  constructor(@Inject(Registry) registry: Registry) {
    collectDefaultMetrics({ register: registry });
  }
}
