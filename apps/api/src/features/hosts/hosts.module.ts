// SPDX-License-Identifier: Apache-2.0
import { Module } from "@nestjs/common";
import { AuditModule } from "../audit/audit.module.ts";
import { HostTagsService } from "./host-tags.service.ts";
import { HostsController } from "./hosts.controller.ts";
import { HostsRepository } from "./hosts.repository.ts";
import { HostsService } from "./hosts.service.ts";

@Module({
  imports: [AuditModule],
  controllers: [HostsController],
  providers: [HostsService, HostsRepository, HostTagsService],
  exports: [HostsRepository, HostsService],
})
export class HostsModule {}
