// SPDX-License-Identifier: Apache-2.0
import { Module } from "@nestjs/common";
import { ClaimsService } from "./claims.service.ts";
import { LedgerController } from "./ledger.controller.ts";
import { LedgerRepository } from "./ledger.repository.ts";
import { LedgerService } from "./ledger.service.ts";

@Module({ controllers: [LedgerController], providers: [ClaimsService, LedgerRepository, LedgerService], exports: [ClaimsService] })
export class LedgerModule {}
