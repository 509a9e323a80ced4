// SPDX-License-Identifier: Apache-2.0
import { Module } from "@nestjs/common";
import { QueryModule } from "../query/query.module.ts";
import { ExplainController } from "./explain.controller.ts";
import { ExplainRepository } from "./explain.repository.ts";
import { ExplainService } from "./explain.service.ts";

@Module({ imports: [QueryModule], controllers: [ExplainController], providers: [ExplainService, ExplainRepository] })
export class ExplainModule {}
