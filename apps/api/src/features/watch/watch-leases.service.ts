// SPDX-License-Identifier: Apache-2.0
import { randomUUID } from "node:crypto";
import { type BeforeApplicationShutdown, Inject, Injectable, type OnApplicationBootstrap } from "@nestjs/common";
import { Log } from "../../common/log.ts";
import { type Watch, WatchLeasesRepository } from "./watch-leases.repository.ts";

/** The shortest window there is. */
export const WATCHED_WINDOW_MS = 1_000;
/** A node that dies keeps its hosts at short windows for as long. */
const LEASE_MS = 30_000;
const RENEW_INTERVAL_MS = 10_000;
/** How long a watch on another node takes to be noticed here: one statement per node and interval. */
const LOOK_INTERVAL_MS = 2_000;
/** A page that is loaded again, or a connection that breaks, comes back within this. */
const LINGER_MS = 3_000;
/** Each costs its host and the store ten times as much as others. */
const HOSTS_PER_ORGANISATION_MAX = 32;

interface LocalWatch extends Watch {
  watchers: number;
  linger: NodeJS.Timeout | undefined;
}

/**
 * Hosts that somebody looks at live, over all nodes of the API: their windows are short meanwhile. What people set is not touched: a watch lies over it, and
 * is over by itself when the last one leaves or their node dies.
 */
@Injectable()
export class WatchLeases implements OnApplicationBootstrap, BeforeApplicationShutdown {
  /** Tests shorten them. */
  leaseMs = LEASE_MS;
  lingerMs = LINGER_MS;
  private readonly node = randomUUID();
  private readonly local = new Map<string, LocalWatch>();
  private watched: ReadonlySet<string> = new Set();
  private readonly listeners = new Set<(hostId: string) => void>();
  private timer: NodeJS.Timeout | undefined;
  private renewedAtMs = 0;
  private isFailing = false;
  private turn: Promise<void> = Promise.resolve();

  constructor(
    @Inject(WatchLeasesRepository) private readonly repository: WatchLeasesRepository,
    @Inject(Log) private readonly log: Log,
  ) {}

  onApplicationBootstrap(): void {
    this.timer = setInterval(() => void this.inTurn(() => this.lookAfter()), LOOK_INTERVAL_MS);
    this.timer.unref();
  }

  /** Hosts go back at once when their last node stops as it should. */
  async beforeApplicationShutdown(): Promise<void> {
    clearInterval(this.timer);
    for (const { linger } of this.local.values()) clearTimeout(linger);
    const hostIds = [...this.local.keys()];
    this.local.clear();
    await this.inTurn(() => this.repository.release(this.node, hostIds));
  }

  /** Calls back when a host's windows shall become short or as they were. */
  onChange(listener: (hostId: string) => void): void {
    this.listeners.add(listener);
  }

  /** The length that a host's windows shall have because it is watched; undefined: nobody does. */
  windowMsOf(hostId: string): number | undefined {
    return this.watched.has(hostId) ? WATCHED_WINDOW_MS : undefined;
  }

  /** For whoever asks what holds for a host; null: nobody watches it. */
  async watchOf(organisationId: string, hostId: string): Promise<{ windowMs: number; watchers: number; until: string } | null> {
    const lease = await this.repository.get(organisationId, hostId);
    return lease === undefined ? null : { windowMs: WATCHED_WINDOW_MS, watchers: lease.watchers, until: lease.until.toISOString() };
  }

  /**
   * Somebody looks at a host from now on.
   * @returns ends it; undefined: the organisation watches as many hosts as it may through this node
   */
  watch(organisationId: string, hostId: string): (() => void) | undefined {
    let watch = this.local.get(hostId);
    if (watch === undefined) {
      const ofOrganisation = [...this.local.values()].filter((other) => other.organisationId === organisationId).length;
      if (ofOrganisation >= HOSTS_PER_ORGANISATION_MAX) return undefined;
      watch = { organisationId, hostId, watchers: 0, linger: undefined };
      this.local.set(hostId, watch);
    }
    const mine = watch;
    clearTimeout(mine.linger);
    mine.watchers++;
    void this.inTurn(() => this.renew([mine]));
    let isOver = false;
    return () => {
      if (isOver) return;
      isOver = true;
      mine.watchers--;
      if (mine.watchers > 0) void this.inTurn(() => this.renew([mine]));
      else mine.linger = setTimeout(() => void this.inTurn(() => this.letGo(mine)), this.lingerMs).unref();
    };
  }

  private async letGo(watch: LocalWatch): Promise<void> {
    if (watch.watchers > 0 || this.local.get(watch.hostId) !== watch) return;
    this.local.delete(watch.hostId);
    await this.repository.release(this.node, [watch.hostId]);
    await this.look();
  }

  private async renew(watches: readonly LocalWatch[]): Promise<void> {
    const live = watches.filter((watch) => this.local.get(watch.hostId) === watch);
    await this.repository.take(
      this.node,
      live.map(({ organisationId, hostId, watchers }) => ({ organisationId, hostId, watchers })),
      this.leaseMs,
    );
    await this.look();
  }

  private async lookAfter(): Promise<void> {
    const nowMs = performance.now();
    if (nowMs - this.renewedAtMs < Math.min(RENEW_INTERVAL_MS, this.leaseMs / 3)) {
      await this.look();
      return;
    }
    this.renewedAtMs = nowMs;
    await this.repository.sweep();
    await this.renew([...this.local.values()]);
  }

  private async look(): Promise<void> {
    const watched = new Set(await this.repository.listWatched());
    const changed = [...watched].filter((hostId) => !this.watched.has(hostId)).concat([...this.watched].filter((hostId) => !watched.has(hostId)));
    this.watched = watched;
    for (const hostId of changed) for (const listener of this.listeners) listener(hostId);
  }

  /** One after the other: an older answer must not undo a newer one. While Postgres is away what was known holds, and the next look tries again. */
  private inTurn(work: () => Promise<void>): Promise<void> {
    this.turn = this.turn.then(work).then(
      () => {
        this.isFailing = false;
      },
      (error: unknown) => {
        if (!this.isFailing) this.log.warn({ err: error }, "could not look after watched hosts; those known before hold");
        this.isFailing = true;
      },
    );
    return this.turn;
  }
}
