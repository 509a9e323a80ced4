// SPDX-License-Identifier: Apache-2.0
import { Global, Module } from "@nestjs/common";
import { ClickHouseService } from "./clickhouse.service.ts";

@Global()
@Module({ providers: [ClickHouseService], exports: [ClickHouseService] })
export class ClickHouseModule {}
