// SPDX-License-Identifier: Apache-2.0
import { Global, Module } from "@nestjs/common";
import { Authenticator } from "../../common/caller.ts";
import { EnrolmentService } from "./enrolment.service.ts";
import { SessionsController } from "./sessions.controller.ts";
import { TokensRepository } from "./tokens.repository.ts";
import { TokensService } from "./tokens.service.ts";

/** Global, because the guard of every route asks it who is calling. */
@Global()
@Module({
  controllers: [SessionsController],
  providers: [TokensRepository, TokensService, EnrolmentService, { provide: Authenticator, useExisting: TokensService }],
  exports: [TokensService, EnrolmentService, Authenticator],
})
export class TokensModule {}
