// SPDX-License-Identifier: Apache-2.0
import { Inject, Injectable } from "@nestjs/common";
import { ClickHouseService, InsertError } from "../../clickhouse/clickhouse.service.ts";
import { Log } from "../../common/log.ts";
import { BodyArena } from "./body-arena.ts";
import type { Frame } from "./frame.ts";
import { type FrameOutcome, FrameQueue, type QueueEntry } from "./frame-queue.ts";
import { IngestMetrics } from "./ingest.metrics.ts";
import { buildInserts, buildWindowsInsert, type NativeInsert } from "./native-body.ts";

/** How long the first frame of a batch waits for others. */
const LINGER_MS = 250;
/** Between the starts of two batches, unless one is full: each insert makes a part, and parts cost merges. */
const BATCH_INTERVAL_MS = 1_000;
const BATCH_BYTES_MAX = 8 * 1_024 * 1_024;
const BATCH_FRAMES_MAX = 4_096;
/** Of a batch, what live frames leave to the backlog when both wait: it must not stand still for good. */
const BACKLOG_SHARE = 1 / 8;
/** The next batch is built and sent while ClickHouse still works on the one before. */
const BATCHES_AT_ONCE = 2;
/** Inserts of one batch that run side by side. */
const INSERTS_AT_ONCE = 4;
/** Memory for the bodies of a batch: its columns, and what each row says besides. */
const BODY_BYTES = 2 * BATCH_BYTES_MAX;
/** Frames taken and not yet stored: beyond this streams are not read from any more. */
export const IN_FLIGHT_BYTES_MAX = 64 * 1_024 * 1_024;
/** Of those, what frames of the past may be. */
export const BACKLOG_BYTES_MAX = IN_FLIGHT_BYTES_MAX / 2;
/** Of those, what one organisation's frames may be while others send too. */
export const TENANT_BYTES_MAX = IN_FLIGHT_BYTES_MAX / 2;
/**
 * Streams that are left unread when too much is in flight. The transport holds up to 64 KiB of each, so with more streams than this the unread
 * would take more memory than the frames: then these are sent away instead.
 */
export const PAUSED_STREAMS_MAX = 1_000;
const FIRST_RETRY_MS = 250;
const LAST_RETRY_MS = 5_000;
/** A batch that takes longer is as bad as one that fails. */
export const STALL_MS = 10_000;

/** What is sent for a batch, again and again until the storage takes it. */
interface Attempt {
  readonly arena: BodyArena;
  readonly inserts: readonly NativeInsert[];
  readonly windows: NativeInsert;
  /** Of an insert that failed, nobody knows whether its bytes are still being sent: they must not become others'. */
  hasFailed: boolean;
}

/** Why a frame cannot be taken now. The agent keeps it and sends it again. */
export interface Deferral {
  readonly reason: string;
  /** Frames of the present have to wait as well. */
  readonly includesLive: boolean;
}

/**
 * Writes frames of many hosts to ClickHouse in batches and says of each when it is stored.
 *
 * A frame is stored when every table has accepted its rows and `windows` has its row, in that order. While ClickHouse fails the
 * batch is held and tried again with back-off; frames that ClickHouse cannot read are found by halving the batch, so they cost
 * the others nothing but time. Writing rows again is harmless, they are named by what they measured.
 *
 * Frames of the present go first; those of the past fill what they leave.
 */
@Injectable()
export class FrameWriter {
  private readonly live = new FrameQueue();
  private readonly backlog = new FrameQueue();
  private inFlightBytes = 0;
  private backlogBytes = 0;
  private readonly bytesByTenant = new Map<string, number>();
  /** Open streams by tenant. */
  private readonly senders = new Map<string, number>();
  private streams = 0;
  /** At most one for each batch at once. */
  private readonly arenas: BodyArena[] = [];
  private readonly running = new Set<Promise<void>>();
  private stalledBatches = 0;
  private timer: NodeJS.Timeout | undefined;
  private lastStartMs = Number.NEGATIVE_INFINITY;
  private failing = false;
  private stopping = false;
  private readonly wakeRetries = new Set<() => void>();
  private readonly changeListeners = new Set<() => void>();

  constructor(
    @Inject(ClickHouseService) private readonly clickhouse: ClickHouseService,
    @Inject(IngestMetrics) private readonly metrics: IngestMetrics,
    @Inject(Log) private readonly log: Log,
  ) {
    metrics.inFlightBytes = () => this.inFlightBytes;
  }

  /** The last insert failed for a reason of the storage, or one takes far too long. */
  get isFailing(): boolean {
    return this.failing || this.stalledBatches > 0 || !this.clickhouse.isPrepared;
  }

  /** As much of this tenant's is in flight as may be, and it is a matter of moments: stop reading from its streams. `onChange` says when to look again. */
  mustPause(tenant: string): boolean {
    return this.isFullFor(tenant) && !this.isFailing && this.streams <= PAUSED_STREAMS_MAX;
  }

  private isFullFor(tenant: string): boolean {
    return this.inFlightBytes >= IN_FLIGHT_BYTES_MAX || (this.senders.size > 1 && (this.bytesByTenant.get(tenant) ?? 0) >= TENANT_BYTES_MAX);
  }

  /** Why a frame of this tenant should be sent again later instead of being added now; undefined if it should be added. */
  deferral(tenant: string, isLive: boolean): Deferral | undefined {
    if (this.isFullFor(tenant) && !this.mustPause(tenant)) {
      const why = this.isFailing ? "the storage does not take rows" : "the storage takes rows more slowly than they come";
      return { reason: `${why} and the API holds all it may; keep the snapshot and send it again`, includesLive: true };
    }
    // The other half of what an organisation may hold is for its own present.
    const hasEnough = this.senders.size > 1 && (this.bytesByTenant.get(tenant) ?? 0) >= TENANT_BYTES_MAX / 2;
    if (!isLive && (hasEnough || this.backlogBytes >= BACKLOG_BYTES_MAX))
      return {
        reason: "the API holds as many past snapshots as it may without delaying present ones; keep the snapshot and send it again",
        includesLive: false,
      };
    return undefined;
  }

  /** A stream of this tenant has opened. Returns what to call when it has ended. */
  join(tenant: string): () => void {
    this.senders.set(tenant, (this.senders.get(tenant) ?? 0) + 1);
    this.streams++;
    return () => {
      this.streams--;
      const rest = (this.senders.get(tenant) ?? 1) - 1;
      if (rest > 0) this.senders.set(tenant, rest);
      else this.senders.delete(tenant);
    };
  }

  /** Calls back whenever `mustPause` may have changed. Returns the unsubscribe. */
  onChange(listener: () => void): () => void {
    this.changeListeners.add(listener);
    return () => this.changeListeners.delete(listener);
  }

  /**
   * Takes a frame. `done` is called once, unless the process stops first.
   * @param isLive its window has just ended; otherwise it waits behind those that are
   */
  add(frame: Frame, isLive: boolean, done: (outcome: FrameOutcome) => void): void {
    const entry = { frame, isLive, done };
    (isLive ? this.live : this.backlog).push(entry);
    this.changeInFlight(entry, frame.memory.length);
    this.schedule();
  }

  /** Writes what is queued, as far as that succeeds within the time. What stays is with the agents still. */
  async stop(timeoutMs: number): Promise<void> {
    this.stopping = true;
    clearTimeout(this.timer);
    for (const wake of this.wakeRetries) wake();
    let timer: NodeJS.Timeout | undefined;
    const deadline = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, timeoutMs);
    });
    const drained = (async () => {
      while (this.running.size > 0 || (this.queuedFrames > 0 && !this.isFailing)) {
        if (!this.isFailing) this.start();
        await Promise.race(this.running);
      }
    })();
    await Promise.race([drained, deadline]);
    clearTimeout(timer);
  }

  private get queuedFrames(): number {
    return this.live.length + this.backlog.length;
  }

  private schedule(): void {
    if (this.stopping) return;
    // One attempt at a time is enough to find out that the storage works again.
    if (this.running.size >= (this.failing ? 1 : BATCHES_AT_ONCE)) return;
    const isFullBatch = this.live.bytes + this.backlog.bytes >= BATCH_BYTES_MAX || this.queuedFrames >= BATCH_FRAMES_MAX;
    if (isFullBatch) {
      clearTimeout(this.timer);
      this.timer = undefined;
      this.start();
      return;
    }
    if (this.timer !== undefined || this.queuedFrames === 0) return;
    const waitMs = Math.max(LINGER_MS, this.lastStartMs + BATCH_INTERVAL_MS - performance.now());
    this.timer = setTimeout(() => {
      this.timer = undefined;
      this.start();
    }, waitMs);
  }

  private start(): void {
    if (this.queuedFrames === 0 || this.running.size >= BATCHES_AT_ONCE) return;
    const batch = this.takeBatch();
    this.lastStartMs = performance.now();
    let isStalled = false;
    const stallTimer = setTimeout(() => {
      isStalled = true;
      this.stalledBatches++;
      this.log.warn({ frames: batch.length, afterMs: STALL_MS }, "storage is slow");
      this.tellChange();
    }, STALL_MS);
    const stored: Promise<void> = this.storeOrWait(batch)
      .catch((error) => this.log.error({ err: error }, "a batch was given up"))
      .finally(() => {
        clearTimeout(stallTimer);
        if (isStalled) this.stalledBatches--;
        this.running.delete(stored);
        this.tellChange();
        this.schedule();
      });
    this.running.add(stored);
    this.schedule();
  }

  private takeBatch(): QueueEntry[] {
    const liveShare = this.backlog.length > 0 ? 1 - BACKLOG_SHARE : 1;
    const batch = this.live.take(BATCH_BYTES_MAX * liveShare, BATCH_FRAMES_MAX * liveShare);
    const bytes = batch.reduce((sum, entry) => sum + entry.frame.memory.length, 0);
    for (const entry of this.backlog.take(BATCH_BYTES_MAX - bytes, BATCH_FRAMES_MAX - batch.length)) batch.push(entry);
    return batch;
  }

  /** Ends when every frame of the batch has its outcome, or the process stops while the storage fails. */
  private async storeOrWait(batch: readonly QueueEntry[]): Promise<void> {
    const waiting: (readonly QueueEntry[])[] = [batch];
    let attempt: Attempt | undefined;
    let waitMs = FIRST_RETRY_MS;
    for (;;) {
      const entries = waiting.at(-1);
      if (entries === undefined) return;
      try {
        if (!this.clickhouse.isPrepared) throw new Error("the tables are not made yet");
        attempt ??= this.prepare(entries.map((entry) => entry.frame));
        await this.store(attempt);
        if (!attempt.hasFailed) this.giveBack(attempt.arena);
        attempt = undefined;
        if (this.failing) this.log.info({}, "storage accepts inserts again");
        this.setFailing(false);
        waitMs = FIRST_RETRY_MS;
        waiting.pop();
        for (const entry of entries) this.settle(entry, { result: "stored" });
        this.metrics.frames.inc({ result: "stored" }, entries.length);
      } catch (error) {
        const isDataError = error instanceof InsertError && error.failure === "data";
        this.metrics.insertFailures.inc({ kind: isDataError ? "data" : "storage" });
        if (attempt !== undefined) attempt.hasFailed = true;
        if (isDataError) {
          attempt = undefined;
          waiting.pop();
          if (entries.length > 1) {
            const middle = entries.length >> 1;
            waiting.push(entries.slice(middle), entries.slice(0, middle));
          } else {
            const [entry] = entries;
            if (entry === undefined) continue;
            this.log.warn({ err: error, hostId: entry.frame.host, sequence: String(entry.frame.sequence) }, "ClickHouse cannot read a frame");
            this.settle(entry, { result: "refused", reason: `ClickHouse could not read the rows for ${error.table}` });
            this.metrics.frames.inc({ result: "refused" });
          }
          continue;
        }
        if (!this.failing) this.log.warn({ err: error, frames: entries.length }, "storage refuses inserts; holding frames");
        this.setFailing(true);
        if (this.stopping) return;
        await this.sleep(waitMs);
        waitMs = Math.min(waitMs * 2, LAST_RETRY_MS);
        if (error instanceof InsertError && error.failure === "schema") {
          await this.clickhouse.prepare().catch((cause) => this.log.warn({ err: cause }, "could not bring the tables back"));
        }
      }
    }
  }

  private prepare(frames: readonly Frame[]): Attempt {
    const arena = this.arenas.pop() ?? new BodyArena(BODY_BYTES);
    return { arena, inserts: buildInserts(frames, arena), windows: buildWindowsInsert(frames, arena), hasFailed: false };
  }

  private giveBack(arena: BodyArena): void {
    arena.reset();
    if (this.arenas.length < BATCHES_AT_ONCE) this.arenas.push(arena);
  }

  private async store({ inserts, windows }: Attempt): Promise<void> {
    let next = 0;
    const worker = async (): Promise<void> => {
      for (let insert = inserts[next++]; insert !== undefined; insert = inserts[next++]) await this.insert(insert);
    };
    const results = await Promise.allSettled(Array.from({ length: INSERTS_AT_ONCE }, worker));
    const failures = results.filter((result) => result.status === "rejected").map((result) => result.reason as unknown);
    // A storage failure first: it says nothing about the frames, so nothing may be concluded about them.
    const failure = failures.find((reason) => !(reason instanceof InsertError && reason.failure === "data")) ?? failures[0];
    if (failure !== undefined) throw failure;
    await this.insert(windows);
    this.metrics.rows.inc(inserts.reduce((sum, insert) => sum + insert.rows, 0));
  }

  private async insert(insert: NativeInsert): Promise<void> {
    const stopTimer = this.metrics.insertSeconds.startTimer({ table: insert.table });
    await this.clickhouse.insertNative(insert.table, insert.columns, [insert.body]);
    stopTimer();
    this.metrics.bytes.inc(insert.body.length);
  }

  private settle(entry: QueueEntry, outcome: FrameOutcome): void {
    try {
      this.changeInFlight(entry, -entry.frame.memory.length);
      entry.done(outcome);
    } catch (error) {
      // One stream that cannot hear its answer must not cost the rest of the batch theirs; its agent sends the frame again.
      this.log.error({ err: error, hostId: entry.frame.host, sequence: String(entry.frame.sequence) }, "an answer was lost");
    }
  }

  private changeInFlight({ frame, isLive }: QueueEntry, bytes: number): void {
    this.inFlightBytes += bytes;
    if (!isLive) this.backlogBytes += bytes;
    const ofTenant = (this.bytesByTenant.get(frame.tenant) ?? 0) + bytes;
    if (ofTenant > 0) this.bytesByTenant.set(frame.tenant, ofTenant);
    else this.bytesByTenant.delete(frame.tenant);
  }

  private setFailing(failing: boolean): void {
    if (this.failing === failing) return;
    this.failing = failing;
    this.metrics.storageFailing.set(failing ? 1 : 0);
    this.tellChange();
  }

  private tellChange(): void {
    for (const listener of [...this.changeListeners]) listener();
  }

  private async sleep(ms: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const wake = (): void => {
        clearTimeout(timer);
        this.wakeRetries.delete(wake);
        resolve();
      };
      const timer = setTimeout(wake, ms);
      this.wakeRetries.add(wake);
    });
  }
}
