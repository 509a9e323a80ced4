// SPDX-License-Identifier: Apache-2.0
import { Global, Module } from "@nestjs/common";
import { LimitsController } from "./limits.controller.ts";
import { LimitsRepository } from "./limits.repository.ts";
import { LimitsService } from "./limits.service.ts";
import { QueryLimitInterceptor } from "./query-limit.interceptor.ts";

@Global()
@Module({
  controllers: [LimitsController],
  providers: [LimitsRepository, LimitsService, QueryLimitInterceptor],
  exports: [LimitsService, QueryLimitInterceptor],
})
export class LimitsModule {}
