// SPDX-License-Identifier: Apache-2.0
import { Global, Module } from "@nestjs/common";
import { APP_INTERCEPTOR } from "@nestjs/core";
import { Cursors } from "./cursors.ts";
import { PageLinkInterceptor } from "./page-link.interceptor.ts";

@Global()
@Module({ providers: [Cursors, { provide: APP_INTERCEPTOR, useClass: PageLinkInterceptor }], exports: [Cursors] })
export class ListsModule {}
