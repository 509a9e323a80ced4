// SPDX-License-Identifier: Apache-2.0
import { Body, Controller, Get, Headers, Inject, Param, Patch, Res } from "@nestjs/common";
import type { FastifyReply } from "fastify";
import { AppError } from "../../common/app-error.ts";
import { type Caller, CurrentCaller, RequireScope } from "../../common/caller.ts";
import { parseOrThrow } from "../../common/validation.ts";
import { type HostSettingsReport, type OrganisationSettingsReport, settingsPatchSchema } from "./host-settings.schemas.ts";
import { type ExpectedRevision, HostSettingsService } from "./host-settings.service.ts";

@Controller()
export class HostSettingsController {
  constructor(@Inject(HostSettingsService) private readonly settings: HostSettingsService) {}

  @Get("settings")
  @RequireScope("hosts:read")
  async getOrganisation(@CurrentCaller() caller: Caller, @Res({ passthrough: true }) reply: FastifyReply): Promise<OrganisationSettingsReport> {
    return tagged(reply, await this.settings.getOrganisation(caller));
  }

  @Patch("settings")
  @RequireScope("hosts:write")
  async changeOrganisation(
    @CurrentCaller() caller: Caller,
    @Headers("if-match") ifMatch: string | undefined,
    @Body() body: unknown,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<OrganisationSettingsReport> {
    return tagged(reply, await this.settings.changeOrganisation(caller, parseOrThrow(settingsPatchSchema, body), expectedRevision(ifMatch)));
  }

  @Get("hosts/:idOrName/settings")
  @RequireScope("hosts:read")
  async getHost(
    @CurrentCaller() caller: Caller,
    @Param("idOrName") idOrName: string,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<HostSettingsReport> {
    return tagged(reply, await this.settings.getHost(caller, idOrName));
  }

  @Patch("hosts/:idOrName/settings")
  @RequireScope("hosts:write")
  async changeHost(
    @CurrentCaller() caller: Caller,
    @Param("idOrName") idOrName: string,
    @Headers("if-match") ifMatch: string | undefined,
    @Body() body: unknown,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<HostSettingsReport> {
    return tagged(reply, await this.settings.changeHost(caller, idOrName, parseOrThrow(settingsPatchSchema, body), expectedRevision(ifMatch)));
  }
}

function tagged<Report extends { readonly revision: number }>(reply: FastifyReply, report: Report): Report {
  reply.header("etag", `"${report.revision}"`);
  return report;
}

/** @param ifMatch the header as RFC 9110 has it: one entity tag, or `*` */
function expectedRevision(ifMatch: string | undefined): ExpectedRevision {
  if (ifMatch === undefined || ifMatch === "*") return "any";
  const revision = /^"(\d{1,15})"$/.exec(ifMatch)?.[1];
  if (revision === undefined) throw new AppError("VALIDATION_FAILED", 'If-Match must be the ETag of these settings, such as "7", or *.');
  return Number(revision);
}
