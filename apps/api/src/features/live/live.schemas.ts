// SPDX-License-Identifier: Apache-2.0
import { z } from "zod";
import { AppError } from "../../common/app-error.ts";
import { commaList, list, wholeNumber } from "../../common/query-string.ts";
import { atPointer, parseOrThrow, withPointers } from "../../common/validation.ts";
import { type Answer, answerSchema, LIMIT_MAX, type Query, querySchema } from "../query/query.schemas.ts";
import { timeRangeOrThrow } from "../query/time-range.ts";

/** Each is evaluated every second while its hosts' windows are short. */
export const QUERIES_MAX = 8;
/** More hosts are looked at in windows of the length they have. */
export const HOSTS_MAX = 4;
/** What is sent of the past, on resume or with `since`. */
export const CATCH_UP_MS_MAX = 600_000;

export const liveParametersSchema = z.strictObject({
  host: list
    .pipe(z.array(z.string().min(1).max(253)).max(HOSTS_MAX))
    .optional()
    .meta({
      description: `A host to watch, by id or name; may be repeated, up to ${HOSTS_MAX} times. Its windows are 1 s long meanwhile, and queries are about these hosts alone.`,
    }),
  signal: z
    .string()
    .max(64)
    .optional()
    .meta({ description: "Signal of the one query.", examples: ["tcp_rtt"] }),
  select: commaList.optional().meta({ description: "Its selections, `measure:aggregate`, separated by commas.", examples: ["rtt:p50,rtt:p99"] }),
  by: commaList.optional().meta({ description: "Its dimensions, separated by commas.", examples: ["process"] }),
  where: z
    .string()
    .max(2_000)
    .optional()
    .meta({ description: "Its filter, as in POST /query. `host:` with one name watches that host.", examples: ["process:nginx"] }),
  limit: wholeNumber(LIMIT_MAX).optional(),
  query: list
    .pipe(z.array(z.string().min(2).max(4_000)).max(QUERIES_MAX))
    .optional()
    .meta({
      description: `Instead of \`signal\` and the others: a query object of POST /query as JSON, without a range; may be repeated, up to ${QUERIES_MAX} times. Without any query the events say only which windows are complete.`,
    }),
  since: z.string().max(64).optional().meta({
    description: "Also send what there was since then, at most 10 min: `now-2m`, RFC 3339 or Unix milliseconds. `Last-Event-ID` goes before it.",
  }),
});

export interface LiveRequest {
  /** Names or ids. */
  readonly hosts: readonly string[];
  /** Without ranges that mean anything. */
  readonly queries: readonly Query[];
  /** Where each of them stands in the request: `/query/0`; empty: its fields are parameters. */
  readonly pointers: readonly string[];
  readonly sinceMs: number | null;
}

/** @throws AppError VALIDATION_FAILED */
export function liveRequest(parameters: unknown, nowMs: number): LiveRequest {
  const { host = [], signal, select, by, where, limit, query = [], since } = parseOrThrow(liveParametersSchema, parameters);
  const hasFields = [signal, select, by, where, limit].some((field) => field !== undefined);
  if (hasFields && query.length > 0) throw invalid("/query", "Write the query as `query`, or as `signal`, `select`, …; not both.");
  const bodies: unknown[] = query.map((text, index) => {
    try {
      return JSON.parse(text);
    } catch {
      throw invalid(`/query/${index}`, "This is no JSON; write a query object of POST /query.");
    }
  });
  if (hasFields) {
    if (signal === undefined) throw invalid("/signal", "Say which signal, as GET /signals lists them.");
    bodies.push({
      signal,
      select: (select ?? []).map((text) => {
        const [measure = "", aggregate = ""] = text.split(":");
        return { measure, aggregate };
      }),
      ...(by === undefined ? {} : { by }),
      ...(where === undefined ? {} : { where }),
      ...(limit === undefined ? {} : { limit }),
    });
  }
  const pointers = bodies.map((_, index) => (hasFields ? "" : `/query/${index}`));
  const queries = bodies.map((body, index) => {
    const pointer = pointers[index] as string;
    for (const field of ["from", "to", "points", "step", "compare", "explain"])
      if (typeof body === "object" && body !== null && field in body)
        throw invalid(`${pointer}/${field}`, `A live query has no \`${field}\`: it is about each window in turn.`);
    try {
      return parseOrThrow(querySchema, body);
    } catch (error) {
      return atPointer(pointer, error);
    }
  });
  if (hosts(host, queries).length === 0 && queries.length === 0)
    throw invalid("", "Say what to look at: `?host=web-1`, or a query such as `?signal=tcp_rtt&select=rtt:p99`.");
  let sinceMs: number | null = null;
  if (since !== undefined) {
    try {
      sinceMs = timeRangeOrThrow(since, "now", nowMs).fromMs;
    } catch (error) {
      return withPointers(error, () => "/since");
    }
  }
  return { hosts: hosts(host, queries), queries, pointers, sinceMs };
}

/** The hosts that were named, or the one that every query names in its filter. */
function hosts(named: readonly string[], queries: readonly Query[]): readonly string[] {
  if (named.length > 0) return [...new Set(named)];
  const inFilters = new Set(queries.map(({ where }) => /(?:^|\s)host:([\w.-]+)(?=\s|$)/.exec(where)?.[1]));
  const [only] = inFilters;
  return inFilters.size === 1 && only !== undefined ? [only] : [];
}

function invalid(pointer: string, detail: string): AppError {
  return new AppError("VALIDATION_FAILED", detail, { errors: [{ pointer, detail }] });
}

const timeSchema = z.iso.datetime();

/** `event: hello` */
export const liveHelloSchema = z
  .object({
    hosts: z
      .array(z.object({ id: z.string(), name: z.string(), watched: z.boolean() }))
      .meta({ description: "`watched`: its windows are short now; false where too many are watched already." }),
    queries: z.int(),
    heartbeatSeconds: z.int(),
    endsAt: timeSchema.meta({ description: "When the connection is closed at the latest; clients connect again by themselves." }),
  })
  .meta({ id: "LiveHello" });
/** `event: window` */
export const liveWindowSchema = z
  .object({
    query: z.int().nullable().meta({ description: "Which query, by its position; null: there is none." }),
    from: timeSchema,
    to: timeSchema.meta({ description: "Everything before is complete, as far as hosts that are there are concerned." }),
    stepSeconds: z.number(),
    answer: answerSchema.nullable().meta({ description: "As POST /query answers about this range." }),
  })
  .meta({ id: "LiveWindow" });
/** `event: reset` */
export const liveResetSchema = z
  .object({
    reason: z.enum(["too_old", "unknown_id"]),
    detail: z.string(),
    from: timeSchema.meta({ description: "Where the windows that follow begin; what was missed before can be asked of POST /query." }),
  })
  .meta({ id: "LiveReset" });
/** `event: problem` */
export const liveProblemSchema = z
  .object({ query: z.int().nullable(), code: z.string(), detail: z.string() })
  .meta({ id: "LiveProblem", description: "A query could not be answered; it is tried again." });

export const endReasons = ["max_age", "token", "slow", "stopping"] as const;
/** `event: end` */
export const liveEndSchema = z
  .object({ reason: z.enum(endReasons), detail: z.string(), reconnect: z.boolean() })
  .meta({ id: "LiveEnd", description: "The last event: why the server closes." });

export type LiveEvents = {
  readonly hello: z.infer<typeof liveHelloSchema>;
  readonly window: z.infer<typeof liveWindowSchema>;
  readonly reset: z.infer<typeof liveResetSchema>;
  readonly problem: z.infer<typeof liveProblemSchema>;
  readonly end: z.infer<typeof liveEndSchema>;
};
export type EndReason = LiveEvents["end"]["reason"];
export type { Answer };
