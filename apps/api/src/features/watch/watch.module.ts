// SPDX-License-Identifier: Apache-2.0
import { Global, Module } from "@nestjs/common";
import { WatchLeasesRepository } from "./watch-leases.repository.ts";
import { WatchLeases } from "./watch-leases.service.ts";

/** Global: the streams of agents, the settings and the live connections all go by it. */
@Global()
@Module({ providers: [WatchLeasesRepository, WatchLeases], exports: [WatchLeases] })
export class WatchModule {}
