// SPDX-License-Identifier: Apache-2.0
import { Module } from "@nestjs/common";
import { QueryModule } from "../query/query.module.ts";
import { TopologyController } from "./topology.controller.ts";
import { TopologyService } from "./topology.service.ts";

@Module({ imports: [QueryModule], controllers: [TopologyController], providers: [TopologyService] })
export class TopologyModule {}
