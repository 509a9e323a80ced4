// SPDX-License-Identifier: Apache-2.0
import { Body, Controller, Get, Headers, Inject, Param, Patch, Query, Res } from "@nestjs/common";
import type { FastifyReply } from "fastify";
import { type Caller, CurrentCaller, RequireScope } from "../../common/caller.ts";
import { parseOrThrow } from "../../common/validation.ts";
import { Formats } from "../formats/formats.interceptor.ts";
import { listTable } from "../formats/list-table.ts";
import { HostTagsService } from "./host-tags.service.ts";
import { tagsRevision } from "./host-tags.ts";
import { type Host, type HostList, hostListParametersSchema, hostPatchSchema, hostSchema } from "./hosts.schemas.ts";
import { HostsService } from "./hosts.service.ts";

@Controller("hosts")
@RequireScope("hosts:read")
export class HostsController {
  constructor(
    @Inject(HostsService) private readonly hosts: HostsService,
    @Inject(HostTagsService) private readonly tags: HostTagsService,
  ) {}

  @Get()
  @Formats(listTable(hostSchema))
  async list(@CurrentCaller() caller: Caller, @Query() parameters: unknown): Promise<HostList> {
    return this.hosts.list(caller, parseOrThrow(hostListParametersSchema, parameters));
  }

  @Get(":idOrName")
  async get(@CurrentCaller() caller: Caller, @Param("idOrName") idOrName: string, @Res({ passthrough: true }) reply: FastifyReply): Promise<Host> {
    return tagged(reply, await this.hosts.getOrThrow(caller, idOrName));
  }

  @Patch(":idOrName")
  @RequireScope("hosts:write")
  async change(
    @CurrentCaller() caller: Caller,
    @Param("idOrName") idOrName: string,
    @Headers("if-match") ifMatch: string | undefined,
    @Body() body: unknown,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<Host> {
    await this.tags.change(caller, idOrName, parseOrThrow(hostPatchSchema, body), ifMatch);
    return tagged(reply, await this.hosts.getOrThrow(caller, idOrName));
  }
}

/** What can be changed of a host is its tags; everything else in it changes by itself. */
function tagged(reply: FastifyReply, host: Host): Host {
  reply.header("etag", tagsRevision(host.ownTags));
  return host;
}
