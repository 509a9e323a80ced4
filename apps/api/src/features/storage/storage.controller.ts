// SPDX-License-Identifier: Apache-2.0
import { Controller, Get, Inject } from "@nestjs/common";
import { type Caller, CurrentCaller, RequireScope } from "../../common/caller.ts";
import type { StorageReport } from "./storage.schemas.ts";
import { StorageService } from "./storage.service.ts";

@Controller("storage")
@RequireScope("metrics:read")
export class StorageController {
  constructor(@Inject(StorageService) private readonly storage: StorageService) {}

  @Get()
  report(@CurrentCaller() caller: Caller): StorageReport {
    return this.storage.report(caller);
  }
}
