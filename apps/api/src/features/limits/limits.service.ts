// SPDX-License-Identifier: Apache-2.0
import { Inject, Injectable, type OnApplicationBootstrap, type OnApplicationShutdown } from "@nestjs/common";
import { AppError } from "../../common/app-error.ts";
import { type Caller, requireScope } from "../../common/caller.ts";
import { Clock } from "../../common/clock.ts";
import { Log } from "../../common/log.ts";
import { Config } from "../../config/config.ts";
import type { Drizzle } from "../../postgres/database.ts";
import { type Limits, LimitsRepository } from "./limits.repository.ts";
import type { LimitsReport } from "./limits.schemas.ts";
import type { RateLimit } from "./rate-limit-headers.ts";
import { SeriesCount } from "./series.ts";
import { TokenBucket } from "./token-bucket.ts";

/** How long a change of an organisation's limits takes to be felt. */
const REVIEW_INTERVAL_MS = 10_000;
/** Windows end everywhere at the same moment: a fleet's rows of a whole window may come at once. */
const ROWS_BURST_SECONDS = 10;
const QUERY_BURST_SECONDS = 60;
const WAIT_MS_MIN = 1_000;
const WAIT_MS_MAX = 30_000;
const QUERY_WAIT_MS_MAX = 3_600_000;
/** Further than this from the limit, hosts that are added are not counted one by one: ten thousand enrol in a minute. */
const HOSTS_AMPLE = 1_000;
/** And no further than this share of the limit, as other nodes add hosts too. */
const HOSTS_AMPLE_SHARE = 0.9;
/** An organisation that nobody heard of for longer is forgotten, with what it had used. */
const FORGET_AFTER_MS = 3_600_000;

/** Why an organisation's frame is not taken now; the agent sends it again. */
export interface Excess {
  readonly reason: string;
  readonly waitMs: number;
}

interface Usage {
  limits: Limits;
  readonly rows: TokenBucket;
  readonly series: SeriesCount;
  readonly queryRows: TokenBucket;
  queriesRunning: number;
  usedAtMs: number;
  /** The organisation's own limits were read once. */
  prepared: Promise<void> | undefined;
  /** As last counted, and those that asked to be added since. */
  hosts: number;
  hostsCountedAtMs: number;
}

const number = (value: number): string => Math.round(value).toLocaleString("en-US");

/**
 * What each organisation may use, and what it uses now. Limits are the installation's defaults or the organisation's own
 * (`organisation_limits`), read again every 10 s. Each API node counts what passes through it.
 */
@Injectable()
export class LimitsService implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly usages = new Map<string, Usage>();
  private readonly rowsMaxListeners = new Set<(organisationId: string, rowsMax: number) => void>();
  private timer: NodeJS.Timeout | undefined;

  constructor(
    @Inject(LimitsRepository) private readonly repository: LimitsRepository,
    @Inject(Config) private readonly config: Config,
    @Inject(Clock) private readonly clock: Clock,
    @Inject(Log) private readonly log: Log,
  ) {}

  onApplicationBootstrap(): void {
    this.timer = setInterval(() => void this.review(), REVIEW_INTERVAL_MS);
    this.timer.unref();
  }

  onApplicationShutdown(): void {
    clearInterval(this.timer);
  }

  /** Calls back when the agents of an organisation shall stay within other row caps; 0: within their own. */
  onRowsMax(listener: (organisationId: string, rowsMax: number) => void): void {
    this.rowsMaxListeners.add(listener);
  }

  /** Rows of one signal and window that the organisation's agents shall stay within; 0: their own setting. */
  rowsMax(organisationId: string): number {
    return this.usages.get(organisationId)?.series.rowsMax ?? 0;
  }

  /** Reads an organisation's limits before its first frame is measured by them. Never rejects: without an answer the defaults hold. */
  async prepare(organisationId: string): Promise<void> {
    const usage = this.usageOf(organisationId);
    // All who come meanwhile wait for the same answer: what is measured by the defaults until then would be beyond the organisation's own limits.
    usage.prepared ??= this.refresh(organisationId, usage);
    await usage.prepared;
  }

  /** Counts a frame against rows per second and series; undefined if it may be stored. */
  admitFrame(organisationId: string, host: string, rows: number, windowEndMs: number): Excess | undefined {
    const usage = this.usageOf(organisationId);
    const { limits, series } = usage;
    const nowMs = usage.usedAtMs;
    const capBefore = series.rowsMax;
    if (!series.admit(host, rows, windowEndMs, limits.seriesMax)) {
      if (series.rowsMax !== capBefore) this.tellRowsMax(organisationId, series.rowsMax);
      return {
        reason:
          `the organisation may have ${number(limits.seriesMax)} series and has ${number(series.total)}; this window of ${number(rows)} rows is beyond ` +
          "the host's share. The agent was told to fold more into ~other; ask for a higher series_max or keep fewer hosts",
        waitMs: WAIT_MS_MAX,
      };
    }
    if (usage.rows.tryTake(rows, nowMs)) return undefined;
    return {
      reason:
        `the organisation may send ${number(limits.rowsPerSecondMax)} rows/s and has used up ${number(usage.rows.used(nowMs))} of ` +
        `${number(limits.rowsPerSecondMax * ROWS_BURST_SECONDS)} in ${ROWS_BURST_SECONDS} s. Nothing is lost, agents send it again; ask for a higher rows_per_second_max, or lengthen the windows`,
      waitMs: Math.min(WAIT_MS_MAX, Math.max(WAIT_MS_MIN, usage.rows.waitMs(rows, nowMs))),
    };
  }

  /**
   * Whether a host more may come near the organisation's limit, so that `requireRoomForHost` has to count. Of machines that are not enrolled yet. Asks Postgres
   * now and then only; to be called outside a transaction.
   */
  async mayLackRoomForHost(organisationId: string): Promise<boolean> {
    await this.prepare(organisationId);
    const usage = this.usageOf(organisationId);
    const nowMs = usage.usedAtMs;
    if (nowMs - usage.hostsCountedAtMs >= REVIEW_INTERVAL_MS) {
      usage.hostsCountedAtMs = nowMs;
      usage.hosts = await this.repository.countHosts(organisationId);
    }
    usage.hosts++;
    const { hostsMax } = usage.limits;
    return usage.hosts > hostsMax * HOSTS_AMPLE_SHARE || usage.hosts > hostsMax - HOSTS_AMPLE;
  }

  /**
   * Throws RATE_LIMITED when the organisation has as many hosts as it may. Until the transaction ends no other one, of whichever node, gets past this: hosts that
   * are enrolled at the same moment are counted one after the other.
   */
  async requireRoomForHost(organisationId: string, within: Drizzle): Promise<void> {
    await this.repository.lockHosts(organisationId, within);
    const used = await this.repository.countHosts(organisationId, within);
    const { hostsMax } = this.usageOf(organisationId).limits;
    if (used < hostsMax) return;
    throw new AppError(
      "RATE_LIMITED",
      `The organisation may have ${number(hostsMax)} hosts and has ${number(used)}. Retire hosts that are gone, or ask for a higher hosts_max.`,
      { retryAfterMs: WAIT_MS_MAX },
    );
  }

  /**
   * Admits a query. The caller says when it is over and how many rows it read.
   * @throws AppError RATE_LIMITED with the time to wait
   */
  async admitQuery(organisationId: string): Promise<(rowsRead: number) => void> {
    await this.prepare(organisationId);
    const usage = this.usageOf(organisationId);
    const { queriesAtOnceMax, queryRowsPerMinuteMax } = usage.limits;
    if (usage.queriesRunning >= queriesAtOnceMax) {
      throw new AppError(
        "RATE_LIMITED",
        `The organisation may run ${number(queriesAtOnceMax)} queries at once and does. Wait for one to end, or ask for a higher queries_at_once_max.`,
        { retryAfterMs: WAIT_MS_MIN },
      );
    }
    const waitMs = usage.queryRows.waitMs(1, usage.usedAtMs);
    if (waitMs > 0) {
      throw new AppError(
        "RATE_LIMITED",
        `The organisation's queries may read ${number(queryRowsPerMinuteMax)} rows a minute and have read ${number(usage.queryRows.used(usage.usedAtMs))}. ` +
          "Ask for shorter ranges or larger steps, wait, or ask for a higher query_rows_per_minute_max.",
        { retryAfterMs: Math.min(QUERY_WAIT_MS_MAX, waitMs) },
      );
    }
    usage.queriesRunning++;
    let isOver = false;
    return (rowsRead) => {
      if (isOver) return;
      isOver = true;
      usage.queriesRunning--;
      usage.queryRows.take(rowsRead, this.clock.now());
    };
  }

  /** What an organisation's queries may still read. */
  queryRows(organisationId: string): RateLimit {
    const { limits, queryRows, usedAtMs } = this.usageOf(organisationId);
    return {
      name: "query-rows",
      quota: limits.queryRowsPerMinuteMax,
      windowSeconds: QUERY_BURST_SECONDS,
      unit: "rows",
      left: queryRows.left(usedAtMs),
      fullInSeconds: queryRows.fullInSeconds(usedAtMs),
    };
  }

  /** Limits and present use of the caller's organisation. */
  async report(caller: Caller): Promise<LimitsReport> {
    requireScope(caller, "metrics:read");
    const usage = this.usageOf(caller.organisationId);
    await this.refresh(caller.organisationId, usage);
    usage.hosts = await this.repository.countHosts(caller.organisationId);
    const { limits, usedAtMs } = usage;
    return {
      rowsPerSecond: { max: limits.rowsPerSecondMax, used: Math.round(usage.rows.used(usedAtMs) / ROWS_BURST_SECONDS) },
      hosts: { max: limits.hostsMax, used: usage.hosts },
      series: { max: limits.seriesMax, used: usage.series.total, rowsMaxPerSignal: usage.series.rowsMax === 0 ? null : usage.series.rowsMax },
      queryRowsPerMinute: { max: limits.queryRowsPerMinuteMax, used: Math.round(usage.queryRows.used(usedAtMs)) },
      queriesAtOnce: { max: limits.queriesAtOnceMax, used: usage.queriesRunning },
    };
  }

  /** Reads changed limits and looks after what has been used. */
  async review(): Promise<void> {
    const nowMs = this.clock.now();
    for (const [organisationId, usage] of [...this.usages]) {
      if (usage.usedAtMs < nowMs - FORGET_AFTER_MS && usage.queriesRunning === 0) {
        this.usages.delete(organisationId);
        continue;
      }
      const capBefore = usage.series.rowsMax;
      await this.refresh(organisationId, usage);
      usage.series.review(usage.limits.seriesMax, nowMs);
      if (usage.series.rowsMax !== capBefore) this.tellRowsMax(organisationId, usage.series.rowsMax);
    }
  }

  private usageOf(organisationId: string): Usage {
    const nowMs = this.clock.now();
    let usage = this.usages.get(organisationId);
    if (usage === undefined) {
      const { limits } = this.config;
      usage = {
        limits,
        rows: new TokenBucket(limits.rowsPerSecondMax, ROWS_BURST_SECONDS, nowMs),
        series: new SeriesCount(),
        queryRows: new TokenBucket(limits.queryRowsPerMinuteMax / 60, QUERY_BURST_SECONDS, nowMs),
        queriesRunning: 0,
        usedAtMs: nowMs,
        prepared: undefined,
        hosts: 0,
        hostsCountedAtMs: Number.NEGATIVE_INFINITY,
      };
      this.usages.set(organisationId, usage);
    }
    usage.usedAtMs = nowMs;
    return usage;
  }

  private async refresh(organisationId: string, usage: Usage): Promise<void> {
    try {
      const own = await this.repository.getOverrides(organisationId);
      const { limits: defaults } = this.config;
      // Less than nothing is nothing.
      const limitOf = (name: keyof Limits): number => Math.max(0, own?.[name] ?? defaults[name]);
      usage.limits = {
        rowsPerSecondMax: limitOf("rowsPerSecondMax"),
        hostsMax: limitOf("hostsMax"),
        seriesMax: limitOf("seriesMax"),
        queryRowsPerMinuteMax: limitOf("queryRowsPerMinuteMax"),
        queriesAtOnceMax: limitOf("queriesAtOnceMax"),
      };
      const nowMs = this.clock.now();
      usage.rows.resize(usage.limits.rowsPerSecondMax, ROWS_BURST_SECONDS, nowMs);
      usage.queryRows.resize(usage.limits.queryRowsPerMinuteMax / 60, QUERY_BURST_SECONDS, nowMs);
    } catch (error) {
      this.log.warn({ err: error, organisationId }, "could not read an organisation's limits; those known before hold");
    }
  }

  private tellRowsMax(organisationId: string, rowsMax: number): void {
    this.log.info({ organisationId, rowsMax }, "agents are told another row cap");
    for (const listener of this.rowsMaxListeners) listener(organisationId, rowsMax);
  }
}
