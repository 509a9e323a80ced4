// SPDX-License-Identifier: Apache-2.0
import { OpenAPIRegistry, OpenApiGeneratorV31, type RouteConfig } from "@asteasolutions/zod-to-openapi";
import { z } from "zod";
import { type ErrorCode, errorKinds } from "../../common/app-error.ts";
import { problemSchema } from "../../common/problem.ts";
import { auditPageSchema, auditParametersSchema } from "../audit/audit.schemas.ts";
import { hostSettingsSchema, organisationSettingsSchema, settingsPatchSchema } from "../host-settings/host-settings.schemas.ts";
import { hostListParametersSchema, hostListSchema, hostPatchSchema, hostSchema } from "../hosts/hosts.schemas.ts";
import { ledgerParametersSchema, ledgerSchema } from "../ledger/ledger.schemas.ts";
import { limitsReportSchema } from "../limits/limits.schemas.ts";
import { answerSchema, querySchema } from "../query/query.schemas.ts";
import { countParametersSchema, diskParametersSchema, latencyParametersSchema } from "../query/shortcuts.ts";
import { signalListSchema } from "../signals/signals.schemas.ts";
import { storageReportSchema } from "../storage/storage.schemas.ts";
import { createSessionSchema, sessionSchema } from "../tokens/sessions.schemas.ts";
import { json, rows } from "./content.ts";
import { addExamples } from "./examples.ts";
import { registerLive } from "./live-path.ts";
import { registerQuestionPaths } from "./question-paths.ts";

const problem = problemSchema.meta({ id: "Problem" });

/** Error answers of a route, grouped by HTTP status. */
function problems(...codes: ErrorCode[]): RouteConfig["responses"] {
  const byStatus = Map.groupBy(
    [...new Set<ErrorCode>(["UNAUTHENTICATED", ...codes, "RATE_LIMITED", "INTERNAL"])],
    (code) => errorKinds[code].httpStatus,
  );
  return Object.fromEntries(
    [...byStatus].map(([status, list]) => [
      String(status),
      {
        description: list.map((code) => `${code}: ${errorKinds[code].title}.`).join(" "),
        content: { "application/problem+json": { schema: problem } },
      },
    ]),
  );
}

const queryProblems = problems(
  "VALIDATION_FAILED",
  "NOT_ACCEPTABLE",
  "SIGNAL_NOT_FOUND",
  "FORBIDDEN",
  "QUERY_TOO_LARGE",
  "QUERY_TIMEOUT",
  "PAYLOAD_TOO_LARGE",
  "RATE_LIMITED",
  "OVERLOADED",
  "STORAGE_UNAVAILABLE",
);
const secured: Record<string, string[]>[] = [{ bearer: [] }, { session: [] }];

/**
 * The REST API as OpenAPI 3.1, derived from the schemas that check the requests. Its version is that of the interface: changes
 * within v1 only add.
 */
export function openApiDocument(): object {
  const registry = new OpenAPIRegistry();
  registry.registerComponent("securitySchemes", "bearer", { type: "http", scheme: "bearer", description: "An API token, `wgl_adm_…`." });
  registry.registerComponent("securitySchemes", "session", {
    type: "apiKey",
    in: "cookie",
    name: "waggle_session",
    description: "Set by POST /session.",
  });

  registry.registerPath({
    method: "post",
    path: "/query",
    operationId: "query",
    summary: "Ask one signal a question",
    description: "The one query that panels, scripts and rules share. Every answer says how well it is covered.",
    tags: ["query"],
    security: secured,
    request: { body: { required: true, content: json(querySchema) } },
    responses: { 200: { description: "The answer, column by column.", content: rows(answerSchema) }, ...queryProblems },
  });
  const shortcuts = [
    ["latency", "Percentiles of round trips, connects or system calls", latencyParametersSchema],
    ["retransmits", "TCP segments sent again", countParametersSchema],
    ["syscalls", "System calls", countParametersSchema],
    ["drops", "Packets thrown away, by the kernel's reason", countParametersSchema],
    ["dns", "DNS queries: how many and how long", countParametersSchema],
    ["disk", "Disks: latency, or requests and bytes, by device and operation", diskParametersSchema],
    ["files", "Bytes and calls that read and wrote files, by process and file", countParametersSchema],
  ] as const;
  for (const [name, summary, parameters] of shortcuts) {
    registry.registerPath({
      method: "get",
      path: `/${name}`,
      operationId: name,
      summary,
      description: "The same planner and answer as POST /query.",
      tags: ["query"],
      security: secured,
      request: { query: parameters },
      responses: { 200: { description: "The answer, column by column.", content: rows(answerSchema) }, ...queryProblems },
    });
  }
  registerLive(registry, secured, problems("VALIDATION_FAILED", "SIGNAL_NOT_FOUND", "HOST_NOT_FOUND", "FORBIDDEN", "STORAGE_UNAVAILABLE"));
  registerQuestionPaths(registry, { secured, problems });
  registry.registerPath({
    method: "get",
    path: "/hosts",
    operationId: "listHosts",
    summary: "Hosts of the organisation",
    tags: ["hosts"],
    security: secured,
    request: { query: hostListParametersSchema },
    responses: {
      200: { description: "A page of hosts.", content: rows(hostListSchema) },
      ...problems("VALIDATION_FAILED", "NOT_ACCEPTABLE", "FORBIDDEN", "STORAGE_UNAVAILABLE"),
    },
  });
  registry.registerPath({
    method: "get",
    path: "/hosts/{idOrName}",
    operationId: "getHost",
    summary: "One host",
    tags: ["hosts"],
    security: secured,
    request: { params: z.object({ idOrName: z.string().meta({ description: "The host's id or name." }) }) },
    responses: {
      200: { description: "The host.", content: json(hostSchema) },
      ...problems("VALIDATION_FAILED", "HOST_NOT_FOUND", "FORBIDDEN", "STORAGE_UNAVAILABLE"),
    },
  });
  registry.registerPath({
    method: "patch",
    path: "/hosts/{idOrName}",
    operationId: "changeHost",
    summary: "Set a host's tags",
    description: 'Queries filter and group by them: `env:prod`, `by: ["env"]`. Written to the audit.',
    tags: ["hosts"],
    security: secured,
    request: {
      params: z.object({ idOrName: z.string().meta({ description: "The host's id or name." }) }),
      headers: z.object({
        "if-match": z
          .string()
          .optional()
          .meta({ description: "The ETag of the host the change was made from; other tags meanwhile are a 412. Absent or *: any." }),
      }),
      body: { required: true, content: json(hostPatchSchema) },
    },
    responses: {
      200: { description: "The host after the change.", content: json(hostSchema) },
      ...problems("VALIDATION_FAILED", "HOST_NOT_FOUND", "PRECONDITION_FAILED", "FORBIDDEN", "STORAGE_UNAVAILABLE"),
    },
  });
  const ifMatch = z.object({
    "if-match": z
      .string()
      .optional()
      .meta({ description: "The ETag of the settings the change was made from; other settings meanwhile are a 412. Absent or *: any." }),
  });
  const hostParameter = z.object({ idOrName: z.string().meta({ description: "The host's id or name." }) });
  const settingsOf = [
    ["/settings", "OrganisationSettings", "every host that has none of its own", organisationSettingsSchema, undefined],
    ["/hosts/{idOrName}/settings", "HostSettings", "one host", hostSettingsSchema, hostParameter],
  ] as const;
  for (const [path, name, whose, schema, params] of settingsOf) {
    const parameters = params === undefined ? {} : { params };
    const notFound: ErrorCode[] = params === undefined ? [] : ["VALIDATION_FAILED", "HOST_NOT_FOUND"];
    registry.registerPath({
      method: "get",
      path,
      operationId: `get${name}`,
      summary: `What agents are told: ${whose}`,
      tags: ["settings"],
      security: secured,
      request: { ...parameters },
      responses: { 200: { description: "The settings; their revision is the ETag.", content: json(schema) }, ...problems("FORBIDDEN", ...notFound) },
    });
    registry.registerPath({
      method: "patch",
      path,
      operationId: `change${name}`,
      summary: `Change what agents are told: ${whose}`,
      description:
        "Needs the scope hosts:write. Connected agents hear of it within some 3 s and acknowledge it, without a restart; others when they connect. Audited.",
      tags: ["settings"],
      security: secured,
      request: { ...parameters, headers: ifMatch, body: { required: true, content: json(settingsPatchSchema) } },
      responses: {
        200: { description: "The settings after the change.", content: json(schema) },
        ...problems("VALIDATION_FAILED", "SIGNAL_NOT_FOUND", "PRECONDITION_FAILED", "FORBIDDEN", ...notFound),
      },
    });
  }
  registry.registerPath({
    method: "get",
    path: "/audit",
    operationId: "listAudit",
    summary: "Who changed what, newest first",
    tags: ["settings"],
    security: secured,
    request: { query: auditParametersSchema },
    responses: { 200: { description: "A page.", content: rows(auditPageSchema) }, ...problems("VALIDATION_FAILED", "NOT_ACCEPTABLE", "FORBIDDEN") },
  });
  registry.registerPath({
    method: "get",
    path: "/signals",
    operationId: "listSignals",
    summary: "What is measured, in which units, and on how many hosts",
    tags: ["signals"],
    security: secured,
    responses: {
      200: { description: "The catalogue.", content: rows(signalListSchema) },
      ...problems("NOT_ACCEPTABLE", "FORBIDDEN", "STORAGE_UNAVAILABLE"),
    },
  });
  registry.registerPath({
    method: "get",
    path: "/ingest/ledger",
    operationId: "getIngestLedger",
    summary: "What agents say they sent beside what is stored",
    description: "Per host and hour of the host's clock. Whatever was lost, doubled or is still on its way shows here.",
    tags: ["ingest"],
    security: secured,
    request: { query: ledgerParametersSchema },
    responses: {
      200: { description: "A page of host-hours, and totals of the range.", content: rows(ledgerSchema) },
      ...problems("VALIDATION_FAILED", "NOT_ACCEPTABLE", "HOST_NOT_FOUND", "FORBIDDEN", "QUERY_TOO_LARGE", "QUERY_TIMEOUT", "STORAGE_UNAVAILABLE"),
    },
  });
  registry.registerPath({
    method: "get",
    path: "/storage",
    operationId: "getStorage",
    summary: "What the store holds and how full it is",
    description: "Of the whole installation, all organisations together, as of a look at most 15 s ago.",
    tags: ["storage"],
    security: secured,
    responses: {
      200: { description: "Disks, levels and tables.", content: json(storageReportSchema) },
      ...problems("FORBIDDEN", "STORAGE_UNAVAILABLE"),
    },
  });
  registry.registerPath({
    method: "get",
    path: "/limits",
    operationId: "getLimits",
    summary: "What the organisation may use and uses now",
    tags: ["limits"],
    security: secured,
    responses: { 200: { description: "Limits and present use.", content: json(limitsReportSchema) }, ...problems("FORBIDDEN") },
  });
  registry.registerPath({
    method: "post",
    path: "/session",
    operationId: "createSession",
    summary: "Sign in with a token",
    tags: ["session"],
    security: [],
    request: { body: { required: true, content: json(createSessionSchema) } },
    responses: {
      200: { description: "Signed in; the session is in the cookie `waggle_session`.", content: json(sessionSchema) },
      ...problems("VALIDATION_FAILED"),
    },
  });
  registry.registerPath({
    method: "get",
    path: "/session",
    operationId: "getSession",
    summary: "Who is signed in",
    tags: ["session"],
    security: secured,
    responses: { 200: { description: "The organisation and what the token may do.", content: json(sessionSchema) }, ...problems() },
  });
  registry.registerPath({
    method: "delete",
    path: "/session",
    operationId: "deleteSession",
    summary: "Sign out",
    tags: ["session"],
    security: [],
    responses: { 204: { description: "The session is over." } },
  });
  registry.registerPath({
    method: "get",
    path: "/openapi.json",
    operationId: "getOpenApi",
    summary: "This document",
    tags: ["meta"],
    security: [],
    responses: { 200: { description: "OpenAPI 3.1.", content: { "application/json": { schema: z.record(z.string(), z.unknown()) } } } },
  });

  const document = new OpenApiGeneratorV31(registry.definitions).generateDocument({
    openapi: "3.1.0",
    info: {
      title: "Waggle",
      version: "1.0.0",
      description:
        "What the kernels of a fleet count: latency, retransmits, system calls, by process and peer. " +
        "Times are RFC 3339 in UTC. `null` means nobody reported; `0` means reported and nothing counted. Errors are problem details (RFC 9457).",
      license: { name: "Apache-2.0", identifier: "Apache-2.0" },
    },
    servers: [{ url: "/api/v1" }],
    tags: [
      { name: "query", description: "Numbers." },
      { name: "live", description: "Numbers as they come." },
      { name: "hosts", description: "Who is measured." },
      { name: "events", description: "What changed." },
      { name: "settings", description: "What agents are told, and who said so." },
      { name: "signals", description: "What is measured." },
      { name: "ingest", description: "What arrived." },
      { name: "storage", description: "What is kept." },
      { name: "limits", description: "What may be used." },
      { name: "session", description: "Signing in from a browser." },
      { name: "meta", description: "About the API." },
    ],
  });
  addExamples(document);
  return document;
}
