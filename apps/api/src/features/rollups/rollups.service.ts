// SPDX-License-Identifier: Apache-2.0
import { randomUUID } from "node:crypto";
import { type BeforeApplicationShutdown, Inject, Injectable, type OnApplicationBootstrap } from "@nestjs/common";
import { catalogue } from "@waggle/signals";
import { ClickHouseService } from "../../clickhouse/clickhouse.service.ts";
import { AppError } from "../../common/app-error.ts";
import { Clock } from "../../common/clock.ts";
import { Log } from "../../common/log.ts";
import { Config } from "../../config/config.ts";
import { LeasesRepository } from "../../postgres/leases.repository.ts";
import { FrameWriter } from "../ingest/frame-writer.service.ts";
import { chunksOf } from "./chunks.ts";
import { type PendingBucket, PendingBuckets } from "./pending-buckets.ts";
import { RollupProgress } from "./rollup-progress.service.ts";
import { RollupsMetrics } from "./rollups.metrics.ts";
import { RollupsRepository, type StepProgress } from "./rollups.repository.ts";
import { type RollupStep, rollupSteps, stepShapes } from "./steps.ts";

const LEASE = "rollups";
const LEASE_MS = 30_000;
const LEASE_RENEWAL_MS = 10_000;
const PASS_INTERVAL_MS = 5_000;
const PASS_INTERVAL_FAILING_MS = 30_000;
/** Frames of a window come within seconds of its end; those of a bucket that come later make it be rolled up again. */
const CLOSE_AFTER_MS = 15_000;
/** Longer than the slowest insert takes from its first row to being visible, and than ClickHouse nodes' clocks differ. */
const SCAN_OVERLAP_MS = 120_000;
/** A step's work in one pass of the loop, so that old arrivals in one step do not hold up new ones in another. A bucket once begun is finished. */
const STEP_BUDGET_MS = 20_000;
/** Between two roll-ups of the same bucket for late arrivals. An hour or the whole fleet is much to read for one late frame. */
const lateIntervalMs: Readonly<Record<RollupStep, number>> = { "1m": 15_000, "1h": 60_000, fleet_1m: 60_000, fleet_1h: 60_000 };
/** Ingest goes first, but not for ever: without roll-ups every dashboard would read raw rows. */
const YIELD_MS_MAX = 60_000;
/** Of one bucket, by signal, where a level is behind. Each has one thread: rows are aggregated as they come, which a second thread does not make faster. */
const STATEMENTS_AT_ONCE = 2;
/** Fewer buckets than that are not behind: one that has just closed is rolled up a signal at a time, as people and agents wait for the other cores. */
const BUCKETS_BEHIND_MIN = 2;
/** How many buckets are asked about in one statement: of 10,000 hosts they have ten million frames. */
const BUCKETS_PER_CHECK = 32;
const RETRY_MS_FIRST = 5_000;
const RETRY_MS_LAST = 60_000;
/** Progress that only says how far was looked is stored no more often; a restart looks at that much again. */
const SAVE_INTERVAL_MS = 30_000;
const STOP_TIMEOUT_MS = 2_000;
const DAY_MS = 86_400_000;
/** Parts go when all their rows have expired, rows of other tables a little earlier or later: near the edge nothing is certain. */
const RETENTION_MARGIN_MS = 3_600_000;

interface StepReport {
  /** Buckets of a tenant that were rolled up. */
  buckets: number;
  /** Hosts in them that were taken in; 1 a bucket for a fleet step. */
  hosts: number;
  rowsRead: number;
  rowsWritten: number;
}

export interface PassReport {
  readonly steps: Readonly<Record<RollupStep, StepReport>>;
  readonly completeUntilMs: Readonly<Record<RollupStep, number>>;
}

interface PassOptions {
  readonly nowMs: number;
  readonly signal: AbortSignal;
  /** Of the loop: leaves work for the next pass rather than be late with the newest. */
  readonly isBounded: boolean;
  readonly statementsAtOnce: number;
}

/**
 * Rolls raw rows up into minutes and hours, of hosts and of the fleet.
 *
 * **What is rolled up** is found by counting. `windows` has a row for every accepted frame, written after the frame's rows; `rollups` says how
 * many of them each host's bucket has taken in. More frames than taken in: the host's bucket is read again as a whole and written with
 * the bucket's number of frames, counted before reading, as version. Only rows of accepted frames are taken in. They only grow, so a higher version has seen more, and the
 * highest wins. Therefore nothing has to be locked or undone: two nodes may roll up the same bucket, a node may be killed between any
 * two statements, frames may come a day late; a frame sent twice changes no count and costs nothing. Hours and fleet rows follow in the
 * same way, counting what the step before has noted.
 *
 * **When.** A bucket is rolled up 15 s after its end, and again when late frames have come. Buckets that a level lacks go first and
 * oldest first: a level is read up to its first gap. Then late arrivals, newest first. Arrivals are found by when ClickHouse got them, in
 * overlapping stretches; a restart goes on where all had been taken in, and without any stored progress everything in retention is
 * checked again.
 *
 * **Who.** The node with the lease; another takes over half a minute after it has died. The lease only saves work: correctness does not
 * depend on it.
 */
@Injectable()
export class RollupsService implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private readonly holder = randomUUID();
  private readonly pending: Readonly<Record<RollupStep, PendingBuckets>> = {
    "1m": new PendingBuckets(),
    "1h": new PendingBuckets(),
    fleet_1m: new PendingBuckets(),
    fleet_1h: new PendingBuckets(),
  };
  /** null: to be read from Postgres. */
  private progress: Map<RollupStep, StepProgress> | null = null;
  private stopping = new AbortController();
  private timer: NodeJS.Timeout | undefined;
  private running: Promise<unknown> = Promise.resolve();
  private isLooping = false;
  private hasLease = false;
  private isFailing = false;
  private lastPassMs = 0;
  private savedAtMs = Number.NEGATIVE_INFINITY;
  /** Halved when a statement was too large for the server. */
  private chunkScale = 1;

  constructor(
    @Inject(RollupsRepository) private readonly repository: RollupsRepository,
    @Inject(RollupProgress) private readonly readableProgress: RollupProgress,
    @Inject(LeasesRepository) private readonly leases: LeasesRepository,
    @Inject(ClickHouseService) private readonly clickhouse: ClickHouseService,
    @Inject(FrameWriter) private readonly writer: FrameWriter,
    @Inject(RollupsMetrics) private readonly metrics: RollupsMetrics,
    @Inject(Config) private readonly config: Config,
    @Inject(Clock) private readonly clock: Clock,
    @Inject(Log) private readonly log: Log,
  ) {}

  onApplicationBootstrap(): void {
    this.isLooping = true;
    this.schedule(PASS_INTERVAL_MS);
  }

  async beforeApplicationShutdown(): Promise<void> {
    await this.stop();
  }

  /** Ends the loop within two seconds; a statement that runs is killed, its bucket will be rolled up again. `runPass` goes on working. */
  async stop(): Promise<void> {
    this.isLooping = false;
    clearTimeout(this.timer);
    this.stopping.abort(new Error("the roller was stopped"));
    let deadline: NodeJS.Timeout | undefined;
    const timeout = new Promise<void>((resolve) => {
      deadline = setTimeout(resolve, STOP_TIMEOUT_MS);
    });
    const released = async (): Promise<void> => {
      await this.running.catch(() => {});
      if (this.hasLease) await this.leases.release(LEASE, this.holder).catch(() => {});
      this.forget();
    };
    await Promise.race([released(), timeout]);
    clearTimeout(deadline);
  }

  /**
   * Rolls up everything that is closed at `nowMs` (Unix milliseconds) and not taken in, at once and without asking for the lease: for tests,
   * benchmarks and people who repair. Safe beside the loop and beside other nodes.
   * @throws the first failure; what was done stays
   */
  async runPass(nowMs: number): Promise<PassReport> {
    if (this.stopping.signal.aborted) this.stopping = new AbortController();
    const { signal } = this.stopping;
    return this.oneAtATime(async () => {
      // What another node has done since, and what this one knew, are both looked at anew.
      if (!this.hasLease) this.forget();
      const { report, failure } = await this.pass({ nowMs, signal, isBounded: false, statementsAtOnce: STATEMENTS_AT_ONCE });
      if (failure !== undefined) throw failure;
      return report;
    });
  }

  private oneAtATime<T>(work: () => Promise<T>): Promise<T> {
    const result = this.running.then(work, work);
    this.running = result.catch(() => {});
    return result;
  }

  private schedule(delayMs: number): void {
    this.timer = setTimeout(() => {
      void this.oneAtATime(() => this.turn()).then((nextMs) => {
        if (this.isLooping) this.schedule(nextMs);
      });
    }, delayMs).unref();
  }

  /** One turn of the loop. Never throws. Returns when the next is due, in ms. */
  private async turn(): Promise<number> {
    const { signal } = this.stopping;
    if (signal.aborted || !this.clickhouse.isPrepared) return PASS_INTERVAL_MS;
    if (this.writer.isFailing && this.clock.now() - this.lastPassMs < YIELD_MS_MAX) return PASS_INTERVAL_MS;
    const lost = new AbortController();
    let renewal: NodeJS.Timeout | undefined;
    try {
      if (!(await this.leases.take(LEASE, this.holder, LEASE_MS))) {
        this.hasLease = false;
        this.forget();
        return PASS_INTERVAL_MS;
      }
      // Others may have gone further since this node had it.
      if (!this.hasLease) this.forget();
      this.hasLease = true;
      renewal = this.renew(lost);
      this.lastPassMs = this.clock.now();
      const { failure } = await this.pass({
        nowMs: this.clock.now(),
        signal: AbortSignal.any([signal, lost.signal]),
        isBounded: true,
        // Asked for no tenant in particular: nobody's frames are taken any more until some are written.
        statementsAtOnce: this.writer.isFailing || this.writer.mustPause("") ? 1 : STATEMENTS_AT_ONCE,
      });
      if (failure !== undefined) throw failure;
      if (this.isFailing) this.log.info({}, "roll-ups work again");
      this.isFailing = false;
      return PASS_INTERVAL_MS;
    } catch (error) {
      if (signal.aborted) return PASS_INTERVAL_MS;
      if (!this.isFailing) this.log.warn({ err: error }, "roll-ups fail; they are tried again until they succeed");
      this.isFailing = true;
      if (!isUnavailable(error)) return PASS_INTERVAL_MS;
      // A table that is gone, as after a restore, comes back with this.
      await this.clickhouse.prepare().catch((cause: unknown) => this.log.debug({ err: cause }, "could not bring the tables back"));
      return PASS_INTERVAL_FAILING_MS;
    } finally {
      clearInterval(renewal);
    }
  }

  private renew(lost: AbortController): NodeJS.Timeout {
    let expiresMs = performance.now() + LEASE_MS;
    return setInterval(async () => {
      const askedMs = performance.now();
      const isHeld = await this.leases.take(LEASE, this.holder, LEASE_MS).catch(() => undefined);
      if (isHeld === true) expiresMs = askedMs + LEASE_MS;
      if (isHeld === false || performance.now() > expiresMs) {
        this.hasLease = false;
        lost.abort(new Error("another node rolls up now"));
      }
    }, LEASE_RENEWAL_MS).unref();
  }

  private forget(): void {
    this.progress = null;
    for (const step of rollupSteps) {
      this.pending[step].clear();
      this.metrics.pending.set({ step }, 0);
    }
  }

  /** All steps once, each up to where the one before has come. A failed bucket is kept for later and does not hold up the others. */
  private async pass(options: PassOptions): Promise<{ report: PassReport; failure: unknown }> {
    const { nowMs, signal } = options;
    this.progress ??= new Map(await this.repository.loadProgress());
    const floors = await this.floors(nowMs);
    const steps = Object.fromEntries(rollupSteps.map((step) => [step, { buckets: 0, hosts: 0, rowsRead: 0, rowsWritten: 0 }])) as Record<
      RollupStep,
      StepReport
    >;
    const completeUntilMs = {} as Record<RollupStep, number>;
    let failure: unknown;
    let hasAdvanced = false;
    for (const step of rollupSteps) {
      const { from, bucketMs } = stepShapes[step];
      const pending = this.pending[step];
      const scannedUntilMs = await this.scan(step, floors[step], signal);
      const closedUntilMs = floor(from === null ? nowMs - CLOSE_AFTER_MS : completeUntilMs[from], bucketMs);
      const before = this.progress.get(step)?.completeUntilMs ?? 0;
      const deadlineMs = performance.now() + STEP_BUDGET_MS;
      const due = options.isBounded
        ? pending.due(nowMs, closedUntilMs, before, lateIntervalMs[step])
        : pending.due(Number.POSITIVE_INFINITY, closedUntilMs, before, 0);
      const isOver = (): boolean => options.isBounded && performance.now() > deadlineMs;
      const isBehind = closedUntilMs - before >= BUCKETS_BEHIND_MIN * bucketMs;
      const statementsAtOnce = options.isBounded && !isBehind ? 1 : options.statementsAtOnce;
      for (let start = 0; start < due.length && !isOver(); start += BUCKETS_PER_CHECK) {
        const batch = due.slice(start, start + BUCKETS_PER_CHECK);
        const behind = await this.repository.behindBuckets(step, batch, signal);
        for (const [index, bucket] of batch.entries()) if (!behind.has(index)) pending.settle(bucket);
        for (const bucket of batch.filter((_, index) => behind.has(index))) {
          if (isOver()) break;
          const error = await this.rollBucket(step, bucket, { ...options, statementsAtOnce }, steps[step]).catch((cause: unknown) => cause);
          if (error === undefined) continue;
          signal.throwIfAborted();
          failure ??= error;
          this.postpone(bucket, error, nowMs);
          if (isUnavailable(error)) break;
        }
      }
      completeUntilMs[step] = Math.max(before, pending.completeUntil(before, closedUntilMs));
      hasAdvanced ||= completeUntilMs[step] > before;
      this.progress.set(step, { completeUntilMs: completeUntilMs[step], scannedUntilMs });
      this.metrics.pending.set({ step }, pending.dueCount(closedUntilMs));
    }
    if (hasAdvanced || !options.isBounded || performance.now() - this.savedAtMs > SAVE_INTERVAL_MS) await this.saveProgress(this.progress);
    return { report: { steps, completeUntilMs }, failure };
  }

  /** What is stored lets a restart go on: so it says how far all was taken in, not how far was looked. */
  private async saveProgress(progress: ReadonlyMap<RollupStep, StepProgress>): Promise<void> {
    const stored = [...progress].map(
      ([step, { completeUntilMs, scannedUntilMs }]) =>
        [step, { completeUntilMs, scannedUntilMs: this.pending[step].scannedUntil(scannedUntilMs) }] as const,
    );
    await this.repository.saveProgress(new Map(stored));
    this.savedAtMs = performance.now();
    await this.readableProgress.refresh();
  }

  /** Looks for arrivals since the last look. Returns up to when all have been looked at. */
  private async scan(step: RollupStep, floorMs: number, signal: AbortSignal): Promise<number> {
    const scannedUntilMs = this.progress?.get(step)?.scannedUntilMs ?? 0;
    const { found, nowMs } =
      scannedUntilMs === 0
        ? await this.repository.allArrivals(step, floorMs, signal)
        : await this.repository.arrivals(step, scannedUntilMs - SCAN_OVERLAP_MS, signal);
    this.pending[step].merge(found, scannedUntilMs);
    this.pending[step].forgetBefore(floorMs);
    return nowMs;
  }

  private async rollBucket(step: RollupStep, bucket: PendingBucket, options: PassOptions, report: StepReport): Promise<void> {
    const { signal, statementsAtOnce } = options;
    const { tenant, bucketMs } = bucket;
    const stopTimer = this.metrics.seconds.startTimer({ step });
    const { behind, version } = await this.repository.behind(step, tenant, bucketMs, signal);
    const present = behind.length === 0 ? new Set<string>() : await this.repository.signalsWithRows(step, tenant, bucketMs, signal);
    const definitions = catalogue.filter(({ name }) => present.has(name));
    for (const chunk of chunksOf(step, behind, this.chunkScale)) {
      const hosts = chunk.map(({ host }) => host);
      await eachAtOnce(statementsAtOnce, definitions, async (definition) => {
        const { rowsRead, rowsWritten } = await this.repository.roll(definition, step, { tenant, bucketMs, hosts, version }, signal);
        report.rowsRead += rowsRead;
        report.rowsWritten += rowsWritten;
        this.metrics.rows.inc({ step, kind: "read" }, rowsRead);
        this.metrics.rows.inc({ step, kind: "written" }, rowsWritten);
      });
      await this.repository.note(step, tenant, bucketMs, chunk, signal);
      report.hosts += chunk.length;
    }
    if (behind.length > 0) {
      report.buckets++;
      bucket.rolledAtMs = options.nowMs;
      stopTimer();
    }
    this.pending[step].settle(bucket);
  }

  private postpone(bucket: PendingBucket, error: unknown, nowMs: number): void {
    this.metrics.failures.inc();
    const isTooLarge = error instanceof AppError && (error.code === "QUERY_TOO_LARGE" || error.code === "QUERY_TIMEOUT");
    if (isTooLarge) this.chunkScale = Math.max(1 / 1_024, this.chunkScale / 2);
    bucket.notBeforeMs = nowMs + Math.min(RETRY_MS_LAST, RETRY_MS_FIRST * 2 ** bucket.failures);
    bucket.failures++;
  }

  /**
   * Buckets before these times are left alone: their source rows may have been dropped since they were rolled up, and what is left of
   * them must not replace what was made of all.
   */
  private async floors(nowMs: number): Promise<Readonly<Record<RollupStep, number>>> {
    const kept = (days: number): number => nowMs - days * DAY_MS + RETENTION_MARGIN_MS;
    const { retention } = this.config;
    const raw = Math.max(kept(retention.shortestDays("raw")), await this.repository.rawFloorMs());
    const minutes = kept(retention.shortestDays("1m"));
    return { "1m": raw, "1h": minutes, fleet_1m: minutes, fleet_1h: minutes };
  }
}

/** Does the work for every item, some at once; throws the first failure when nothing runs any more. */
async function eachAtOnce<T>(atOnce: number, items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const queue = items.values();
  let hasFailed = false;
  const worker = async (): Promise<void> => {
    for (const item of queue) {
      if (hasFailed) return;
      await work(item).catch((error) => {
        hasFailed = true;
        throw error;
      });
    }
  };
  const results = await Promise.allSettled(Array.from({ length: atOnce }, worker));
  for (const result of results) if (result.status === "rejected") throw result.reason;
}

function isUnavailable(error: unknown): boolean {
  return error instanceof AppError && error.code === "STORAGE_UNAVAILABLE";
}

function floor(ms: number, bucketMs: number): number {
  return Math.floor(ms / bucketMs) * bucketMs;
}
