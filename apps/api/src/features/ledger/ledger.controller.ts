// SPDX-License-Identifier: Apache-2.0
import { Controller, Get, Inject, Query } from "@nestjs/common";
import { type Caller, CurrentCaller, RequireScope } from "../../common/caller.ts";
import { parseOrThrow } from "../../common/validation.ts";
import { Formats } from "../formats/formats.interceptor.ts";
import { listTable } from "../formats/list-table.ts";
import { type Ledger, ledgerEntrySchema, ledgerParametersSchema } from "./ledger.schemas.ts";
import { LedgerService } from "./ledger.service.ts";

@Controller("ingest/ledger")
@RequireScope("hosts:read")
export class LedgerController {
  constructor(@Inject(LedgerService) private readonly ledger: LedgerService) {}

  @Get()
  @Formats(listTable(ledgerEntrySchema))
  async read(@CurrentCaller() caller: Caller, @Query() parameters: unknown): Promise<Ledger> {
    return this.ledger.read(caller, parseOrThrow(ledgerParametersSchema, parameters));
  }
}
