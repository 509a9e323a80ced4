// SPDX-License-Identifier: Apache-2.0
import type { IncomingHttpHeaders } from "node:http";
import { type CanActivate, type ExecutionContext, Inject, Injectable } from "@nestjs/common";
import { Reflector } from "@nestjs/core";
import { AppError } from "./app-error.ts";
import { type AuthenticatedRequest, Authenticator, type Caller, IS_PUBLIC, REQUIRED_SCOPE, requireScope, type Scope } from "./caller.ts";

export const SESSION_COOKIE = "waggle_session";

const safeMethods = new Set(["GET", "HEAD", "OPTIONS"]);

/** Lets no request through without a caller, except to routes marked `@Public()`. */
@Injectable()
export class AuthGuard implements CanActivate {
  constructor(
    @Inject(Reflector) private readonly reflector: Reflector,
    @Inject(Authenticator) private readonly authenticator: Authenticator,
  ) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const targets = [context.getHandler(), context.getClass()];
    if (this.reflector.getAllAndOverride<boolean>(IS_PUBLIC, targets)) return true;
    const request = context.switchToHttp().getRequest<AuthenticatedRequest>();
    request.caller = await callerOf(this.authenticator, request);
    const scope = this.reflector.getAllAndOverride<Scope | undefined>(REQUIRED_SCOPE, targets);
    if (scope !== undefined) requireScope(request.caller, scope);
    return true;
  }
}

/**
 * Who a request's credential belongs to, as of now: also for those that stay open.
 * @throws AppError UNAUTHENTICATED, FORBIDDEN
 */
export async function callerOf(authenticator: Authenticator, request: Pick<AuthenticatedRequest, "headers" | "cookies" | "method">): Promise<Caller> {
  const header = request.headers.authorization;
  if (header !== undefined) {
    const token = /^Bearer (\S+)$/i.exec(header)?.[1];
    if (token === undefined) throw new AppError("UNAUTHENTICATED", "The Authorization header must read `Bearer wgl_adm_…`.");
    return authenticator.authenticateToken(token);
  }
  const cookie = request.cookies[SESSION_COOKIE];
  if (cookie === undefined) {
    throw new AppError("UNAUTHENTICATED", "Send `Authorization: Bearer wgl_adm_…`, or sign in at POST /api/v1/session.");
  }
  // The cookie is SameSite=Strict already; this also holds for a browser that ignores it, and for another port of the same machine, which is the same site.
  if (!safeMethods.has(request.method) && isForeign(request.headers)) {
    throw new AppError(
      "FORBIDDEN",
      "A page of another origin sent this request with your session. A proxy in front has to pass Host or X-Forwarded-Host on.",
    );
  }
  return authenticator.authenticateSession(cookie);
}

/** Whether a page that is not ours sent the request. Browsers say so themselves, except over plain HTTP; there the origin tells. */
function isForeign(headers: IncomingHttpHeaders): boolean {
  const site = headers["sec-fetch-site"];
  if (site !== undefined) return site !== "same-origin" && site !== "none";
  const { origin } = headers;
  if (origin === undefined) return false;
  const host = URL.canParse(origin) ? new URL(origin).host : "";
  return host === "" || ![headers["x-forwarded-host"], headers.host].includes(host);
}
