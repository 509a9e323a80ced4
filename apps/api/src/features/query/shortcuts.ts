// SPDX-License-Identifier: Apache-2.0
import { nearestName } from "@waggle/query";
import { getSignalOrThrow } from "@waggle/signals";
import { z } from "zod";
import { AppError, type FieldProblem } from "../../common/app-error.ts";
import { commaList, flag, wholeNumber } from "../../common/query-string.ts";
import { parseOrThrow, summed } from "../../common/validation.ts";
import { aggregates } from "./measures.ts";
import { compareParameter, LIMIT_MAX_ONE_POINT, POINTS_MAX, type Query, querySchema, SELECT_MAX } from "./query.schemas.ts";

/** What every shortcut takes in its query string; the rest of the query object is fixed by its path. */
const commonParameters = {
  by: commaList.optional().meta({ description: "Dimensions, separated by commas.", examples: ["process,peer"] }),
  where: z.string().optional(),
  from: z.string().optional(),
  to: z.string().optional(),
  points: wholeNumber(POINTS_MAX).optional(),
  step: z
    .string()
    .max(16)
    .optional()
    .meta({ description: "Instead of `points`: the length of a step, 10s, 20s, 30s or whole minutes (`1m`, `1h`, `1d`).", examples: ["1m"] }),
  limit: wholeNumber(LIMIT_MAX_ONE_POINT).optional(),
  aggregate: commaList.optional().meta({ description: "Aggregates, separated by commas.", examples: ["p50,p99"] }),
  compare: compareParameter.optional(),
  explain: flag.optional().meta({ description: "`true`: say in `meta.explain` how the answer was made." }),
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
  for (const name of aggregate.slice(0, SELECT_MAX)) {
    if ((aggregates as readonly string[]).includes(name)) continue;
    const detail = `\`${name.slice(0, 40)}\` is no aggregate; there are ${aggregates.join(", ")}.`;
    problems.push({ pointer: "/aggregate", detail, suggestion: nearestName(name, aggregates) });
  }
  if (problems.length > 0) throw new AppError("VALIDATION_FAILED", summed(problems), { errors: problems });
  const select = names.flatMap((measure) => aggregate.map((name) => ({ measure, aggregate: name })));
  return parseOrThrow(querySchema, { signal, select, ...rest });
}
