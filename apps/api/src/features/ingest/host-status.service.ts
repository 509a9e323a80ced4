// SPDX-License-Identifier: Apache-2.0
import { Inject, Injectable, type OnApplicationBootstrap } from "@nestjs/common";
import type { Status } from "@waggle/proto";
import { Clock } from "../../common/clock.ts";
import { Log } from "../../common/log.ts";
import { type HostStatus, HostStatusRepository } from "./host-status.repository.ts";

/** How often what was heard is written down: a fleet's statuses in one statement, not one each. */
const SAVE_INTERVAL_MS = 2_000;

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] };

/** Collects what hosts say about themselves and writes it to Postgres now and then. */
@Injectable()
export class HostStatusService implements OnApplicationBootstrap {
  private news = new Map<string, Mutable<HostStatus>>();
  private timer: NodeJS.Timeout | undefined;
  private saving: Promise<void> = Promise.resolve();

  constructor(
    @Inject(HostStatusRepository) private readonly repository: HostStatusRepository,
    @Inject(Clock) private readonly clock: Clock,
    @Inject(Log) private readonly log: Log,
  ) {}

  onApplicationBootstrap(): void {
    this.timer = setInterval(() => void this.save(), SAVE_INTERVAL_MS);
    this.timer.unref();
  }

  /** A window of this host was stored. */
  noteWindow(hostId: string, endMs: number): void {
    const news = this.newsOf(hostId);
    news.lastWindowEndMs = Math.max(news.lastWindowEndMs ?? 0, endMs);
  }

  noteStatus(hostId: string, status: Status): void {
    const news = this.newsOf(hostId);
    news.statusMs = news.lastSeenMs;
    news.clockOffsetMs = toSafe(status.clockOffsetMs);
    news.spoolFrames = toSafe(status.spoolFrames);
    news.spoolBytes = toSafe(status.spoolBytes);
    news.refusedFrames = toSafe(status.refusedFrames);
    news.droppedFrames = toSafe(status.droppedFrames);
    news.coarsenedWindows = toSafe(status.coarsenedWindows);
    // 0 = not said. Beyond the year 9999 Postgres has no timestamp for it.
    news.agentStartedMs = status.startedAtMs > 0n && status.startedAtMs < 253_402_300_800_000n ? Number(status.startedAtMs) : null;
  }

  /** Writes what is waiting. A failed write is put back, behind what came in meanwhile. */
  save(): Promise<void> {
    this.saving = this.saving.then(async () => {
      const news = this.news;
      if (news.size === 0) return;
      this.news = new Map();
      try {
        await this.repository.save([...news.values()]);
      } catch (error) {
        this.log.warn({ err: error, hosts: news.size }, "could not write host statuses");
        for (const [hostId, older] of news) if (!this.news.has(hostId)) this.news.set(hostId, older);
      }
    });
    return this.saving;
  }

  async stop(): Promise<void> {
    clearInterval(this.timer);
    await this.save();
  }

  private newsOf(hostId: string): Mutable<HostStatus> {
    let news = this.news.get(hostId);
    if (news === undefined) {
      news = {
        hostId,
        lastSeenMs: 0,
        lastWindowEndMs: null,
        statusMs: null,
        clockOffsetMs: null,
        spoolFrames: null,
        spoolBytes: null,
        refusedFrames: null,
        droppedFrames: null,
        agentStartedMs: null,
        coarsenedWindows: null,
      };
      this.news.set(hostId, news);
    }
    news.lastSeenMs = this.clock.now();
    return news;
  }
}

/** An agent may send any 64-bit value; what is stored stays within JavaScript's exact integers. */
function toSafe(value: bigint): number {
  const limit = BigInt(Number.MAX_SAFE_INTEGER);
  return Number(value > limit ? limit : value < -limit ? -limit : value);
}
