// SPDX-License-Identifier: Apache-2.0
import { type CallHandler, type ExecutionContext, Injectable, type NestInterceptor } from "@nestjs/common";
import type { FastifyReply, FastifyRequest } from "fastify";
import { type Observable, tap } from "rxjs";
import type { Page } from "./lists.schemas.ts";

/** Says in the Link header (RFC 8288) where the next page of a list is. */
@Injectable()
export class PageLinkInterceptor implements NestInterceptor {
  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    const http = context.switchToHttp();
    return next.handle().pipe(
      tap((answer: { page?: Page } | undefined) => {
        const cursor = answer?.page?.next;
        if (cursor === undefined || cursor === null) return;
        const url = new URL(http.getRequest<FastifyRequest>().url, "http://any.invalid");
        url.searchParams.set("cursor", cursor);
        http.getResponse<FastifyReply>().header("link", `<${url.pathname}${url.search}>; rel="next"`);
      }),
    );
  }
}
