// SPDX-License-Identifier: Apache-2.0
import { Module } from "@nestjs/common";
import { HostsModule } from "../hosts/hosts.module.ts";
import { QueryModule } from "../query/query.module.ts";
import { CompletenessRepository } from "./completeness.repository.ts";
import { LiveController } from "./live.controller.ts";
import { LiveMetrics } from "./live.metrics.ts";
import { LiveService } from "./live.service.ts";

@Module({ imports: [HostsModule, QueryModule], controllers: [LiveController], providers: [LiveService, LiveMetrics, CompletenessRepository] })
export class LiveModule {}
