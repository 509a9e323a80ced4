// SPDX-License-Identifier: Apache-2.0
import { createParamDecorator, type ExecutionContext, SetMetadata } from "@nestjs/common";
import type { FastifyRequest } from "fastify";
import { AppError } from "./app-error.ts";

/** What a token may do. */
export const scopes = ["metrics:read", "hosts:read", "hosts:write", "events:write", "tokens:write"] as const;
export type Scope = (typeof scopes)[number];

/** Who is asking. Every service method takes it first; its organisation is the tenant of every key and query. */
export interface Caller {
  readonly organisationId: string;
  readonly organisationName: string;
  readonly scopes: readonly Scope[];
  /** The API token behind the request, also behind a browser's session: who did it, as far as we know. */
  readonly token: { readonly id: string; readonly name: string };
}

/** Throws FORBIDDEN unless the caller has the scope. */
export function requireScope(caller: Caller, scope: Scope): void {
  if (!caller.scopes.includes(scope)) {
    throw new AppError("FORBIDDEN", `This needs the scope ${scope}; the token has ${caller.scopes.join(", ") || "none"}.`);
  }
}

/** Turns credentials into a caller. The token feature implements it; the guard and tests know only this. */
export abstract class Authenticator {
  /** The caller of an API token (`wgl_adm_…`). Throws UNAUTHENTICATED. */
  abstract authenticateToken(token: string): Promise<Caller>;
  /** The caller of a browser session (`wgl_ses_…`). Throws UNAUTHENTICATED. */
  abstract authenticateSession(token: string): Promise<Caller>;
}

export interface AuthenticatedRequest extends FastifyRequest {
  caller?: Caller;
}

export const IS_PUBLIC = "waggle:public";
export const REQUIRED_SCOPE = "waggle:scope";

/** The route answers without a token. */
export const Public = () => SetMetadata(IS_PUBLIC, true);

/** The route needs this scope. */
export const RequireScope = (scope: Scope) => SetMetadata(REQUIRED_SCOPE, scope);

/** The `Caller` of a request that passed the guard. */
export const CurrentCaller = createParamDecorator((_: unknown, context: ExecutionContext): Caller => {
  const caller = context.switchToHttp().getRequest<AuthenticatedRequest>().caller;
  if (caller === undefined) throw new AppError("UNAUTHENTICATED", "Send `Authorization: Bearer wgl_adm_…`, or sign in at POST /api/v1/session.");
  return caller;
});
