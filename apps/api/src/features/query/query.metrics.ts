// SPDX-License-Identifier: Apache-2.0
import { Inject, Injectable } from "@nestjs/common";
import { Counter, Gauge, Histogram, Registry } from "prom-client";
import type { FairQueue } from "./fair-queue.ts";
import type { WholeOrigin } from "./whole-answers.ts";

/** What queries ask of ClickHouse, and how long they wait until they may. */
@Injectable()
export class QueryMetrics {
  readonly waitSeconds: Histogram;
  readonly refused: Counter<"reason">;
  readonly answers: Counter<"origin">;
  readonly wholeAnswers: Counter<"origin">;

  constructor(@Inject(Registry) private readonly registry: Registry) {
    const registers = [registry];
    this.waitSeconds = new Histogram({
      registers,
      name: "waggle_query_statement_wait_seconds",
      help: "Time that statements of queries waited for their turn in ClickHouse.",
      buckets: [0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    });
    this.refused = new Counter({
      registers,
      name: "waggle_query_statements_refused_total",
      help: "Statements that got no turn: too many of the organisation waited (full), or the wait would have been too long (late).",
      labelNames: ["reason"],
    });
    this.answers = new Counter({
      registers,
      name: "waggle_query_answers_total",
      help: "Answers of statements by where they came from: run (read), somebody else's run (shared), nothing changed since (kept), of the last seconds (recent).",
      labelNames: ["origin"],
    });
    this.wholeAnswers = new Counter({
      registers,
      name: "waggle_query_whole_answers_total",
      help: "Answers about whole fleets by where they came from: made for their caller (made), being made for another (shared), made for another some seconds ago (recent), of a range that ended some seconds earlier because this one's took too long, or that one had (earlier).",
      labelNames: ["origin"],
    });
  }

  countWhole(origin: WholeOrigin): void {
    this.wholeAnswers.inc({ origin });
  }

  observe(queue: Pick<FairQueue, "running" | "waiting">): void {
    new Gauge({
      registers: [this.registry],
      name: "waggle_query_statements",
      help: "Statements of queries that ClickHouse works on, and that wait for their turn.",
      labelNames: ["state"],
      collect() {
        this.set({ state: "running" }, queue.running);
        this.set({ state: "waiting" }, queue.waiting);
      },
    });
  }
}
