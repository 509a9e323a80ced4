// SPDX-License-Identifier: Apache-2.0
import { Body, Controller, Delete, Get, HttpCode, Inject, Post, Req, Res } from "@nestjs/common";
import type { FastifyReply, FastifyRequest } from "fastify";
import { SESSION_COOKIE } from "../../common/auth.guard.ts";
import { type Caller, CurrentCaller, Public } from "../../common/caller.ts";
import { parseOrThrow } from "../../common/validation.ts";
import { createSessionSchema, type Session } from "./sessions.schemas.ts";
import { TokensService } from "./tokens.service.ts";

@Controller("session")
export class SessionsController {
  constructor(@Inject(TokensService) private readonly tokens: TokensService) {}

  /** Signs a browser in. */
  @Post()
  @Public()
  @HttpCode(200)
  async create(@Body() body: unknown, @Req() request: FastifyRequest, @Res({ passthrough: true }) reply: FastifyReply): Promise<Session> {
    const { token } = parseOrThrow(createSessionSchema, body);
    const { caller, secret, expiresAt } = await this.tokens.createSession(token.trim());
    reply.setCookie(SESSION_COOKIE, secret, {
      httpOnly: true,
      sameSite: "strict",
      path: "/",
      expires: expiresAt,
      // Browsers drop a Secure cookie on plain HTTP, which is how a laptop runs it; behind TLS the proxy says so.
      secure: request.headers["x-forwarded-proto"] === "https",
    });
    return toSession(caller);
  }

  @Get()
  get(@CurrentCaller() caller: Caller): Session {
    return toSession(caller);
  }

  /** Public, so that signing out of a session that is over is not an error. */
  @Delete()
  @Public()
  @HttpCode(204)
  async delete(@Req() request: FastifyRequest, @Res({ passthrough: true }) reply: FastifyReply): Promise<void> {
    const secret = request.cookies[SESSION_COOKIE];
    if (secret !== undefined) await this.tokens.deleteSession(secret);
    reply.clearCookie(SESSION_COOKIE, { path: "/" });
  }
}

function toSession(caller: Caller): Session {
  return { organisation: { id: caller.organisationId, name: caller.organisationName }, scopes: [...caller.scopes] };
}
