// SPDX-License-Identifier: Apache-2.0
import { randomUUID } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import { Inject, Injectable } from "@nestjs/common";
import { nearestName } from "@waggle/query";
import { AppError } from "../../common/app-error.ts";
import { type Caller, requireScope } from "../../common/caller.ts";
import { Clock } from "../../common/clock.ts";
import { AuditRepository } from "../audit/audit.repository.ts";
import { Cursors } from "../lists/cursors.ts";
import type { KnownHost } from "../query/coverage.ts";
import { QueryRepository } from "../query/query.repository.ts";
import { parseInstant, timeRangeOrThrow } from "../query/time-range.ts";
import { type EventKind, eventKindNames } from "./event-kinds.ts";
import { comparePositions } from "./event-position.ts";
import { EVENT_CREATED, type EventRow, EventsRepository, type FeedRange, type FoundEvent, rowToFound } from "./events.repository.ts";
import type { Event, EventPage, EventsParameters, NewEvent } from "./events.schemas.ts";

/** Clocks of whoever tells differ a little from ours. */
const FUTURE_MS_MAX = 60_000;
const storedKinds: readonly EventKind[] = ["host.reboot", "host.kernel", "agent.version", "deploy", "note"];

/** What changed: one feed out of what was told, noticed, audited and counted. */
@Injectable()
export class EventsService {
  constructor(
    @Inject(EventsRepository) private readonly repository: EventsRepository,
    @Inject(QueryRepository) private readonly hosts: QueryRepository,
    @Inject(AuditRepository) private readonly audit: AuditRepository,
    @Inject(Cursors) private readonly cursors: Cursors,
    @Inject(Clock) private readonly clock: Clock,
  ) {}

  /** A page of the feed, newest first. Throws VALIDATION_FAILED, HOST_NOT_FOUND, FORBIDDEN, STORAGE_UNAVAILABLE. */
  async list(caller: Caller, { from, to, kinds: asked, host: idOrName, limit, cursor }: EventsParameters): Promise<EventPage> {
    requireScope(caller, "hosts:read");
    const nowMs = this.clock.now();
    const { organisationId } = caller;
    // The range may be relative to now, and moves from page to page; the place is absolute.
    const purpose = { organisationId, list: "events", of: { from, to, kinds: asked?.toSorted(), host: idOrName } };
    const place = cursor === undefined ? undefined : this.cursors.open(purpose, cursor);
    const after = place === undefined ? undefined : { atMs: Number(place[0]), id: String(place[1]) };
    const within = timeRangeOrThrow(from, to, nowMs);
    const known = await this.hosts.listHosts(organisationId);
    const host = idOrName === undefined ? undefined : hostOrThrow(known, idOrName);
    const kinds = new Set<EventKind>(asked ?? eventKindNames);
    // One more than the page tells whether there is another.
    const range: FeedRange = { ...within, after, hostId: host?.id, limit: limit + 1 };
    const stored = storedKinds.filter((kind) => kinds.has(kind));
    const sources = await Promise.all([
      stored.length === 0 ? [] : this.repository.listStored(organisationId, stored, range),
      kinds.has("host.enrolled") ? this.repository.listEnrolments(organisationId, "host.enrolled", range) : [],
      kinds.has("host.retired") ? this.repository.listEnrolments(organisationId, "host.retired", range) : [],
      kinds.has("settings") || kinds.has("change") ? this.repository.listChanges(organisationId, kinds, range) : [],
      kinds.has("oom.kill") ? this.repository.listOomKills(organisationId, range, nowMs) : [],
    ]);
    const merged = sources.flat().sort(comparePositions);
    const page = merged.slice(0, limit);
    const last = page.at(-1);
    const hasMore = merged.length > limit;
    const names = new Map(known.map((one) => [one.id, one.name]));
    return {
      meta: {
        from: new Date(range.fromMs).toISOString(),
        to: new Date(range.toMs).toISOString(),
        kinds: eventKindNames.filter((kind) => kinds.has(kind)),
      },
      page: { next: hasMore && last !== undefined ? this.cursors.seal(purpose, [last.atMs, last.id]) : null, hasMore },
      data: page.map((found) => toEvent(found, names)),
    };
  }

  /**
   * Stores an event that somebody tells of, with its audit entry.
   * @param key told again under it, the first one is the answer
   * @throws AppError VALIDATION_FAILED, HOST_NOT_FOUND, IDEMPOTENCY_CONFLICT, FORBIDDEN
   */
  async create(caller: Caller, input: NewEvent, key: string | undefined): Promise<{ readonly event: Event; readonly isNew: boolean }> {
    requireScope(caller, "events:write");
    const nowMs = this.clock.now();
    const atMs = parseInstant(input.at, nowMs);
    if (atMs === undefined || atMs > nowMs + FUTURE_MS_MAX) {
      const detail =
        atMs === undefined ? `\`${String(input.at).slice(0, 60)}\` is not a time this API reads.` : "What has not happened yet is no event.";
      throw new AppError("VALIDATION_FAILED", `/at: ${detail}`, { errors: [{ pointer: "/at", detail, suggestion: "now" }] });
    }
    const known = await this.hosts.listHosts(caller.organisationId);
    const host = input.host === undefined ? undefined : hostOrThrow(known, input.host);
    const names = new Map(known.map((one) => [one.id, one.name]));
    const values = {
      organisationId: caller.organisationId,
      id: randomUUID(),
      at: new Date(atMs),
      kind: input.kind,
      title: input.title,
      hostId: host?.id ?? null,
      details: input.details,
      tokenId: caller.token.id,
      tokenName: caller.token.name,
      idempotencyKey: key ?? null,
    };
    const stored = await this.repository.transaction(async (within) => {
      const row = await this.repository.add(values, within);
      if (row === undefined) return undefined;
      const target =
        host === undefined
          ? { kind: "organisation" as const, id: caller.organisationId, name: caller.organisationName }
          : { kind: "host" as const, id: host.id, name: host.name };
      const after = { kind: input.kind, title: input.title, at: values.at.toISOString(), details: input.details };
      await this.audit.add({ caller, action: EVENT_CREATED, target, before: {}, after }, within);
      return row;
    });
    if (stored !== undefined) return { event: toEvent(rowToFound(stored), names), isNew: true };
    const earlier = key === undefined ? undefined : await this.repository.getByKey(caller.organisationId, key);
    if (earlier === undefined) throw new TypeError("an event was refused that has no key");
    if (!isSame(earlier, values, input.at)) {
      throw new AppError("IDEMPOTENCY_CONFLICT", "Another event was told under this Idempotency-Key. Use a new key for a new event.");
    }
    return { event: toEvent(rowToFound(earlier), names), isNew: false };
  }
}

/** Whether an event says the same as one that was told before. A relative time is another each time it is said. */
function isSame(earlier: EventRow, values: Pick<EventRow, "kind" | "title" | "hostId" | "details" | "at">, at: string | number): boolean {
  const isRelative = typeof at === "string" && at.trim().startsWith("now");
  return (
    earlier.kind === values.kind &&
    earlier.title === values.title &&
    earlier.hostId === values.hostId &&
    isDeepStrictEqual(earlier.details, values.details) &&
    (isRelative || earlier.at.getTime() === values.at.getTime())
  );
}

function hostOrThrow(known: readonly KnownHost[], idOrName: string): KnownHost {
  const host = known.find((candidate) => candidate.id === idOrName) ?? known.find((candidate) => candidate.name === idOrName);
  if (host !== undefined) return host;
  const suggestion = nearestName(
    idOrName,
    known.map(({ name }) => name),
  );
  throw new AppError("HOST_NOT_FOUND", `There is no host \`${idOrName}\`${suggestion === undefined ? "." : `; did you mean ${suggestion}?`}`);
}

function toEvent({ id, atMs, kind, title, hostId, details, actor }: FoundEvent, names: ReadonlyMap<string, string>): Event {
  return {
    id,
    at: new Date(atMs).toISOString(),
    kind,
    title,
    host: hostId === null ? null : { id: hostId, name: names.get(hostId) ?? hostId },
    details: { ...details },
    actor: actor === null ? null : { ...actor },
  };
}
