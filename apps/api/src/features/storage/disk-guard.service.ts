// SPDX-License-Identifier: Apache-2.0
import { randomUUID } from "node:crypto";
import { Inject, Injectable, type OnApplicationBootstrap, type OnApplicationShutdown } from "@nestjs/common";
import type { StorageState } from "@waggle/signals";
import { ClickHouseService } from "../../clickhouse/clickhouse.service.ts";
import { WINDOWS_TABLE } from "../../clickhouse/schema.ts";
import { Clock } from "../../common/clock.ts";
import { Log } from "../../common/log.ts";
import { Config } from "../../config/config.ts";
import { LeasesRepository } from "../../postgres/leases.repository.ts";
import { isOverdue, kindOf, type Partition, partitionStartMs } from "./partitions.ts";
import { type DiskSpace, nextState, rank, thresholds, type Usage, usageOf } from "./pressure.ts";
import { RawFloor } from "./raw-floor.service.ts";
import { StorageMetrics } from "./storage.metrics.ts";
import { StorageRepository } from "./storage.repository.ts";

const CHECK_INTERVAL_MS = 15_000;
/** A check that ClickHouse does not answer is tried again sooner. */
const RETRY_MS = 5_000;
const DAY_MS = 86_400_000;
/** What agents are asked for while space is short: a sixth of the rows. */
const COARSE_WINDOW_MS = 60_000;
const LEASE = "disk_guard";
const LEASE_MS = 60_000;
/** Inserts into a partition with more parts are delayed by ClickHouse, with 3,000 refused. */
export const PARTS_TOO_MANY = 1_000;

/** What the last look at the store found. */
export interface StorageView {
  readonly disks: readonly DiskSpace[];
  readonly partitions: readonly Partition[];
  readonly usage: Usage;
  readonly atMs: number;
}

/**
 * Watches how full the store is, and acts before it is: a ClickHouse without space takes nothing in and cannot even drop a partition.
 *
 * Every node looks, so that each can tell its own agents; one of them drops. Of raw rows the oldest day goes, one at a time, never today's and never one that
 * is not rolled up: minutes and hours of it stay. It is announced first, so that no node takes in a late window of a day that is about to go.
 */
@Injectable()
export class DiskGuard implements OnApplicationBootstrap, OnApplicationShutdown {
  /** From announcing that a day goes until it goes: longer than other nodes take to hear of it and to write what they have. Tests shorten it. */
  noticeMs = 60_000;
  /** After a drop, before the next: freed space shows with a delay. Tests shorten it. */
  pauseMs = 120_000;
  private readonly holder = randomUUID();
  private readonly listeners = new Set<() => void>();
  private current: StorageState = "ok";
  private changedAtMs: number;
  private lastView: StorageView | undefined;
  private problemText: string | undefined = "not looked yet";
  private stuck: string | undefined;
  private lastDropMs = Number.NEGATIVE_INFINITY;
  private timer: NodeJS.Timeout | undefined;
  private isStopped = false;

  constructor(
    @Inject(StorageRepository) private readonly repository: StorageRepository,
    @Inject(ClickHouseService) private readonly clickhouse: ClickHouseService,
    @Inject(RawFloor) private readonly rawFloor: RawFloor,
    @Inject(LeasesRepository) private readonly leases: LeasesRepository,
    @Inject(StorageMetrics) private readonly metrics: StorageMetrics,
    @Inject(Config) private readonly config: Config,
    @Inject(Clock) private readonly clock: Clock,
    @Inject(Log) private readonly log: Log,
  ) {
    this.changedAtMs = clock.now();
  }

  get state(): StorageState {
    return this.current;
  }

  /** When the present state began, Unix milliseconds. */
  get sinceMs(): number {
    return this.changedAtMs;
  }

  /** undefined before the first look that ClickHouse answered. */
  get view(): StorageView | undefined {
    return this.lastView;
  }

  /** Why it is not known how full the store is; undefined: it is. */
  get problem(): string | undefined {
    return this.problemText;
  }

  /** What is the matter with the store, for a person; undefined: nothing. */
  get note(): string | undefined {
    if (this.problemText !== undefined) return `how full the store is, is not known: ${this.problemText}`;
    const notes: string[] = [];
    if (this.current !== "ok") notes.push(`${this.lastView?.usage.what}${actions[this.current]}`);
    if (this.current === "drop" && this.stuck !== undefined) notes.push(this.stuck);
    const partsMax = mostParts(this.lastView?.partitions ?? []);
    if (partsMax >= PARTS_TOO_MANY) notes.push(`a partition has ${partsMax} parts, ClickHouse delays inserts from ${PARTS_TOO_MANY}`);
    return notes.length === 0 ? undefined : notes.join("; ");
  }

  /** The window that agents should be asked for, ms; null: their own. */
  windowMsWanted(): number | null {
    return rank(this.current) >= rank("coarsen") ? COARSE_WINDOW_MS : null;
  }

  /** Calls back when `windowMsWanted` has changed. Returns the unsubscribe. */
  onWindowMsWanted(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  onApplicationBootstrap(): void {
    this.schedule(0);
  }

  async onApplicationShutdown(): Promise<void> {
    this.isStopped = true;
    clearTimeout(this.timer);
    await this.leases.release(LEASE, this.holder).catch(() => {});
  }

  /** Looks now, and does what the state asks for. Throws what ClickHouse or Postgres threw; the state stays as it was then. */
  async check(): Promise<void> {
    let view: StorageView;
    try {
      const [disks, partitions] = await Promise.all([this.repository.listDisks(), this.repository.listPartitions()]);
      const bytes = partitions.reduce((sum, partition) => sum + partition.bytes, 0);
      view = { disks, partitions, usage: usageOf(disks, bytes, this.config.storageBytesMax), atMs: this.clock.now() };
    } catch (error) {
      this.problemText = "ClickHouse does not say";
      this.metrics.unknown.set(1);
      throw error;
    }
    this.lastView = view;
    this.problemText = undefined;
    this.measure(view);
    this.enter(nextState(this.current, view.usage), view.usage);
    if (this.current === "drop") await this.dropOldestDay(view);
    else this.stuck = undefined;
  }

  private measure({ partitions, usage, atMs }: StorageView): void {
    const { metrics } = this;
    metrics.unknown.set(0);
    metrics.usedShare.set(usage.share);
    for (const level of ["raw", "1m", "1h", "bookkeeping"]) {
      const own = partitions.filter((partition) => (kindOf(partition.table).level ?? "bookkeeping") === level);
      metrics.bytes.set(
        { level },
        own.reduce((sum, { bytes }) => sum + bytes, 0),
      );
      metrics.rows.set(
        { level },
        own.reduce((sum, { rows }) => sum + rows, 0),
      );
      metrics.parts.set(
        { level },
        own.reduce((sum, { parts }) => sum + parts, 0),
      );
    }
    metrics.partitionPartsMax.set(mostParts(partitions));
    const definitions = new Map(this.clickhouse.tables.map((table) => [table.name, table]));
    const overdue = partitions.filter((partition) => {
      const definition = definitions.get(partition.table);
      return definition !== undefined && isOverdue(definition, partition, atMs);
    });
    metrics.overdueBytes.set(overdue.reduce((sum, { bytes }) => sum + bytes, 0));
  }

  private enter(state: StorageState, usage: Usage): void {
    this.metrics.state.set(rank(state));
    if (state === this.current) return;
    const isWorse = rank(state) > rank(this.current);
    this.log[isWorse ? "warn" : "info"]({ state, before: this.current, usedShare: usage.share }, `storage: ${usage.what}${actions[state]}`);
    const wantedBefore = this.windowMsWanted();
    this.current = state;
    this.changedAtMs = this.clock.now();
    if (this.windowMsWanted() === wantedBefore) return;
    for (const listener of this.listeners) {
      try {
        listener();
      } catch (error) {
        this.log.error({ err: error }, "a listener to the disk guard failed");
      }
    }
  }

  private async dropOldestDay({ partitions, atMs, usage }: StorageView): Promise<void> {
    if (atMs - this.lastDropMs < this.pauseMs || !(await this.leases.take(LEASE, this.holder, LEASE_MS))) return;
    const todayMs = Math.floor(atMs / DAY_MS) * DAY_MS;
    const raw = partitions.filter(({ table }) => table === WINDOWS_TABLE || kindOf(table).level === "raw");
    const dayMs = Math.min(...raw.map(({ partition }) => partitionStartMs(partition)));
    if (raw.length === 0 || dayMs >= todayMs)
      return this.cannot("there is nothing older than today to drop: give ClickHouse more space, or keep rolled-up rows for less long");
    const endMs = dayMs + DAY_MS;
    const day = new Date(dayMs).toISOString().slice(0, 10);
    if ((await this.repository.rolledUpUntilMs()) < endMs)
      return this.cannot(`the raw rows of ${day} are not rolled up yet, so they are not dropped`);
    const floor = await this.repository.getRawFloor();
    if (floor === undefined || floor.droppedBeforeMs < endMs) {
      await this.repository.raiseRawFloor(endMs, usage.what, atMs);
      await this.rawFloor.refresh();
      return this.cannot(`the raw rows of ${day} will be dropped within minutes`);
    }
    if (floor.droppedBeforeMs === endMs && atMs - floor.decidedAtMs < this.noticeMs) return;
    const targets = new Map(
      raw.filter(({ partition }) => partitionStartMs(partition) === dayMs).map((one) => [`${one.table} ${one.partitionId}`, one]),
    );
    // Last, what says that there are rows.
    const ordered = [...targets.values()].sort((a, b) => Number(a.table === WINDOWS_TABLE) - Number(b.table === WINDOWS_TABLE));
    for (const { table, partitionId } of ordered) {
      await this.repository.noteDrop(table, partitionId);
      await this.repository.dropPartition(table, partitionId);
      this.metrics.droppedPartitions.inc({ reason: "space" });
    }
    this.lastDropMs = atMs;
    this.stuck = undefined;
    const bytes = raw.filter(({ partition }) => partitionStartMs(partition) === dayMs).reduce((sum, one) => sum + one.bytes, 0);
    this.log.warn(
      { audit: "storage.raw_day_dropped", day, tables: ordered.length, bytes, usedShare: usage.share },
      `dropped the raw rows of ${day}: ${usage.what}`,
    );
  }

  private cannot(why: string): void {
    if (why !== this.stuck) this.log.warn({}, `storage: ${why}`);
    this.stuck = why;
  }

  private schedule(delayMs: number): void {
    if (this.isStopped) return;
    this.timer = setTimeout(() => void this.turn().then((nextMs) => this.schedule(nextMs)), delayMs).unref();
  }

  /** Returns when the next check is due, ms. */
  private async turn(): Promise<number> {
    if (!this.clickhouse.isPrepared) return RETRY_MS;
    const wasKnown = this.problemText === undefined;
    try {
      await this.check();
      return CHECK_INTERVAL_MS;
    } catch (error) {
      if (wasKnown) this.log.warn({ err: error }, "could not check how full the store is; trying again");
      return RETRY_MS;
    }
  }
}

const actions: Readonly<Record<StorageState, string>> = {
  ok: "",
  warn: ` (${thresholds.warn * 100} % is the first mark)`,
  coarsen: "; agents are asked for windows of 60 s",
  drop: "; agents are asked for windows of 60 s, and the oldest raw rows are dropped",
};

export function mostParts(partitions: readonly Partition[]): number {
  return partitions.reduce((most, { parts }) => Math.max(most, parts), 0);
}
