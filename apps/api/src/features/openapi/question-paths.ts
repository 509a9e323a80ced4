// SPDX-License-Identifier: Apache-2.0
import type { OpenAPIRegistry, RouteConfig } from "@asteasolutions/zod-to-openapi";
import { z } from "zod";
import type { ErrorCode } from "../../common/app-error.ts";
import { dimensionValuesParametersSchema, dimensionValuesSchema } from "../dimensions/dimensions.schemas.ts";
import { processesParametersSchema, processTableSchema } from "../processes/processes.schemas.ts";

/** How the document describes its routes. */
export interface DocumentParts {
  readonly secured: Record<string, string[]>[];
  readonly problems: (...codes: ErrorCode[]) => RouteConfig["responses"];
}

const json = (schema: z.ZodType, example?: unknown) => ({ "application/json": { schema, ...(example === undefined ? {} : { example }) } });

/** Routes that put several signals together. */
export function registerQuestionPaths(registry: OpenAPIRegistry, { secured, problems }: DocumentParts): void {
  const costly: ErrorCode[] = [
    "VALIDATION_FAILED",
    "FORBIDDEN",
    "QUERY_TOO_LARGE",
    "QUERY_TIMEOUT",
    "PAYLOAD_TOO_LARGE",
    "RATE_LIMITED",
    "STORAGE_UNAVAILABLE",
  ];

  registry.registerPath({
    method: "get",
    path: "/processes",
    operationId: "listProcesses",
    summary: "Who used it: everything that is known by process, in one table",
    description:
      "CPU, waiting, traffic, retransmits, files, faults and failed calls of the processes with the most of the column `sort`, out of as many signals, over one range. " +
      "Each column says how well its signal was covered.",
    tags: ["query"],
    security: secured,
    request: { query: processesParametersSchema },
    responses: { 200: { description: "The table.", content: json(processTableSchema) }, ...problems(...costly) },
  });

  registry.registerPath({
    method: "get",
    path: "/dimensions/{name}/values",
    operationId: "listDimensionValues",
    summary: "What may stand behind a filter's colon",
    description: "Values of a dimension, or names of hosts, the largest volume first: for completion. Read from rolled-up rows where there are any.",
    tags: ["query"],
    security: secured,
    request: {
      params: z.object({ name: z.string().meta({ description: "A dimension, or `host`.", examples: ["process"] }) }),
      query: dimensionValuesParametersSchema,
    },
    responses: {
      200: {
        description: "The values.",
        content: json(dimensionValuesSchema, {
          meta: {
            dimension: "process",
            signal: "tcp_connections",
            signals: ["tcp_connections", "syscalls"],
            measure: "bytes_sent",
            unit: "bytes",
            from: "2026-11-20T20:00:00.000Z",
            to: "2026-11-20T21:00:00.000Z",
            truncated: null,
            rowsRead: 240,
            elapsedMs: 4.1,
          },
          data: [{ value: "nginx", volume: 918273645 }],
        }),
      },
      ...problems("DIMENSION_NOT_FOUND", "SIGNAL_NOT_FOUND", ...costly),
    },
  });
}
