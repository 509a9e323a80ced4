// SPDX-License-Identifier: Apache-2.0
import { Inject, Injectable } from "@nestjs/common";
import { ClickHouseService, InsertError } from "../../clickhouse/clickhouse.service.ts";
import { Log } from "../../common/log.ts";
import type { Frame } from "./frame.ts";
import { IngestMetrics } from "./ingest.metrics.ts";
import { buildInserts, buildWindowsInsert, type NativeInsert } from "./native-body.ts";

/** How long the first frame of a batch waits for others. */
const LINGER_MS = 250;
/** Between the starts of two batches, unless one is full: each insert makes a part, and parts cost merges. */
const BATCH_INTERVAL_MS = 1_000;
const BATCH_BYTES_MAX = 16 * 1_024 * 1_024;
const BATCH_FRAMES_MAX = 4_096;
/** Beyond this streams are not read from any more. */
export const IN_FLIGHT_BYTES_MAX = 64 * 1_024 * 1_024;
/** Streams are read from again below this. */
const IN_FLIGHT_BYTES_RESUME = 48 * 1_024 * 1_024;
/** Inserts of one batch that run side by side. */
const INSERTS_AT_ONCE = 4;
const FIRST_RETRY_MS = 250;
const LAST_RETRY_MS = 5_000;

/** What became of a frame: stored for good, or impossible to store. Storage that fails has no outcome; the frame waits. */
export type FrameOutcome = { readonly result: "stored" } | { readonly result: "refused"; readonly reason: string };

interface Entry {
  readonly frame: Frame;
  readonly done: (outcome: FrameOutcome) => void;
}

/**
 * Writes frames of many hosts to ClickHouse in batches and says of each when it is stored.
 *
 * A frame is stored when every table has accepted its rows and `windows` has its row, in that order. While ClickHouse fails the
 * batch is held and tried again with back-off; frames that ClickHouse cannot read are found by halving the batch, so they cost
 * the others nothing but time. Writing rows again is harmless, they are named by what they measured.
 */
@Injectable()
export class FrameWriter {
  private queue: Entry[] = [];
  private queueBytes = 0;
  private inFlightBytes = 0;
  private running: Promise<void> | undefined;
  private timer: NodeJS.Timeout | undefined;
  private lastStartMs = Number.NEGATIVE_INFINITY;
  private failing = false;
  private stopping = false;
  private wakeRetry: (() => void) | undefined;
  private readonly drainListeners = new Set<() => void>();

  constructor(
    @Inject(ClickHouseService) private readonly clickhouse: ClickHouseService,
    @Inject(IngestMetrics) private readonly metrics: IngestMetrics,
    @Inject(Log) private readonly log: Log,
  ) {}

  /** The last insert failed for a reason of the storage. */
  get isFailing(): boolean {
    return this.failing || !this.clickhouse.isPrepared;
  }

  /** More is in flight than should be: stop reading. `onDrain` says when to go on. */
  get isFull(): boolean {
    return this.inFlightBytes >= IN_FLIGHT_BYTES_MAX;
  }

  /** Calls back whenever the writer has room again after having been full. Returns the unsubscribe. */
  onDrain(listener: () => void): () => void {
    this.drainListeners.add(listener);
    return () => this.drainListeners.delete(listener);
  }

  /** Takes a frame. `done` is called once, unless the process stops first. */
  add(frame: Frame, done: (outcome: FrameOutcome) => void): void {
    this.queue.push({ frame, done });
    this.queueBytes += frame.bytes;
    this.changeInFlight(frame.bytes);
    this.schedule();
  }

  /** Writes what is queued, as far as that succeeds within the time. What stays is with the agents still. */
  async stop(timeoutMs: number): Promise<void> {
    this.stopping = true;
    this.wakeRetry?.();
    let timer: NodeJS.Timeout | undefined;
    const deadline = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, timeoutMs);
    });
    const drained = (async () => {
      while (this.running !== undefined || (this.queue.length > 0 && !this.isFailing)) {
        if (this.running === undefined) this.start();
        await this.running;
      }
    })();
    await Promise.race([drained, deadline]);
    clearTimeout(timer);
    clearTimeout(this.timer);
  }

  private schedule(): void {
    if (this.running !== undefined || this.stopping) return;
    const isFullBatch = this.queueBytes >= BATCH_BYTES_MAX || this.queue.length >= BATCH_FRAMES_MAX;
    if (isFullBatch) {
      clearTimeout(this.timer);
      this.timer = undefined;
      this.start();
      return;
    }
    if (this.timer !== undefined || this.queue.length === 0) return;
    const waitMs = Math.max(LINGER_MS, this.lastStartMs + BATCH_INTERVAL_MS - performance.now());
    this.timer = setTimeout(() => {
      this.timer = undefined;
      this.start();
    }, waitMs);
  }

  private start(): void {
    if (this.running !== undefined || this.queue.length === 0) return;
    const batch = this.takeBatch();
    this.lastStartMs = performance.now();
    this.running = this.storeOrWait(batch)
      .catch((error) => this.log.error({ err: error }, "a batch was given up"))
      .finally(() => {
        this.running = undefined;
        this.schedule();
      });
  }

  private takeBatch(): Entry[] {
    let bytes = 0;
    let count = 0;
    for (const { frame } of this.queue) {
      if (count > 0 && (bytes + frame.bytes > BATCH_BYTES_MAX || count >= BATCH_FRAMES_MAX)) break;
      bytes += frame.bytes;
      count++;
    }
    this.queueBytes -= bytes;
    return this.queue.splice(0, count);
  }

  /** Ends when every frame of the batch has its outcome, or the process stops while the storage fails. */
  private async storeOrWait(batch: readonly Entry[]): Promise<void> {
    const waiting: (readonly Entry[])[] = [batch];
    let waitMs = FIRST_RETRY_MS;
    for (;;) {
      const entries = waiting.at(-1);
      if (entries === undefined) return;
      try {
        await this.store(entries.map((entry) => entry.frame));
        if (this.failing) this.log.info({}, "storage accepts inserts again");
        this.failing = false;
        this.metrics.storageFailing.set(0);
        waitMs = FIRST_RETRY_MS;
        waiting.pop();
        for (const entry of entries) this.settle(entry, { result: "stored" });
      } catch (error) {
        const isDataError = error instanceof InsertError && error.failure === "data";
        this.metrics.insertFailures.inc({ kind: isDataError ? "data" : "storage" });
        if (isDataError) {
          waiting.pop();
          if (entries.length > 1) {
            const middle = entries.length >> 1;
            waiting.push(entries.slice(middle), entries.slice(0, middle));
          } else {
            const [entry] = entries;
            if (entry === undefined) continue;
            this.log.warn({ err: error, hostId: entry.frame.host, sequence: String(entry.frame.sequence) }, "ClickHouse cannot read a frame");
            this.settle(entry, { result: "refused", reason: `ClickHouse could not read the rows for ${error.table}` });
          }
          continue;
        }
        if (!this.failing) this.log.warn({ err: error, frames: entries.length }, "storage refuses inserts; holding frames");
        this.failing = true;
        this.metrics.storageFailing.set(1);
        if (this.stopping) return;
        await this.sleep(waitMs);
        waitMs = Math.min(waitMs * 2, LAST_RETRY_MS);
        if (error instanceof InsertError && error.failure === "schema") {
          await this.clickhouse.prepare().catch((cause) => this.log.warn({ err: cause }, "could not bring the tables back"));
        }
      }
    }
  }

  private async store(frames: readonly Frame[]): Promise<void> {
    if (!this.clickhouse.isPrepared) throw new Error("the tables are not made yet");
    const inserts = buildInserts(frames);
    let next = 0;
    const worker = async (): Promise<void> => {
      for (let insert = inserts[next++]; insert !== undefined; insert = inserts[next++]) await this.insert(insert);
    };
    const results = await Promise.allSettled(Array.from({ length: INSERTS_AT_ONCE }, worker));
    const failures = results.filter((result) => result.status === "rejected").map((result) => result.reason as unknown);
    // A storage failure first: it says nothing about the frames, so nothing may be concluded about them.
    const failure = failures.find((reason) => !(reason instanceof InsertError && reason.failure === "data")) ?? failures[0];
    if (failure !== undefined) throw failure;
    await this.insert(buildWindowsInsert(frames));
    this.metrics.rows.inc(inserts.reduce((sum, insert) => sum + insert.rows, 0));
  }

  private async insert(insert: NativeInsert): Promise<void> {
    const stopTimer = this.metrics.insertSeconds.startTimer({ table: insert.table });
    await this.clickhouse.insertNative(insert.table, insert.columns, insert.body);
    stopTimer();
    this.metrics.bytes.inc(insert.bytes);
  }

  private settle(entry: Entry, outcome: FrameOutcome): void {
    this.metrics.frames.inc({ result: outcome.result });
    try {
      this.changeInFlight(-entry.frame.bytes);
      entry.done(outcome);
    } catch (error) {
      // One stream that cannot hear its answer must not cost the rest of the batch theirs; its agent sends the frame again.
      this.log.error({ err: error, hostId: entry.frame.host, sequence: String(entry.frame.sequence) }, "an answer was lost");
    }
  }

  private changeInFlight(bytes: number): void {
    const before = this.inFlightBytes;
    this.inFlightBytes += bytes;
    this.metrics.inFlightBytes.set(this.inFlightBytes);
    if (before >= IN_FLIGHT_BYTES_RESUME && this.inFlightBytes < IN_FLIGHT_BYTES_RESUME) for (const listener of this.drainListeners) listener();
  }

  private async sleep(ms: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.wakeRetry = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.wakeRetry = undefined;
  }
}
