// SPDX-License-Identifier: Apache-2.0
import { Module } from "@nestjs/common";
import { AuditModule } from "../audit/audit.module.ts";
import { HostsModule } from "../hosts/hosts.module.ts";
import { HostSettingsController } from "./host-settings.controller.ts";
import { HostSettingsRepository } from "./host-settings.repository.ts";
import { HostSettingsService } from "./host-settings.service.ts";
import { SettingsWatch } from "./settings-watch.service.ts";

@Module({
  imports: [AuditModule, HostsModule],
  controllers: [HostSettingsController],
  providers: [HostSettingsRepository, HostSettingsService, SettingsWatch],
  exports: [SettingsWatch],
})
export class HostSettingsModule {}
