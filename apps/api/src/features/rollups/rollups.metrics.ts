// SPDX-License-Identifier: Apache-2.0
import { Inject, Injectable } from "@nestjs/common";
import { Counter, Gauge, Histogram, Registry } from "prom-client";
import { Clock } from "../../common/clock.ts";
import { RollupProgress } from "./rollup-progress.service.ts";
import { rollupSteps } from "./steps.ts";

/** What the roller counts about itself. Only the node that rolls up counts rows, buckets and failures; every node knows the lag. */
@Injectable()
export class RollupsMetrics {
  readonly rows: Counter<"step" | "kind">;
  readonly seconds: Histogram<"step">;
  readonly failures: Counter;
  readonly pending: Gauge<"step">;

  constructor(@Inject(Registry) registry: Registry, @Inject(RollupProgress) progress: RollupProgress, @Inject(Clock) clock: Clock) {
    const registers = [registry];
    this.rows = new Counter({
      registers,
      name: "waggle_rollup_rows_total",
      help: "Rows that roll-up statements read from the finer level and wrote.",
      labelNames: ["step", "kind"],
    });
    this.seconds = new Histogram({
      registers,
      name: "waggle_rollup_seconds",
      help: "Time to roll up one bucket of one tenant, all signals.",
      labelNames: ["step"],
      buckets: [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120],
    });
    this.failures = new Counter({ registers, name: "waggle_rollup_failures_total", help: "Buckets whose roll-up failed; each is tried again." });
    this.pending = new Gauge({
      registers,
      name: "waggle_rollup_pending_buckets",
      help: "Closed buckets that may have to be rolled up.",
      labelNames: ["step"],
    });
    new Gauge({
      registers,
      name: "waggle_rollup_lag_seconds",
      help: "Age of the end of what the level has in full. Up to a bucket's length (5 min, an hour for hours) is normal. No sample before the first.",
      labelNames: ["step"],
      collect() {
        for (const step of rollupSteps) {
          const completeUntilMs = progress.completeUntilMs(step);
          if (completeUntilMs > 0) this.set({ step }, (clock.now() - completeUntilMs) / 1_000);
        }
      },
    });
  }
}
