// SPDX-License-Identifier: Apache-2.0
import { Module } from "@nestjs/common";
import { QueryModule } from "../query/query.module.ts";
import { ProcessesController } from "./processes.controller.ts";
import { ProcessesService } from "./processes.service.ts";

@Module({ imports: [QueryModule], controllers: [ProcessesController], providers: [ProcessesService] })
export class ProcessesModule {}
