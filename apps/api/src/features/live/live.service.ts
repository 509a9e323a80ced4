// SPDX-License-Identifier: Apache-2.0
import type { ServerResponse } from "node:http";
import { type BeforeApplicationShutdown, Inject, Injectable } from "@nestjs/common";
import { AppError } from "../../common/app-error.ts";
import { type Caller, requireScope } from "../../common/caller.ts";
import { Clock } from "../../common/clock.ts";
import { Log } from "../../common/log.ts";
import { atPointer } from "../../common/validation.ts";
import { HostsRepository } from "../hosts/hosts.repository.ts";
import { LimitsService } from "../limits/limits.service.ts";
import type { Query } from "../query/query.schemas.ts";
import { QueryService } from "../query/query.service.ts";
import { WatchLeases } from "../watch/watch-leases.service.ts";
import { CompletenessRepository } from "./completeness.repository.ts";
import { EventStream } from "./event-stream.ts";
import { LiveMetrics } from "./live.metrics.ts";
import type { LiveRequest } from "./live.schemas.ts";
import { type FeedListener, type FeedServices, type FeedSubject, LiveFeed } from "./live-feed.ts";

const HEARTBEAT_MS = 15_000;
const AGE_MS_MAX = 30 * 60_000;
/** How much clocks of two nodes of the API differ at most. */
const CLOCKS_MS_MAX = 60_000;
const CONNECTIONS_PER_ORGANISATION_MAX = 500;
const CONNECTIONS_PER_TOKEN_MAX = 200;
/** Each may read every second: as many pages of hosts as may be watched, with some queries each. */
const FEEDS_PER_ORGANISATION_MAX = 160;

export interface LiveClient {
  readonly caller: Caller;
  readonly request: LiveRequest;
  readonly lastEventId: string | undefined;
  readonly requestId: string;
  /** Who it is by now. Throws UNAUTHENTICATED. */
  readonly reauthenticate: () => Promise<Caller>;
  /** Called when nothing can go wrong any more: sends the head of the answer. */
  readonly accept: () => ServerResponse;
}

/** A place in each of a connection's feeds. */
interface Progress {
  readonly atMs: number[];
}

/** Live connections: who may have one, what it looks at, when it ends. */
@Injectable()
export class LiveService implements BeforeApplicationShutdown {
  /** Tests lower them. */
  heartbeatMs = HEARTBEAT_MS;
  ageMsMax = AGE_MS_MAX;
  connectionsPerOrganisationMax = CONNECTIONS_PER_ORGANISATION_MAX;
  connectionsPerTokenMax = CONNECTIONS_PER_TOKEN_MAX;
  feedsPerOrganisationMax = FEEDS_PER_ORGANISATION_MAX;
  private readonly connections = new Map<EventStream, Caller>();
  private readonly feeds = new Map<string, LiveFeed>();
  private readonly feedServices: FeedServices;
  private admitting = 0;
  private isStopping = false;

  constructor(
    @Inject(QueryService) queries: QueryService,
    @Inject(CompletenessRepository) completeness: CompletenessRepository,
    @Inject(LimitsService) limits: LimitsService,
    @Inject(HostsRepository) private readonly hosts: HostsRepository,
    @Inject(WatchLeases) private readonly watches: WatchLeases,
    @Inject(LiveMetrics) private readonly metrics: LiveMetrics,
    @Inject(Clock) private readonly clock: Clock,
    @Inject(Log) private readonly log: Log,
  ) {
    this.feedServices = { queries, completeness, limits, clock, log };
  }

  async beforeApplicationShutdown(): Promise<void> {
    this.isStopping = true;
    for (const stream of [...this.connections.keys()]) stream.end("stopping");
    for (const feed of this.feeds.values()) feed.stop();
  }

  /** How many questions are asked for all connections together. */
  get feedCount(): number {
    return this.feeds.size;
  }

  /**
   * Opens a live connection.
   * @throws AppError FORBIDDEN, HOST_NOT_FOUND, RATE_LIMITED, and as the queries would; then nothing was sent
   */
  async open(client: LiveClient): Promise<void> {
    const { caller, request, lastEventId } = client;
    requireScope(caller, "metrics:read");
    if (this.isStopping) throw new AppError("STORAGE_UNAVAILABLE", "This node of the API stops. Connect again.", { retryAfterMs: 1_000 });
    const { organisationId, organisationName } = caller;
    this.requireRoom(caller);
    const hosts = await Promise.all(request.hosts.map((name) => this.getHost(caller, name)));
    const hostIds = hosts.length === 0 ? null : hosts.map(({ id }) => id).sort();
    const queries: readonly (Query | null)[] = request.queries.length === 0 ? [null] : request.queries.map((query) => aboutHosts(query, hosts));
    const subjects = queries.map((query): FeedSubject => ({ organisationId, organisationName, query, hostIds }));
    const resumed = lastEventId === undefined ? undefined : parseEventId(lastEventId, subjects.length, this.clock.now());

    const progress: Progress = { atMs: [] };
    let stream: EventStream | undefined;
    const joined: { fromMs: number; start: () => Promise<void>; leave: () => void }[] = [];
    // Also those that are on their way are counted.
    this.admitting++;
    try {
      for (const [index, subject] of subjects.entries()) {
        const position = request.queries.length === 0 ? null : index;
        const listener: FeedListener = {
          onWindows: ({ fromMs, toMs, stepMs, answer }) => {
            progress.atMs[index] = toMs;
            stream?.send(
              "window",
              { query: position, from: iso(fromMs), to: iso(toMs), stepSeconds: stepMs / 1_000, answer },
              progress.atMs.join("-"),
            );
          },
          onProblem: (error) => stream?.send("problem", { query: position, code: error.code, detail: error.message }),
        };
        const sinceMs = resumed?.[index] ?? request.sinceMs;
        const one = await this.feedOf(subject)
          .subscribe(listener, sinceMs)
          .catch((error: unknown) => atPointer(request.pointers[index] ?? "", error));
        progress.atMs[index] = one.fromMs;
        joined.push(one);
      }
    } catch (error) {
      for (const { leave } of joined) leave();
      throw error;
    } finally {
      this.admitting--;
    }
    const release = hosts.map(({ id }) => this.watches.watch(organisationId, id));
    const opened = this.start(client, () => {
      for (const { leave } of joined) leave();
      for (const end of release) end?.();
    });
    stream = opened;
    opened.send("hello", {
      hosts: hosts.map(({ id, name }, index) => ({ id, name, watched: release[index] !== undefined })),
      queries: request.queries.length,
      heartbeatSeconds: this.heartbeatMs / 1_000,
      endsAt: iso(this.clock.now() + this.ageMsMax),
    });
    this.tellReset(opened, lastEventId, resumed, joined);
    void catchUp(opened, joined);
  }

  private tellReset(
    stream: EventStream,
    lastEventId: string | undefined,
    resumed: readonly number[] | undefined,
    joined: readonly { fromMs: number }[],
  ): void {
    if (lastEventId === undefined) return;
    const from = iso(Math.max(...joined.map(({ fromMs }) => fromMs)));
    if (resumed === undefined) {
      stream.send("reset", { reason: "unknown_id", detail: "Last-Event-ID is no id of this stream with these queries; it begins anew.", from });
    } else if (joined.some(({ fromMs }, index) => fromMs > (resumed[index] ?? 0))) {
      stream.send("reset", { reason: "too_old", detail: "More than 10 min were missed: those before are not sent. POST /query has them.", from });
    }
  }

  private start({ caller, reauthenticate, accept, requestId }: LiveClient, onEnd: () => void): EventStream {
    const beganMs = this.clock.now();
    const stream = new EventStream(accept(), (reason) => {
      clearInterval(heartbeat);
      clearTimeout(age);
      this.connections.delete(stream);
      this.metrics.connections.set(this.connections.size);
      this.metrics.ends.inc({ reason });
      this.log.info({ requestId, reason, durationMs: this.clock.now() - beganMs }, "live connection ended");
      onEnd();
    });
    const heartbeat = setInterval(() => {
      stream.heartbeat();
      void this.check(stream, caller, reauthenticate);
    }, this.heartbeatMs);
    heartbeat.unref();
    const age = setTimeout(() => stream.end("max_age"), this.ageMsMax);
    age.unref();
    this.connections.set(stream, caller);
    this.metrics.connections.set(this.connections.size);
    return stream;
  }

  /** A token that was revoked or has run out looks no longer; while Postgres does not answer nothing is known against it. */
  private async check(stream: EventStream, caller: Caller, reauthenticate: () => Promise<Caller>): Promise<void> {
    try {
      const now = await reauthenticate();
      requireScope(now, "metrics:read");
      if (now.organisationId !== caller.organisationId) stream.end("token");
    } catch (error) {
      if (error instanceof AppError && (error.code === "UNAUTHENTICATED" || error.code === "FORBIDDEN")) stream.end("token");
    }
  }

  private requireRoom(caller: Caller): void {
    const open = [...this.connections.values()];
    const ofOrganisation = open.filter(({ organisationId }) => organisationId === caller.organisationId);
    const ofToken = ofOrganisation.filter(({ token }) => token.id === caller.token.id);
    const [count, limit, whose] =
      ofToken.length + this.admitting >= this.connectionsPerTokenMax
        ? [ofToken.length, this.connectionsPerTokenMax, "The token"]
        : [ofOrganisation.length, this.connectionsPerOrganisationMax, "The organisation"];
    if (count + this.admitting < limit) return;
    throw new AppError(
      "RATE_LIMITED",
      `${whose} may have ${limit} live connections on this node of the API and has them. Close some, or ask POST /query now and then.`,
      {
        retryAfterMs: 10_000,
      },
    );
  }

  private async getHost(caller: Caller, name: string): Promise<{ id: string; name: string }> {
    const row = await this.hosts.find(caller.organisationId, name);
    if (row === undefined)
      throw new AppError("HOST_NOT_FOUND", `There is no host \`${name}\` in ${caller.organisationName}. GET /api/v1/hosts lists them.`);
    return { id: row.id, name: row.name };
  }

  private feedOf(subject: FeedSubject): LiveFeed {
    const { organisationId, query, hostIds } = subject;
    const key = JSON.stringify([organisationId, query, hostIds]);
    const known = this.feeds.get(key);
    if (known !== undefined) return known;
    const ofOrganisation = [...this.feeds.keys()].filter((other) => other.startsWith(`["${organisationId}"`)).length;
    if (ofOrganisation >= this.feedsPerOrganisationMax) {
      throw new AppError(
        "RATE_LIMITED",
        `The organisation looks at ${this.feedsPerOrganisationMax} different live queries on this node of the API already. Look at one of those, or close some.`,
        {
          retryAfterMs: 10_000,
        },
      );
    }
    const feed = new LiveFeed(subject, this.feedServices, () => {
      if (this.feeds.get(key) === feed) this.feeds.delete(key);
      this.metrics.feeds.set(this.feeds.size);
    });
    this.feeds.set(key, feed);
    this.metrics.feeds.set(this.feeds.size);
    return feed;
  }
}

/** One question after the other, so that what was missed of all of them does not wait for the client at once. */
async function catchUp(stream: EventStream, joined: readonly { readonly start: () => Promise<void> }[]): Promise<void> {
  for (const { start } of joined) {
    await stream.drained();
    if (!stream.isOpen) return;
    await start();
  }
}

/** The query, about these hosts alone. */
function aboutHosts(query: Query, hosts: readonly { readonly name: string; readonly id: string }[]): Query {
  if (hosts.length === 0) return query;
  const term = `host:${hosts
    .map(({ id }) => id)
    .sort()
    .join(",")}`;
  return { ...query, where: query.where.trim() === "" ? term : `${term} ${query.where}` };
}

/** Unix milliseconds per query, joined by dashes. None of ours is of a time to come, but for the clocks of other nodes. */
function parseEventId(text: string, count: number, nowMs: number): readonly number[] | undefined {
  const parts = text.split("-");
  const isOurs = (part: string): boolean => /^\d{12,14}$/.test(part) && Number(part) <= nowMs + CLOCKS_MS_MAX;
  return parts.length === count && parts.every(isOurs) ? parts.map(Number) : undefined;
}

function iso(ms: number): string {
  return new Date(ms).toISOString();
}
