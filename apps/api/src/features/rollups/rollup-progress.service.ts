// SPDX-License-Identifier: Apache-2.0
import { Inject, Injectable, type OnApplicationBootstrap, type OnApplicationShutdown } from "@nestjs/common";
import { Log } from "../../common/log.ts";
import { Database } from "../../postgres/database.ts";
import { rollupProgress } from "../../postgres/schema.ts";
import { type RollupStep, rollupSteps } from "./steps.ts";

const REFRESH_MS = 2_000;

/**
 * Up to where each level can be read. One node rolls up for all; every node learns here how far it has come.
 *
 * A level's rows of a time before `completeUntilMs` speak for everything that had arrived when the time was rolled up; what came later
 * is added within seconds, in place. Rows of later times may be missing or partial: read them from the finer level.
 */
@Injectable()
export class RollupProgress implements OnApplicationBootstrap, OnApplicationShutdown {
  private completeUntil: Readonly<Partial<Record<RollupStep, number>>> = {};
  private timer: NodeJS.Timeout | undefined;
  private isFailing = false;
  private isStopped = false;

  constructor(
    @Inject(Database) private readonly database: Database,
    @Inject(Log) private readonly log: Log,
  ) {}

  /**
   * @returns Unix milliseconds, a whole bucket's start (5 min for the minute steps, an hour for the hour steps); 0 when nothing has been
   * rolled up yet. At most a few seconds old.
   */
  completeUntilMs(step: RollupStep): number {
    return this.completeUntil[step] ?? 0;
  }

  /** Reads the progress now. Postgres being away leaves what was known: progress only rises. */
  async refresh(): Promise<void> {
    try {
      const rows = await this.database.db.select().from(rollupProgress);
      const known = new Set<string>(rollupSteps);
      this.completeUntil = Object.fromEntries(rows.filter((row) => known.has(row.step)).map((row) => [row.step, row.completeUntil.getTime()]));
      this.isFailing = false;
    } catch (error) {
      if (!this.isFailing) this.log.warn({ err: error }, "cannot read how far roll-ups have come; going on with what was known");
      this.isFailing = true;
    }
  }

  onApplicationBootstrap(): void {
    void this.refreshAndWait();
  }

  onApplicationShutdown(): void {
    clearTimeout(this.timer);
    this.isStopped = true;
  }

  private async refreshAndWait(): Promise<void> {
    await this.refresh();
    if (!this.isStopped) this.timer = setTimeout(() => void this.refreshAndWait(), REFRESH_MS).unref();
  }
}
