// SPDX-License-Identifier: Apache-2.0
import { Module } from "@nestjs/common";
import { APP_INTERCEPTOR } from "@nestjs/core";
import { AnswerBodies } from "./answer-bodies.ts";
import { AnswerCacheInterceptor } from "./answer-cache.interceptor.ts";
import { FormatsInterceptor } from "./formats.interceptor.ts";

@Module({
  providers: [
    // The first goes around the others.
    { provide: APP_INTERCEPTOR, useClass: FormatsInterceptor },
    { provide: APP_INTERCEPTOR, useClass: AnswerCacheInterceptor },
    AnswerBodies,
  ],
  exports: [AnswerBodies],
})
export class FormatsModule {}
