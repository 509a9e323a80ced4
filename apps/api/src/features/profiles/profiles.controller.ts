// SPDX-License-Identifier: Apache-2.0
import { Body, Controller, Get, HttpCode, Inject, Post, Query, Res, UseInterceptors } from "@nestjs/common";
import type { FastifyReply } from "fastify";
import { type Caller, CurrentCaller, RequireScope } from "../../common/caller.ts";
import { untilGone } from "../../common/until-gone.ts";
import { parseOrThrow } from "../../common/validation.ts";
import { AskedFormat, Formats } from "../formats/formats.interceptor.ts";
import { QueryLimitInterceptor } from "../limits/query-limit.interceptor.ts";
import type { ProfileAnswer } from "./profile-answer.schemas.ts";
import { type ProfileExport, profileFormats } from "./profile-formats.ts";
import { profileTable } from "./profile-table.ts";
import { type ProfileQuery, profileParametersSchema, profileQuerySchema } from "./profiles.schemas.ts";
import { ProfilesService } from "./profiles.service.ts";

@Controller("profiles")
@RequireScope("metrics:read")
@Formats(profileTable, profileFormats)
@UseInterceptors(QueryLimitInterceptor)
export class ProfilesController {
  constructor(@Inject(ProfilesService) private readonly profiles: ProfilesService) {}

  @Get()
  async get(
    @CurrentCaller() caller: Caller,
    @Query() parameters: unknown,
    @AskedFormat() asked: string,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<ProfileAnswer | ProfileExport> {
    const { format: _, ...query } = parseOrThrow(profileParametersSchema, parameters);
    return this.answer(caller, query, asked, untilGone(reply));
  }

  @Post()
  @HttpCode(200)
  async query(
    @CurrentCaller() caller: Caller,
    @Body() body: unknown,
    @AskedFormat() asked: string,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<ProfileAnswer | ProfileExport> {
    return this.answer(caller, parseOrThrow(profileQuerySchema, body), asked, untilGone(reply));
  }

  /** Files for other tools have all stacks, whichever nodes a tree would show. */
  private answer(caller: Caller, query: ProfileQuery, format: string, gone: AbortSignal): Promise<ProfileAnswer | ProfileExport> {
    return Object.hasOwn(profileFormats, format) ? this.profiles.export(caller, query, gone) : this.profiles.tree(caller, query, gone);
  }
}
