// SPDX-License-Identifier: Apache-2.0
import { Controller, Get, Inject, Query } from "@nestjs/common";
import { type Caller, CurrentCaller, RequireScope } from "../../common/caller.ts";
import { parseOrThrow } from "../../common/validation.ts";
import { Formats } from "../formats/formats.interceptor.ts";
import { listTable } from "../formats/list-table.ts";
import { type AuditPage, auditEntrySchema, auditParametersSchema } from "./audit.schemas.ts";
import { AuditService } from "./audit.service.ts";

@Controller("audit")
@RequireScope("hosts:read")
export class AuditController {
  constructor(@Inject(AuditService) private readonly audit: AuditService) {}

  @Get()
  @Formats(listTable(auditEntrySchema))
  async list(@CurrentCaller() caller: Caller, @Query() parameters: unknown): Promise<AuditPage> {
    return this.audit.list(caller, parseOrThrow(auditParametersSchema, parameters));
  }
}
