// SPDX-License-Identifier: Apache-2.0
import Negotiator from "negotiator";
import { AppError } from "../../common/app-error.ts";

export const formats = ["json", "ndjson", "csv", "arrow"] as const;
export type Format = (typeof formats)[number];
/** Rows below each other, in contrast to a document. */
export type FlatFormat = Exclude<Format, "json">;

export const mediaTypes = {
  json: "application/json",
  ndjson: "application/x-ndjson",
  csv: "text/csv",
  arrow: "application/vnd.apache.arrow.stream",
} as const satisfies Record<Format, string>;

/** Other names under which clients ask for the same. */
const aliases: Readonly<Record<string, Format>> = { "application/ndjson": "ndjson", "application/jsonl": "ndjson" };

/**
 * The format that a client likes best of those there are.
 * @param accept the header; absent = JSON
 * @throws AppError NOT_ACCEPTABLE with the list when it likes none of them
 */
export function negotiateFormat(accept: string | undefined): Format {
  if (accept === undefined || accept.trim() === "") return "json";
  // JSON first: what is liked equally goes by this order.
  const available = [...Object.values(mediaTypes), ...Object.keys(aliases)];
  const chosen = new Negotiator({ headers: { accept } }).mediaType(available);
  const format = formats.find((name) => mediaTypes[name] === chosen) ?? (chosen === undefined ? undefined : aliases[chosen]);
  if (format !== undefined) return format;
  const detail = `This address answers as ${Object.values(mediaTypes).join(", ")}; the Accept header takes none of them.`;
  throw new AppError("NOT_ACCEPTABLE", detail, { errors: [{ pointer: "/accept", detail, suggestion: mediaTypes.json }] });
}
