// SPDX-License-Identifier: Apache-2.0
import { Module } from "@nestjs/common";
import { QueryModule } from "../query/query.module.ts";
import { ProfilesController } from "./profiles.controller.ts";
import { ProfilesService } from "./profiles.service.ts";

@Module({ imports: [QueryModule], controllers: [ProfilesController], providers: [ProfilesService] })
export class ProfilesModule {}
