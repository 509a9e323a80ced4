// SPDX-License-Identifier: Apache-2.0
import { type NextRequest, NextResponse } from "next/server";

const DEFAULT_API_URL = "http://127.0.0.1:7301";
const SESSION_COOKIE = "waggle_session";

/**
 * In front of every request: `/api/*` goes to the REST API, so that the browser only ever knows one origin; pages get the security headers.
 *
 * The API's address is read per request, not in `next.config.ts`, because rewrites there are frozen into the build.
 */
export function proxy(request: NextRequest): NextResponse {
  const { pathname, search } = request.nextUrl;
  if (pathname === "/api" || pathname.startsWith("/api/")) {
    return NextResponse.rewrite(new URL(pathname + search, process.env["WAGGLE_API_URL"] ?? DEFAULT_API_URL));
  }
  if (pathname.startsWith("/o/") && !request.cookies.has(SESSION_COOKIE)) {
    const signIn = request.nextUrl.clone();
    signIn.pathname = "/sign-in";
    signIn.search = "";
    signIn.searchParams.set("next", pathname + search);
    return NextResponse.redirect(signIn);
  }
  return withSecurityHeaders(request);
}

function withSecurityHeaders(request: NextRequest): NextResponse {
  const nonce = Buffer.from(crypto.randomUUID()).toString("base64");
  const development = process.env.NODE_ENV === "development";
  const policy = [
    "default-src 'self'",
    `script-src 'self' 'nonce-${nonce}' 'strict-dynamic'${development ? " 'unsafe-eval'" : ""}`,
    // Charts and pop-ups set positions as style attributes; there is no user HTML that could carry one.
    "style-src 'self' 'unsafe-inline'",
    "img-src 'self' data: blob:",
    "font-src 'self'",
    "connect-src 'self'",
    "object-src 'none'",
    "base-uri 'none'",
    "form-action 'self'",
    "frame-ancestors 'none'",
  ].join("; ");

  const headers = new Headers(request.headers);
  headers.set("x-nonce", nonce);
  headers.set("content-security-policy", policy);
  const response = NextResponse.next({ request: { headers } });
  response.headers.set("content-security-policy", policy);
  response.headers.set("x-content-type-options", "nosniff");
  response.headers.set("referrer-policy", "same-origin");
  response.headers.set("cross-origin-opener-policy", "same-origin");
  response.headers.set("permissions-policy", "camera=(), geolocation=(), microphone=()");
  return response;
}

export const config = {
  matcher: ["/((?!_next/static|favicon.ico).*)"],
};
