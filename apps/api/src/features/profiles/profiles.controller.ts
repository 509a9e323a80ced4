// SPDX-License-Identifier: Apache-2.0
import { Body, Controller, Get, Headers, HttpCode, Inject, Post, Query, Res, UseInterceptors } from "@nestjs/common";
import type { FastifyReply } from "fastify";
import { type Caller, CurrentCaller, RequireScope } from "../../common/caller.ts";
import { untilGone } from "../../common/until-gone.ts";
import { parseOrThrow } from "../../common/validation.ts";
import { LimitsService } from "../limits/limits.service.ts";
import { QueryLimitInterceptor } from "../limits/query-limit.interceptor.ts";
import { toCollapsed, toPprof, toSpeedscope } from "./exports.ts";
import { type ProfileAnswer, type ProfileParameters, profileParametersSchema, profileQuerySchema } from "./profiles.schemas.ts";
import { ProfilesService } from "./profiles.service.ts";

type Format = NonNullable<ProfileParameters["format"]>;

@Controller("profiles")
@RequireScope("metrics:read")
export class ProfilesController {
  constructor(
    @Inject(ProfilesService) private readonly profiles: ProfilesService,
    @Inject(LimitsService) private readonly limits: LimitsService,
  ) {}

  @Get()
  async get(
    @CurrentCaller() caller: Caller,
    @Query() parameters: unknown,
    @Headers("accept") accept: string | undefined,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    const { format = formatOf(accept), ...query } = parseOrThrow(profileParametersSchema, parameters);
    const gone = untilGone(reply);
    // Not every answer here has a place to say what it read, so the limit is not the interceptor's.
    const done = await this.limits.admitQuery(caller.organisationId);
    let rowsRead = 0;
    try {
      if (format === "tree") {
        const answer = await this.profiles.tree(caller, query, gone);
        rowsRead = answer.meta.rowsRead;
        await reply.header("vary", "accept").send(answer);
        return;
      }
      const found = await this.profiles.export(caller, query, gone);
      rowsRead = found.rowsRead;
      const name = `${query.signal}-${new Date(found.profile.fromMs).toISOString().replace(/[:.]/g, "-")}`;
      reply.header("vary", "accept");
      if (format === "collapsed") await reply.type("text/plain; charset=utf-8").send(toCollapsed(found.profile));
      else if (format === "speedscope") {
        await reply
          .type("application/json; charset=utf-8")
          .header("content-disposition", `attachment; filename="${name}.speedscope.json"`)
          .send(toSpeedscope(found.profile));
      } else {
        await reply
          .type("application/vnd.google.protobuf")
          .header("content-disposition", `attachment; filename="${name}.pb.gz"`)
          .send(Buffer.from(toPprof(found.profile)));
      }
    } finally {
      done(rowsRead);
    }
  }

  @Post()
  @HttpCode(200)
  @UseInterceptors(QueryLimitInterceptor)
  async query(@CurrentCaller() caller: Caller, @Body() body: unknown, @Res({ passthrough: true }) reply: FastifyReply): Promise<ProfileAnswer> {
    return this.profiles.tree(caller, parseOrThrow(profileQuerySchema, body), untilGone(reply));
  }
}

/** What a client that names no format takes; the tree unless it wants text or protobuf and says nothing of JSON. */
function formatOf(accept = ""): Format {
  if (accept.includes("json") || accept.includes("*/*")) return "tree";
  if (accept.includes("protobuf")) return "pprof";
  return accept.includes("text/plain") ? "collapsed" : "tree";
}
