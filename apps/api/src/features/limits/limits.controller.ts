// SPDX-License-Identifier: Apache-2.0
import { Controller, Get, Inject } from "@nestjs/common";
import { type Caller, CurrentCaller, RequireScope } from "../../common/caller.ts";
import type { LimitsReport } from "./limits.schemas.ts";
import { LimitsService } from "./limits.service.ts";

@Controller("limits")
@RequireScope("metrics:read")
export class LimitsController {
  constructor(@Inject(LimitsService) private readonly limits: LimitsService) {}

  @Get()
  async get(@CurrentCaller() caller: Caller): Promise<LimitsReport> {
    return this.limits.report(caller);
  }
}
