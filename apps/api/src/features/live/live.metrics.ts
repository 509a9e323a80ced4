// SPDX-License-Identifier: Apache-2.0
import { Inject, Injectable } from "@nestjs/common";
import { Counter, Gauge, Registry } from "prom-client";

@Injectable()
export class LiveMetrics {
  readonly connections: Gauge;
  readonly feeds: Gauge;
  readonly ends: Counter<"reason">;

  constructor(@Inject(Registry) registry: Registry) {
    const registers = [registry];
    this.connections = new Gauge({ name: "waggle_live_connections", help: "Open live connections.", registers });
    this.feeds = new Gauge({ name: "waggle_live_feeds", help: "Live queries that are evaluated for them.", registers });
    this.ends = new Counter({ name: "waggle_live_ends_total", help: "Live connections that ended, by reason.", labelNames: ["reason"], registers });
  }
}
