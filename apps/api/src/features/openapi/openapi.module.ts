// SPDX-License-Identifier: Apache-2.0
import { Module } from "@nestjs/common";
import { OpenApiController } from "./openapi.controller.ts";

@Module({ controllers: [OpenApiController] })
export class OpenApiModule {}
