// SPDX-License-Identifier: Apache-2.0
import { Module } from "@nestjs/common";
import { HostsModule } from "../hosts/hosts.module.ts";
import { SignalsController } from "./signals.controller.ts";
import { SignalsService } from "./signals.service.ts";

@Module({ imports: [HostsModule], controllers: [SignalsController], providers: [SignalsService] })
export class SignalsModule {}
