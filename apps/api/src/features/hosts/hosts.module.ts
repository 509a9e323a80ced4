// SPDX-License-Identifier: Apache-2.0
import { Module } from "@nestjs/common";
import { HostsController } from "./hosts.controller.ts";
import { HostsRepository } from "./hosts.repository.ts";
import { HostsService } from "./hosts.service.ts";

@Module({ controllers: [HostsController], providers: [HostsService, HostsRepository], exports: [HostsRepository, HostsService] })
export class HostsModule {}
