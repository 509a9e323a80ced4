// SPDX-License-Identifier: Apache-2.0
import { Controller, Get, Inject, Param, Query } from "@nestjs/common";
import { type Caller, CurrentCaller, RequireScope } from "../../common/caller.ts";
import { parseOrThrow } from "../../common/validation.ts";
import { Formats } from "../formats/formats.interceptor.ts";
import { listTable } from "../formats/list-table.ts";
import { type Host, type HostList, hostListParametersSchema, hostSchema } from "./hosts.schemas.ts";
import { HostsService } from "./hosts.service.ts";

@Controller("hosts")
@RequireScope("hosts:read")
export class HostsController {
  constructor(@Inject(HostsService) private readonly hosts: HostsService) {}

  @Get()
  @Formats(listTable(hostSchema))
  async list(@CurrentCaller() caller: Caller, @Query() parameters: unknown): Promise<HostList> {
    return this.hosts.list(caller, parseOrThrow(hostListParametersSchema, parameters));
  }

  @Get(":idOrName")
  async get(@CurrentCaller() caller: Caller, @Param("idOrName") idOrName: string): Promise<Host> {
    return this.hosts.getOrThrow(caller, idOrName);
  }
}
