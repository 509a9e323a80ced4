// SPDX-License-Identifier: Apache-2.0
import { Module } from "@nestjs/common";
import { QueryController } from "./query.controller.ts";
import { QueryRepository } from "./query.repository.ts";
import { QueryService } from "./query.service.ts";

@Module({ controllers: [QueryController], providers: [QueryService, QueryRepository], exports: [QueryService, QueryRepository] })
export class QueryModule {}
