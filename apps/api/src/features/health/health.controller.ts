// SPDX-License-Identifier: Apache-2.0
import { Controller, Get, Header, Inject, Res } from "@nestjs/common";
import type { FastifyReply } from "fastify";
import { Registry } from "prom-client";
import { ClickHouseService } from "../../clickhouse/clickhouse.service.ts";
import { Public } from "../../common/caller.ts";
import { Database } from "../../postgres/database.ts";
import { DiskGuard } from "../storage/disk-guard.service.ts";

/** For supervisors and scrapers; at the root of the port, without a token, and without a tenant's data. */
@Controller()
@Public()
export class HealthController {
  constructor(
    @Inject(ClickHouseService) private readonly clickhouse: ClickHouseService,
    @Inject(Database) private readonly database: Database,
    @Inject(DiskGuard) private readonly diskGuard: DiskGuard,
    @Inject(Registry) private readonly registry: Registry,
  ) {}

  /** The process runs and serves. Says nothing about its storage: restarting the API would not mend that. */
  @Get("healthz")
  healthz() {
    return { status: "ok" };
  }

  /** Requests can be answered: both stores are there. A store that fills up is said, and answers all the same. */
  @Get("readyz")
  async readyz(@Res({ passthrough: true }) reply: FastifyReply) {
    const [clickhouse, postgres] = await Promise.all([this.clickhouse.problem(), this.database.problem()]);
    const isReady = clickhouse === undefined && postgres === undefined;
    reply.code(isReady ? 200 : 503).header("cache-control", "no-store");
    return {
      status: isReady ? "ready" : "not ready",
      checks: { clickhouse: clickhouse ?? "ok", postgres: postgres ?? this.database.note ?? "ok", storage: this.diskGuard.note ?? "ok" },
    };
  }

  @Get("metrics")
  @Header("content-type", "text/plain; version=0.0.4; charset=utf-8")
  metrics(): Promise<string> {
    return this.registry.metrics();
  }
}
