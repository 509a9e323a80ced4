// SPDX-License-Identifier: Apache-2.0
import { Inject, Injectable } from "@nestjs/common";
import { ClickHouseService } from "../../clickhouse/clickhouse.service.ts";
import { AppError } from "../../common/app-error.ts";
import { Log } from "../../common/log.ts";
import { Config } from "../../config/config.ts";
import { FairQueue, type Length, NoTurn, type Ticket, type Turn } from "./fair-queue.ts";
import { QueryMetrics } from "./query.metrics.ts";

/** Also of a server of one core: while one answer travels, the other is worked on. */
const RUNNING_MIN = 2;
const CORES_KNOWN_MS = 300_000;
/** A statement that took longer last time is a long one. */
const LONG_MS = 250;
/** Of one that took less than this last time, more threads than one cost more than they save. */
const SHORT_MS = 30;
/** Statements whose lengths are remembered. */
const KINDS_MAX = 5_000;
const RETRY_MS_MIN = 1_000;
const RETRY_MS_MAX = 30_000;

export interface Admitted<T> {
  readonly answer: T;
  readonly waitedMs: number;
}

/**
 * Gives ClickHouse as many statements of queries at a time as it has cores, each as many threads as that leaves it. More would not be answered sooner, would
 * all hold memory, and would take the cores that inserts and roll-ups need. The others wait in lines that are fair to organisations, and in which those that
 * are known to take long let the others pass.
 */
@Injectable()
export class StatementAdmission {
  /** Tests set them. */
  readonly limits: { runningMax: number | null; waitingMax: number; waitMsMax: number };
  private readonly queue: FairQueue;
  /** How long statements of a kind took last time, ms; the one not seen longest is first. */
  private readonly tookMs = new Map<string, number>();
  private cores = RUNNING_MIN;
  private coresReadAtMs = Number.NEGATIVE_INFINITY;

  constructor(
    @Inject(ClickHouseService) private readonly clickhouse: ClickHouseService,
    @Inject(Config) { statements }: Config,
    @Inject(QueryMetrics) private readonly metrics: QueryMetrics,
    @Inject(Log) private readonly log: Log,
  ) {
    this.limits = { ...statements };
    this.queue = new FairQueue(() => ({ ...this.limits, runningMax: this.runningMax }));
    metrics.observe(this.queue);
  }

  private get runningMax(): number {
    return this.limits.runningMax ?? Math.max(RUNNING_MIN, this.cores);
  }

  /** How long a statement of the organisation would wait now, about. */
  expectedWaitMs(organisationId: string): number {
    return this.queue.expectedWaitMs(organisationId);
  }

  /**
   * Does work when it is its turn.
   * @param kind names what will take about as long: long ones are kept from taking all places
   * @param work gets the threads that its statement may have
   * @param signal leaves the line; work that began has to heed it itself
   * @param ticket of the query that the statement is a part of
   * @throws AppError RATE_LIMITED, OVERLOADED with the time after which to try again; the signal's reason; what the work throws
   */
  async run<T>(
    organisationId: string,
    kind: string,
    work: (threadsMax: number) => Promise<T>,
    signal?: AbortSignal,
    ticket?: Ticket,
  ): Promise<Admitted<T>> {
    this.keepCores();
    const name = `${organisationId} ${kind}`;
    const tookMs = this.tookMs.get(name);
    const turn = await this.enter(organisationId, signal, (tookMs ?? 0) > LONG_MS ? "long" : "short", ticket);
    this.metrics.waitSeconds.observe(turn.waitedMs / 1_000);
    const beganMs = performance.now();
    try {
      const threads = tookMs !== undefined && tookMs < SHORT_MS ? 1 : Math.max(1, Math.floor(this.cores / turn.running));
      return { answer: await work(threads), waitedMs: turn.waitedMs };
    } finally {
      turn.end();
      this.remember(name, performance.now() - beganMs);
    }
  }

  private remember(name: string, tookMs: number): void {
    this.tookMs.delete(name);
    this.tookMs.set(name, tookMs);
    const [oldest] = this.tookMs.size > KINDS_MAX ? this.tookMs.keys() : [];
    if (oldest !== undefined) this.tookMs.delete(oldest);
  }

  private async enter(organisationId: string, signal: AbortSignal | undefined, length: Length, ticket: Ticket | undefined): Promise<Turn> {
    try {
      return await this.queue.enter(organisationId, signal, length, ticket);
    } catch (error) {
      if (!(error instanceof NoTurn)) throw error;
      const { reason } = error;
      this.metrics.refused.inc({ reason });
      const retryAfterMs = Math.min(RETRY_MS_MAX, Math.max(RETRY_MS_MIN, Math.ceil(error.retryAfterMs)));
      const { waitingMax, waitMsMax } = this.limits;
      if (reason === "full")
        throw new AppError(
          "RATE_LIMITED",
          `The organisation may have ${waitingMax} statements waiting for ClickHouse and has. Ask for fewer things at once, or ask for a higher WAGGLE_API_LIMIT_STATEMENTS_WAITING.`,
          { retryAfterMs },
        );
      throw new AppError(
        "OVERLOADED",
        `ClickHouse works on ${this.runningMax} statements of queries and ${this.queue.waiting} wait; this one would wait longer than the ${waitMsMax / 1_000} s that it may ` +
          "(WAGGLE_API_LIMIT_STATEMENT_WAIT_SECONDS). Nothing was read; try again later, ask for shorter ranges, or give ClickHouse more cores.",
        { retryAfterMs },
      );
    }
  }

  /** Reads now and then how many threads ClickHouse gives a statement: its cores, unless an operator set less. What was known holds meanwhile. */
  private keepCores(): void {
    const nowMs = performance.now();
    if (nowMs - this.coresReadAtMs < CORES_KNOWN_MS) return;
    this.coresReadAtMs = nowMs;
    this.clickhouse.query<{ threads: number }>("SELECT toUInt32(getSetting('max_threads')) AS threads").then(
      ({ rows }) => {
        this.cores = Math.max(1, rows[0]?.threads ?? 1);
      },
      (error: unknown) => {
        this.coresReadAtMs = Number.NEGATIVE_INFINITY;
        this.log.debug({ err: error }, "could not read how many cores ClickHouse has");
      },
    );
  }
}
