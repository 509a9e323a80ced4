// SPDX-License-Identifier: Apache-2.0
import { Module } from "@nestjs/common";
import { RollupProgress } from "./rollup-progress.service.ts";

@Module({ providers: [RollupProgress], exports: [RollupProgress] })
export class RollupsModule {}
