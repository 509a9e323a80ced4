// SPDX-License-Identifier: Apache-2.0
import { type DynamicModule, Global, Module } from "@nestjs/common";
import { Registry } from "prom-client";
import { Config } from "../config/config.ts";
import { Clock } from "./clock.ts";
import { Log } from "./log.ts";

/** What every feature may use: settings, logger, clock, metric registry. */
@Global()
@Module({})
// biome-ignore lint/complexity/noStaticOnlyClass: the shape Nest asks of a dynamic module
export class CommonModule {
  static register(config: Config, log: Log): DynamicModule {
    return {
      module: CommonModule,
      providers: [
        { provide: Config, useValue: config },
        { provide: Log, useValue: log },
        Clock,
        { provide: Registry, useFactory: () => new Registry() },
      ],
      exports: [Config, Log, Clock, Registry],
    };
  }
}
