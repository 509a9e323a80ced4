// SPDX-License-Identifier: Apache-2.0
import { Controller, Get, Inject, Param } from "@nestjs/common";
import { type Caller, CurrentCaller, RequireScope } from "../../common/caller.ts";
import type { Host } from "./hosts.schemas.ts";
import { HostsService } from "./hosts.service.ts";

@Controller("hosts")
@RequireScope("hosts:read")
export class HostsController {
  constructor(@Inject(HostsService) private readonly hosts: HostsService) {}

  @Get()
  async list(@CurrentCaller() caller: Caller): Promise<{ data: Host[] }> {
    return { data: await this.hosts.list(caller) };
  }

  @Get(":idOrName")
  async get(@CurrentCaller() caller: Caller, @Param("idOrName") idOrName: string): Promise<Host> {
    return this.hosts.getOrThrow(caller, idOrName);
  }
}
