// SPDX-License-Identifier: Apache-2.0
import { Inject, Injectable, type OnApplicationBootstrap, type OnApplicationShutdown } from "@nestjs/common";
import { Log } from "../../common/log.ts";
import { Config } from "../../config/config.ts";
import { type RawFloorRow, StorageRepository } from "./storage.repository.ts";

const REFRESH_MS = 5_000;

/**
 * From when on raw rows are whole: what retention or a full disk has not taken. Older windows are refused, because a minute is rolled up from all of
 * its raw rows, and those are gone.
 */
@Injectable()
export class RawFloor implements OnApplicationBootstrap, OnApplicationShutdown {
  private row: RawFloorRow | undefined;
  private timer: NodeJS.Timeout | undefined;
  private isStopped = false;
  private isFailing = false;

  constructor(
    @Inject(StorageRepository) private readonly repository: StorageRepository,
    @Inject(Config) private readonly config: Config,
    @Inject(Log) private readonly log: Log,
  ) {}

  /** Start of the oldest window that is taken in and of the oldest raw rows to read, Unix milliseconds. At most a few seconds old. */
  rawFloorMs(nowMs: number): number {
    return Math.max(this.config.retention.oldestAcceptedMs(nowMs), this.row?.droppedBeforeMs ?? 0);
  }

  /** Why nothing older is there, for whoever asked for it or sent it. */
  reason(nowMs: number): string {
    const { row } = this;
    if (row !== undefined && row.droppedBeforeMs >= this.config.retention.oldestAcceptedMs(nowMs)) {
      return `raw rows before ${new Date(row.droppedBeforeMs).toISOString()} were given up: ${row.reason}`;
    }
    return `raw rows are kept for ${this.config.retention.shortestDays("raw")} d`;
  }

  /** What a full disk has taken so far; undefined: nothing. */
  get dropped(): RawFloorRow | undefined {
    return this.row;
  }

  /** Reads the floor now. Postgres being away leaves what was known: the floor only rises. */
  async refresh(): Promise<void> {
    try {
      this.row = (await this.repository.getRawFloor()) ?? this.row;
      this.isFailing = false;
    } catch (error) {
      if (!this.isFailing) this.log.warn({ err: error }, "cannot read from when on raw rows are whole; going on with what was known");
      this.isFailing = true;
    }
  }

  async onApplicationBootstrap(): Promise<void> {
    await this.refresh();
    this.schedule();
  }

  onApplicationShutdown(): void {
    this.isStopped = true;
    clearTimeout(this.timer);
  }

  private schedule(): void {
    if (this.isStopped) return;
    this.timer = setTimeout(() => void this.refresh().then(() => this.schedule()), REFRESH_MS).unref();
  }
}
