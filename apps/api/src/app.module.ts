// SPDX-License-Identifier: Apache-2.0
import { type DynamicModule, Module } from "@nestjs/common";
import { APP_FILTER, APP_GUARD } from "@nestjs/core";
import { ClickHouseModule } from "./clickhouse/clickhouse.module.ts";
import { AuthGuard } from "./common/auth.guard.ts";
import { CommonModule } from "./common/common.module.ts";
import type { Log } from "./common/log.ts";
import { ProblemFilter } from "./common/problem.filter.ts";
import type { Config } from "./config/config.ts";
import { AuditModule } from "./features/audit/audit.module.ts";
import { DimensionsModule } from "./features/dimensions/dimensions.module.ts";
import { EventsModule } from "./features/events/events.module.ts";
import { ExplainModule } from "./features/explain/explain.module.ts";
import { FormatsModule } from "./features/formats/formats.module.ts";
import { HealthModule } from "./features/health/health.module.ts";
import { HostSettingsModule } from "./features/host-settings/host-settings.module.ts";
import { HostsModule } from "./features/hosts/hosts.module.ts";
import { IngestModule } from "./features/ingest/ingest.module.ts";
import { LimitsModule } from "./features/limits/limits.module.ts";
import { RequestLimitGuard } from "./features/limits/request-limit.guard.ts";
import { ListsModule } from "./features/lists/lists.module.ts";
import { LiveModule } from "./features/live/live.module.ts";
import { OpenApiModule } from "./features/openapi/openapi.module.ts";
import { ProcessesModule } from "./features/processes/processes.module.ts";
import { ProfilesModule } from "./features/profiles/profiles.module.ts";
import { QueryModule } from "./features/query/query.module.ts";
import { RollupsModule } from "./features/rollups/rollups.module.ts";
import { SignalsModule } from "./features/signals/signals.module.ts";
import { ServerStorageModule } from "./features/storage/server-storage.module.ts";
import { StorageModule } from "./features/storage/storage.module.ts";
import { TokensModule } from "./features/tokens/tokens.module.ts";
import { TopologyModule } from "./features/topology/topology.module.ts";
import { WatchModule } from "./features/watch/watch.module.ts";
import { PostgresModule } from "./postgres/postgres.module.ts";

@Module({
  imports: [
    ClickHouseModule,
    PostgresModule,
    FormatsModule,
    ListsModule,
    LimitsModule,
    TokensModule,
    IngestModule,
    HealthModule,
    QueryModule,
    WatchModule,
    LiveModule,
    ProcessesModule,
    DimensionsModule,
    TopologyModule,
    ProfilesModule,
    EventsModule,
    ExplainModule,
    RollupsModule,
    HostsModule,
    HostSettingsModule,
    AuditModule,
    SignalsModule,
    StorageModule,
    ServerStorageModule,
    OpenApiModule,
  ],
  providers: [
    { provide: APP_GUARD, useClass: AuthGuard },
    // After the one that knows who is asking.
    { provide: APP_GUARD, useClass: RequestLimitGuard },
    { provide: APP_FILTER, useClass: ProblemFilter },
  ],
})
// biome-ignore lint/complexity/noStaticOnlyClass: the shape Nest asks of a dynamic module
export class AppModule {
  static register(config: Config, log: Log): DynamicModule {
    return { module: AppModule, imports: [CommonModule.register(config, log)] };
  }
}
