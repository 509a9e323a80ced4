// SPDX-License-Identifier: Apache-2.0
import Negotiator from "negotiator";
import { AppError } from "../../common/app-error.ts";

export const formats = ["json", "ndjson", "csv", "arrow"] as const;
export type Format = (typeof formats)[number];

export const mediaTypes = {
  json: "application/json",
  ndjson: "application/x-ndjson",
  csv: "text/csv",
  arrow: "application/vnd.apache.arrow.stream",
} as const satisfies Record<Format, string>;

/** A form that one route's answer can be had in besides those of all: bytes of its own, for a tool. */
export interface OwnFormat {
  readonly mediaType: string;
  /** Other names under which clients ask for it. */
  readonly aliases?: readonly string[];
  /** @param answer what the route gave for this format */
  // biome-ignore lint/suspicious/noExplicitAny: each route has its own answer
  readonly encode: (answer: any) => EncodedAnswer;
}

export interface EncodedAnswer {
  readonly body: string | Uint8Array;
  /** What the answer says about itself, for the header. */
  readonly summary: Readonly<Record<string, unknown>>;
  /** What a client that saves it calls it. */
  readonly fileName?: string;
}

/** By name. */
export type OwnFormats = Readonly<Record<string, OwnFormat>>;

/** Other names under which clients ask for the same. */
const aliases: Readonly<Record<string, Format>> = { "application/ndjson": "ndjson", "application/jsonl": "ndjson" };

/**
 * The name of the format that a client likes best of those there are.
 * @param accept the header; absent = JSON
 * @param own what the route has besides
 * @throws AppError NOT_ACCEPTABLE with the list when it likes none of them
 */
export function negotiateFormat(accept: string | undefined, own: OwnFormats = {}): string {
  if (accept === undefined || accept.trim() === "") return "json";
  // JSON first: what is liked equally goes by this order.
  const names = new Map<string, string>([
    ...formats.map((name) => [mediaTypes[name], name] as const),
    ...Object.entries(own).map(([name, { mediaType }]) => [mediaType, name] as const),
    ...Object.entries(aliases),
    ...Object.entries(own).flatMap(([name, { aliases: others = [] }]) => others.map((other) => [other, name] as const)),
  ]);
  const chosen = new Negotiator({ headers: { accept } }).mediaType([...names.keys()]);
  const format = chosen === undefined ? undefined : names.get(chosen);
  if (format !== undefined) return format;
  const there = [...Object.values(mediaTypes), ...Object.values(own).map(({ mediaType }) => mediaType)];
  const detail = `This address answers as ${there.join(", ")}; the Accept header takes none of them.`;
  throw new AppError("NOT_ACCEPTABLE", detail, { errors: [{ pointer: "/accept", detail, suggestion: mediaTypes.json }] });
}
