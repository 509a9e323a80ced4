// SPDX-License-Identifier: Apache-2.0
import { Module } from "@nestjs/common";
import { QueryModule } from "../query/query.module.ts";
import { ExplainController } from "./explain.controller.ts";
import { ExplainService } from "./explain.service.ts";

@Module({ imports: [QueryModule], controllers: [ExplainController], providers: [ExplainService] })
export class ExplainModule {}
