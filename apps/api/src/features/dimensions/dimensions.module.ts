// SPDX-License-Identifier: Apache-2.0
import { Module } from "@nestjs/common";
import { QueryModule } from "../query/query.module.ts";
import { DimensionsController } from "./dimensions.controller.ts";
import { DimensionsService } from "./dimensions.service.ts";

@Module({ imports: [QueryModule], controllers: [DimensionsController], providers: [DimensionsService] })
export class DimensionsModule {}
