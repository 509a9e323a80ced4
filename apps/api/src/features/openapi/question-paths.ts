// SPDX-License-Identifier: Apache-2.0
import type { OpenAPIRegistry, RouteConfig } from "@asteasolutions/zod-to-openapi";
import type { z } from "zod";
import type { ErrorCode } from "../../common/app-error.ts";
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
}
