// SPDX-License-Identifier: Apache-2.0
import { getSignalOrThrow } from "@waggle/signals";
import { z } from "zod";
import { AppError, type FieldProblem } from "../../common/app-error.ts";
import { parseOrThrow } from "../../common/validation.ts";
import { aggregates } from "./measures.ts";
import { LIMIT_MAX_ONE_POINT, POINTS_MAX, type Query, querySchema, SELECT_MAX } from "./query.schemas.ts";

const commaList = z.union([z.string(), z.array(z.string())]).transform((value) =>
  (Array.isArray(value) ? value : [value])
    .flatMap((text) => text.split(","))
    .map((text) => text.trim())
    .filter((text) => text !== ""),
);

const wholeNumber = (max: number) =>
  z
    .string()
    .regex(/^\d{1,6}$/, "Write a whole number.")
    .transform(Number)
    .pipe(z.int().min(1).max(max));

/** What every shortcut takes in its query string; the rest of the query object is fixed by its path. */
const commonParameters = {
  by: commaList.optional().meta({ description: "Dimensions, separated by commas.", examples: ["process,peer"] }),
  where: z.string().optional(),
  from: z.string().optional(),
  to: z.string().optional(),
  points: wholeNumber(POINTS_MAX).optional(),
  limit: wholeNumber(LIMIT_MAX_ONE_POINT).optional(),
  aggregate: commaList.optional().meta({ description: "Aggregates, separated by commas.", examples: ["p50,p99"] }),
};

export const latencySignals = ["tcp_rtt", "tcp_connect_latency", "syscall_latency"] as const;

export const latencyParametersSchema = z.strictObject({ signal: z.enum(latencySignals).default("tcp_rtt"), ...commonParameters });
export const countParametersSchema = z.strictObject(commonParameters);

/** GET /latency: percentiles of one of the histograms. */
export function latencyQuery(parameters: unknown): Query {
  const { signal, ...rest } = parseOrThrow(latencyParametersSchema, parameters);
  return toQuery(signal, getSignalOrThrow(signal).distribution?.name ?? "", ["p50", "p99"], rest);
}

/** GET /retransmits: segments sent again. */
export function retransmitsQuery(parameters: unknown): Query {
  return toQuery("tcp_retransmits", "segments", ["sum"], parseOrThrow(countParametersSchema, parameters));
}

/** GET /syscalls: system calls. */
export function syscallsQuery(parameters: unknown): Query {
  return toQuery("syscalls", "count", ["sum"], parseOrThrow(countParametersSchema, parameters));
}

export const diskSignals = ["block_latency", "block_io"] as const;
export const diskParametersSchema = z.strictObject({ signal: z.enum(diskSignals).default("block_latency"), ...commonParameters });

/** GET /drops: packets thrown away, by the kernel's reason unless asked for otherwise. */
export function dropsQuery(parameters: unknown): Query {
  return toQuery("packet_drops", "packets", ["sum"], { by: ["drop_reason"], ...parseOrThrow(countParametersSchema, parameters) });
}

/** GET /dns: how many queries and how long they took. */
export function dnsQuery(parameters: unknown): Query {
  return toQuery("dns_queries", "latency", ["p50", "p99", "count"], parseOrThrow(countParametersSchema, parameters));
}

/** GET /disk: how long disks take, or what they do, by device and operation unless asked for otherwise. */
export function diskQuery(parameters: unknown): Query {
  const { signal, ...rest } = parseOrThrow(diskParametersSchema, parameters);
  const parametersWithBy = { by: ["device", "operation"], ...rest };
  return signal === "block_latency"
    ? toQuery(signal, "latency", ["p50", "p99", "count"], parametersWithBy)
    : toQuery(signal, ["bytes", "count"], ["rate"], parametersWithBy);
}

/** GET /files: what is read and written, by process and file unless asked for otherwise. */
export function filesQuery(parameters: unknown): Query {
  const rest = parseOrThrow(countParametersSchema, parameters);
  return toQuery("file_io", ["written_bytes", "read_bytes", "writes", "reads"], ["sum"], { by: ["process", "file"], ...rest });
}

/** @param measures ranked by the first */
function toQuery(
  signal: string,
  measures: string | readonly string[],
  defaults: readonly string[],
  parameters: z.output<typeof countParametersSchema>,
): Query {
  const { aggregate = [...defaults], ...rest } = parameters;
  const names = typeof measures === "string" ? [measures] : measures;
  const problems: FieldProblem[] = [];
  if (aggregate.length === 0 || aggregate.length * names.length > SELECT_MAX)
    problems.push({ pointer: "/aggregate", detail: `Write 1 to ${SELECT_MAX / names.length} aggregates, separated by commas.` });
  for (const name of aggregate) {
    if (!(aggregates as readonly string[]).includes(name))
      problems.push({ pointer: "/aggregate", detail: `\`${name}\` is no aggregate; there are ${aggregates.join(", ")}.` });
  }
  if (problems.length > 0)
    throw new AppError("VALIDATION_FAILED", problems.map((problem) => `${problem.pointer}: ${problem.detail}`).join(" "), { errors: problems });
  const select = names.flatMap((measure) => aggregate.map((name) => ({ measure, aggregate: name })));
  return parseOrThrow(querySchema, { signal, select, ...rest });
}
