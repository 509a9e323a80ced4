// SPDX-License-Identifier: Apache-2.0
import { Inject, Injectable, type OnApplicationBootstrap } from "@nestjs/common";
import type { Hello, Status } from "@waggle/proto";
import { Clock } from "../../common/clock.ts";
import { Log } from "../../common/log.ts";
import { type HostHello, type HostStatus, HostStatusRepository } from "./host-status.repository.ts";

/** How often what was heard is written down: a fleet's statuses in one statement, not one each. */
const SAVE_INTERVAL_MS = 2_000;
/** Hosts of one statement. Of a fleet of ten thousand each is written every 10 s; the embedded Postgres works in this process's own time. */
const HOSTS_PER_SAVE = 2_000;

/** Of one host's settings; each of at most so many characters. */
const PROBLEMS_MAX = 100;
const PROBLEM_LENGTH_MAX = 500;

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] };

/** Collects what hosts say about themselves and writes it to Postgres now and then. */
@Injectable()
export class HostStatusService implements OnApplicationBootstrap {
  private readonly news = new Map<string, Mutable<HostStatus>>();
  private readonly hellos = new Map<string, HostHello>();
  private timer: NodeJS.Timeout | undefined;
  private saving: Promise<void> = Promise.resolve();

  constructor(
    @Inject(HostStatusRepository) private readonly repository: HostStatusRepository,
    @Inject(Clock) private readonly clock: Clock,
    @Inject(Log) private readonly log: Log,
  ) {}

  onApplicationBootstrap(): void {
    this.timer = setInterval(() => void this.saveSome(), SAVE_INTERVAL_MS);
    this.timer.unref();
  }

  /** A window of this host was stored. */
  noteWindow(hostId: string, endMs: number): void {
    const news = this.newsOf(hostId);
    news.lastWindowEndMs = Math.max(news.lastWindowEndMs ?? 0, endMs);
  }

  /** A stream of this host has opened. */
  noteHello(hostId: string, hello: Hello, windowMs: number): void {
    const nowMs = this.clock.now();
    this.hellos.set(hostId, { hostId, hello, windowMs, clockOffsetMs: nowMs - Number(hello.hostTimeMs), atMs: nowMs });
  }

  /** @param windowMs length that the host was told to make its windows */
  noteStatus(hostId: string, status: Status, windowMs: number): void {
    const news = this.newsOf(hostId);
    news.statusMs = news.lastSeenMs;
    news.clockOffsetMs = toSafe(status.clockOffsetMs);
    news.spoolFrames = toSafe(status.spoolFrames);
    news.spoolBytes = toSafe(status.spoolBytes);
    news.refusedFrames = toSafe(status.refusedFrames);
    news.droppedFrames = toSafe(status.droppedFrames);
    news.coarsenedWindows = toSafe(status.coarsenedWindows);
    news.windowMs = windowMs;
    if (status.settings !== undefined) {
      news.settingsRevision = toSafe(status.settings.revision);
      news.settingsProblems = status.settings.problems.slice(0, PROBLEMS_MAX).map(toStorable);
    }
    // 0 = not said. Beyond the year 9999 Postgres has no timestamp for it.
    news.agentStartedMs = status.startedAtMs > 0n && status.startedAtMs < 253_402_300_800_000n ? Number(status.startedAtMs) : null;
  }

  /** Writes all that is waiting. */
  save(): Promise<void> {
    return this.saveSome(Number.POSITIVE_INFINITY);
  }

  /** Writes of what is waiting longest. A failed write is put back, behind what came in meanwhile. */
  private saveSome(hostsMax = HOSTS_PER_SAVE): Promise<void> {
    this.saving = this.saving.then(async () => {
      await this.write(this.hellos, hostsMax, (hellos) => this.repository.saveHellos(hellos));
      await this.write(this.news, hostsMax, (news) => this.repository.save(news));
    });
    return this.saving;
  }

  private async write<Value>(waiting: Map<string, Value>, hostsMax: number, store: (values: readonly Value[]) => Promise<void>): Promise<void> {
    if (waiting.size === 0) return;
    const taken: [string, Value][] = [];
    for (const entry of waiting) {
      if (taken.length >= hostsMax) break;
      taken.push(entry);
    }
    for (const [hostId] of taken) waiting.delete(hostId);
    try {
      await store(taken.map(([, value]) => value));
    } catch (error) {
      this.log.warn({ err: error, hosts: taken.length }, "could not write what hosts say of themselves");
      for (const [hostId, older] of taken) if (!waiting.has(hostId)) waiting.set(hostId, older);
    }
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
        windowMs: null,
        settingsRevision: null,
        settingsProblems: null,
      };
      this.news.set(hostId, news);
    }
    news.lastSeenMs = this.clock.now();
    return news;
  }
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const controlCharacters = /[\u0000-\u001f\u007f]/g;

/** An agent may send any text; Postgres refuses NUL, and one host's text must not fail the statement of a thousand. */
function toStorable(text: string): string {
  return text.slice(0, PROBLEM_LENGTH_MAX).toWellFormed().replace(controlCharacters, " ");
}

/** An agent may send any 64-bit value; what is stored stays within JavaScript's exact integers. */
function toSafe(value: bigint): number {
  const limit = BigInt(Number.MAX_SAFE_INTEGER);
  return Number(value > limit ? limit : value < -limit ? -limit : value);
}
