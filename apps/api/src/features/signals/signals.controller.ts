// SPDX-License-Identifier: Apache-2.0
import { Controller, Get, Inject } from "@nestjs/common";
import { type Caller, CurrentCaller, RequireScope } from "../../common/caller.ts";
import { Formats } from "../formats/formats.interceptor.ts";
import { listTable } from "../formats/list-table.ts";
import { type SignalEntry, signalSchema } from "./signals.schemas.ts";
import { SignalsService } from "./signals.service.ts";

@Controller("signals")
@RequireScope("metrics:read")
export class SignalsController {
  constructor(@Inject(SignalsService) private readonly signals: SignalsService) {}

  @Get()
  @Formats(listTable(signalSchema))
  async list(@CurrentCaller() caller: Caller): Promise<{ data: SignalEntry[] }> {
    return { data: await this.signals.list(caller) };
  }
}
