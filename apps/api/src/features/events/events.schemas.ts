// SPDX-License-Identifier: Apache-2.0
import { z } from "zod";
import { commaList } from "../../common/query-string.ts";
import { pageParameters, pageSchema } from "../lists/lists.schemas.ts";
import { instantParameter, instantSchema } from "../query/query.schemas.ts";
import { type EventKind, eventKindNames, eventKinds, toldKinds } from "./event-kinds.ts";

const DETAILS_MAX = 20;

// biome-ignore lint/suspicious/noControlCharactersInRegex: those are what is kept out of titles, logs and terminals
const printable = /^[^\u0000-\u001f\u007f]*$/;
const line = (max: number) =>
  z
    .string()
    .max(max)
    .regex(printable, "Control characters are not allowed.")
    .refine((text) => text.isWellFormed(), "It holds half of a character: a surrogate without its other half.");

export const eventsParametersSchema = z.strictObject({
  from: instantParameter.default("now-1d"),
  to: instantParameter.default("now"),
  kinds: commaList
    .pipe(z.array(z.enum(eventKindNames)).max(eventKindNames.length))
    .optional()
    .meta({
      description: `Only these, separated by commas: ${eventKindNames.map((kind) => `\`${kind}\``).join(", ")}.`,
      examples: ["host.reboot,deploy"],
    }),
  host: z.string().min(1).max(253).optional().meta({ description: "Only what happened on this host, by its id or name." }),
  ...pageParameters(100),
});
export type EventsParameters = z.output<typeof eventsParametersSchema>;

export const eventSchema = z
  .object({
    id: z.string().meta({ description: "The same whenever and wherever it is asked for." }),
    at: z.iso.datetime().meta({ description: "When it happened, as far as known; of what agents count, the start of the window." }),
    kind: z.enum(eventKindNames),
    title: z.string(),
    host: z.object({ id: z.string(), name: z.string() }).nullable().meta({ description: "null: not on one host." }),
    details: z.record(z.string(), z.string()),
    actor: z
      .object({ tokenId: z.string(), tokenName: z.string() })
      .nullable()
      .meta({ description: "The token that told of it or did it, its name as it was then; null: it was noticed." }),
  })
  .meta({ id: "Event" });
export type Event = z.infer<typeof eventSchema>;

export const eventPageSchema = z
  .object({
    meta: z.object({
      from: z.iso.datetime(),
      to: z.iso.datetime(),
      kinds: z.array(z.enum(eventKindNames)),
    }),
    page: pageSchema,
    data: z.array(eventSchema).meta({ description: "Newest first." }),
  })
  .meta({ id: "EventPage" });
export type EventPage = z.infer<typeof eventPageSchema>;

export const createEventSchema = z
  .strictObject({
    kind: z.enum(toldKinds).meta({ description: toldKinds.map((kind: EventKind) => `\`${kind}\`: ${eventKinds[kind]}`).join(" ") }),
    title: line(200)
      .min(1)
      .meta({ examples: ["checkout 4.2.1 to production"] }),
    at: instantSchema.default("now").meta({ description: "When it happened: as `from` of a query, not in the future." }),
    host: z.string().min(1).max(253).optional().meta({ description: "The host it happened on, by id or name; left out: not on one host." }),
    details: z
      .record(line(64).min(1), line(1_000))
      .refine((details) => Object.keys(details).length <= DETAILS_MAX, `At most ${DETAILS_MAX} details.`)
      .default({})
      .meta({ examples: [{ version: "4.2.1", url: "https://ci.example/build/1024" }] }),
  })
  .meta({ id: "NewEvent" });
export type NewEvent = z.output<typeof createEventSchema>;

/** Told twice under one key, an event is one. */
export const idempotencyKeySchema = line(128).min(1);
