// SPDX-License-Identifier: Apache-2.0
import { AppError } from "../../common/app-error.ts";
import type { Caller } from "../../common/caller.ts";
import type { Clock } from "../../common/clock.ts";
import type { Log } from "../../common/log.ts";
import type { LimitsService } from "../limits/limits.service.ts";
import { type Answer, POINTS_MAX, type Query } from "../query/query.schemas.ts";
import type { QueryService } from "../query/query.service.ts";
import { WINDOW_MS } from "../query/time-range.ts";
import type { CompletenessRepository } from "./completeness.repository.ts";
import { CATCH_UP_MS_MAX } from "./live.schemas.ts";
import { completeMs, completeOfFleetMs, floorTo, stepOfRange } from "./steps.ts";

/** How often it is looked whether more windows are complete. */
const LOOK_INTERVAL_MS = 1_000;
/** After each look, this many times as long as it took, nothing is asked. */
const REST_PER_LOOK = 3;
/** Of a connection that begins: one default window, so that it sees something at once. */
const FIRST_MS = WINDOW_MS;

/** Some complete windows in a row. */
export interface LiveWindows {
  readonly fromMs: number;
  readonly toMs: number;
  readonly stepMs: number;
  readonly answer: Answer | null;
}

export interface FeedListener {
  onWindows(windows: LiveWindows): void;
  onProblem(error: AppError): void;
}

export interface FeedServices {
  readonly queries: QueryService;
  readonly completeness: CompletenessRepository;
  readonly limits: LimitsService;
  readonly clock: Clock;
  readonly log: Log;
}

/** What is looked at, of whom. */
export interface FeedSubject {
  readonly organisationId: string;
  readonly organisationName: string;
  /** null: only which windows are complete. */
  readonly query: Query | null;
  /** The few hosts it is about; null: whichever match the query. */
  readonly hostIds: readonly string[] | null;
}

interface Subscriber {
  readonly listener: FeedListener;
  /** Everything before was sent. */
  atMs: number;
  isCatchingUp: boolean;
}

/**
 * One question, asked of each window as it is complete, for however many look: the same planner as everybody's, once per window. Who comes later or comes back gets
 * what it missed by a question of its own.
 */
export class LiveFeed {
  private readonly subscribers = new Set<Subscriber>();
  private readonly stopping = new AbortController();
  private readonly caller: Caller;
  private atMs: number | undefined;
  private timer: NodeJS.Timeout | undefined;
  private looking: Promise<void> | undefined;
  /** The same stretch of the past, asked by several at once, is one question. */
  private readonly catchingUp = new Map<string, Promise<LiveWindows>>();
  private failedCode: string | undefined;

  constructor(
    private readonly subject: FeedSubject,
    private readonly services: FeedServices,
    private readonly onIdle: () => void,
  ) {
    // It reads for people who were let in each by themselves, and nothing but this.
    this.caller = { ...subject, scopes: ["metrics:read"], token: { id: "live", name: "live" } };
  }

  get subscriberCount(): number {
    return this.subscribers.size;
  }

  /**
   * Windows from `sinceMs` on, or from now.
   * @returns where it begins (later than `sinceMs` where that is too long ago), how to have what was missed and all that comes, and how to leave
   * @throws AppError as the query would
   */
  async subscribe(listener: FeedListener, sinceMs: number | null): Promise<{ fromMs: number; start: () => Promise<void>; leave: () => void }> {
    const subscriber: Subscriber = { listener, atMs: 0, isCatchingUp: true };
    this.subscribers.add(subscriber);
    const leave = (): void => {
      this.subscribers.delete(subscriber);
      if (this.subscribers.size > 0) return;
      this.stop();
      this.onIdle();
    };
    try {
      const nowMs = this.services.clock.now();
      if (this.atMs === undefined) {
        this.looking ??= this.begin();
        await this.looking;
      }
      const atMs = this.atMs ?? nowMs;
      const earliestMs = floorTo(atMs - CATCH_UP_MS_MAX, WINDOW_MS);
      const wanted = sinceMs === null ? floorTo(atMs - FIRST_MS, 1_000) : floorTo(sinceMs, 1_000);
      subscriber.atMs = Math.min(atMs, Math.max(earliestMs, wanted));
    } catch (error) {
      leave();
      throw error;
    }
    return { fromMs: subscriber.atMs, start: () => this.catchUp(subscriber), leave };
  }

  stop(): void {
    clearTimeout(this.timer);
    this.stopping.abort(new Error("nobody looks any more"));
  }

  private async begin(): Promise<void> {
    try {
      const atMs = await this.complete(floorTo(this.services.clock.now() - 2 * WINDOW_MS, WINDOW_MS));
      // A question that cannot be answered is refused before anybody waits for it.
      await this.ask(atMs - WINDOW_MS, atMs);
      this.atMs = atMs;
      this.schedule();
    } finally {
      this.looking = undefined;
    }
  }

  /** @param tookMs how long the last look took: a busy store is asked less often, about more windows at once */
  private schedule(tookMs = 0): void {
    if (this.stopping.signal.aborted) return;
    const nowMs = this.services.clock.now();
    const restMs = tookMs * REST_PER_LOOK;
    const waitMs = Math.ceil((nowMs + Math.max(1, restMs)) / LOOK_INTERVAL_MS) * LOOK_INTERVAL_MS - nowMs;
    this.timer = setTimeout(() => {
      const beganMs = performance.now();
      void this.look().finally(() => this.schedule(performance.now() - beganMs));
    }, waitMs);
    this.timer.unref();
  }

  private async look(): Promise<void> {
    const fromMs = this.atMs;
    if (fromMs === undefined) return;
    try {
      const toMs = Math.min(await this.complete(fromMs), fromMs + CATCH_UP_MS_MAX);
      if (toMs <= fromMs) return;
      const windows = await this.ask(fromMs, toMs);
      this.failedCode = undefined;
      this.atMs = windows.toMs;
      for (const subscriber of [...this.subscribers]) {
        if (subscriber.isCatchingUp || subscriber.atMs !== fromMs) continue;
        subscriber.atMs = windows.toMs;
        subscriber.listener.onWindows(windows);
      }
    } catch (error) {
      this.tell(error);
    }
  }

  /** Until it has seen what everybody has. */
  private async catchUp(subscriber: Subscriber): Promise<void> {
    try {
      while (this.subscribers.has(subscriber) && this.atMs !== undefined && subscriber.atMs < this.atMs) {
        const [fromMs, toMs] = [subscriber.atMs, Math.min(this.atMs, subscriber.atMs + CATCH_UP_MS_MAX)];
        const key = `${fromMs}-${toMs}`;
        let asked = this.catchingUp.get(key);
        if (asked === undefined) {
          asked = this.ask(fromMs, toMs).finally(() => this.catchingUp.delete(key));
          this.catchingUp.set(key, asked);
        }
        const windows = await asked;
        subscriber.atMs = windows.toMs;
        if (this.subscribers.has(subscriber)) subscriber.listener.onWindows(windows);
      }
    } catch (error) {
      // What was missed is left out, and the next event's `from` shows it.
      this.tell(error, [subscriber]);
      subscriber.atMs = this.atMs ?? subscriber.atMs;
    }
    subscriber.isCatchingUp = false;
  }

  private async complete(fromMs: number): Promise<number> {
    const { organisationId, hostIds } = this.subject;
    const nowMs = this.services.clock.now();
    if (hostIds === null) return Math.max(fromMs, completeOfFleetMs(nowMs, WINDOW_MS));
    return completeMs(await this.services.completeness.list(organisationId, hostIds, fromMs, nowMs), fromMs, nowMs);
  }

  private async ask(fromMs: number, toMs: number): Promise<LiveWindows> {
    const { organisationId, hostIds, query } = this.subject;
    const { completeness, limits, queries, clock } = this.services;
    const longest =
      hostIds === null
        ? WINDOW_MS
        : Math.max(0, ...(await completeness.list(organisationId, hostIds, fromMs, clock.now())).map(({ longestMs }) => longestMs));
    const stepMs = stepOfRange(fromMs, toMs, longest);
    const untilMs = Math.min(toMs, fromMs + stepMs * POINTS_MAX);
    if (query === null) return { fromMs, toMs: untilMs, stepMs, answer: null };
    const done = await limits.admitQuery(organisationId);
    let rowsRead = 0;
    try {
      const points = (untilMs - fromMs) / stepMs;
      const answer = await queries.query(this.caller, { ...query, from: fromMs, to: untilMs, points }, this.stopping.signal, { rawGrainMs: stepMs });
      rowsRead = answer.meta.rowsRead;
      return { fromMs, toMs: untilMs, stepMs, answer };
    } finally {
      done(rowsRead);
    }
  }

  /** @param subscribers default: all, once per failure, not once per second of it */
  private tell(error: unknown, subscribers?: readonly Subscriber[]): void {
    if (this.stopping.signal.aborted) return;
    const known = error instanceof AppError ? error : new AppError("INTERNAL", "The query failed for a reason of ours; it is tried again.");
    if (!(error instanceof AppError)) this.services.log.error({ err: error }, "live query failed");
    if (subscribers === undefined) {
      if (known.code === this.failedCode) return;
      this.failedCode = known.code;
    }
    for (const { listener } of subscribers ?? [...this.subscribers]) listener.onProblem(known);
  }
}
