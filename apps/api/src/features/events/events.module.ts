// SPDX-License-Identifier: Apache-2.0
import { Module } from "@nestjs/common";
import { AuditModule } from "../audit/audit.module.ts";
import { QueryModule } from "../query/query.module.ts";
import { EventsController } from "./events.controller.ts";
import { EventsRepository } from "./events.repository.ts";
import { EventsService } from "./events.service.ts";

@Module({ imports: [QueryModule, AuditModule], controllers: [EventsController], providers: [EventsService, EventsRepository] })
export class EventsModule {}
