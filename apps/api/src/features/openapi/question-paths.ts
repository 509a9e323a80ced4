// SPDX-License-Identifier: Apache-2.0
import type { OpenAPIRegistry, RouteConfig } from "@asteasolutions/zod-to-openapi";
import { z } from "zod";
import type { ErrorCode } from "../../common/app-error.ts";
import { dimensionValuesParametersSchema, dimensionValuesSchema } from "../dimensions/dimensions.schemas.ts";
import { createEventSchema, eventPageSchema, eventSchema, eventsParametersSchema } from "../events/events.schemas.ts";
import { explainSchema, explanationSchema } from "../explain/explain.schemas.ts";
import { processesParametersSchema, processTableSchema } from "../processes/processes.schemas.ts";
import { profileSchema } from "../profiles/profile-answer.schemas.ts";
import { profileFormats } from "../profiles/profile-formats.ts";
import { profileParametersSchema, profileQuerySchema } from "../profiles/profiles.schemas.ts";
import { topologyParametersSchema, topologySchema } from "../topology/topology.schemas.ts";
import { json, rows } from "./content.ts";

/** How the document describes its routes. */
export interface DocumentParts {
  readonly secured: Record<string, string[]>[];
  readonly problems: (...codes: ErrorCode[]) => RouteConfig["responses"];
}

/** Routes that put several signals together. */
export function registerQuestionPaths(registry: OpenAPIRegistry, { secured, problems }: DocumentParts): void {
  const costly: ErrorCode[] = [
    "VALIDATION_FAILED",
    "FORBIDDEN",
    "NOT_ACCEPTABLE",
    "QUERY_TOO_LARGE",
    "QUERY_TIMEOUT",
    "PAYLOAD_TOO_LARGE",
    "RATE_LIMITED",
    "OVERLOADED",
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
    responses: { 200: { description: "The table.", content: rows(processTableSchema) }, ...problems(...costly) },
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
      params: z.object({
        name: z.string().meta({
          description:
            "A dimension, `host`, a tag (`tag.env`), or what is known of hosts (`kernel`, `distribution`, `architecture`, `agent_version`).",
          examples: ["process"],
        }),
      }),
      query: dimensionValuesParametersSchema,
    },
    responses: {
      200: {
        description: "The values.",
        content: rows(dimensionValuesSchema, {
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

  registry.registerPath({
    method: "get",
    path: "/topology",
    operationId: "getTopology",
    summary: "Who talks to whom, with traffic, round trips and loss per edge",
    description:
      "TCP between hosts, processes, units or tags, and to addresses of no known host. Where both ends run agents their views are joined: an address is resolved to the host that " +
      "reported it in the range; one that two hosts had is `ambiguous` and never guessed.",
    tags: ["query"],
    security: secured,
    request: { query: topologyParametersSchema },
    responses: {
      200: { description: "Nodes and edges, the largest first.", content: rows(topologySchema, topologyExample) },
      ...problems(...costly),
    },
  });

  registry.registerPath({
    method: "get",
    path: "/profiles",
    operationId: "getProfile",
    summary: "Call stacks as a tree, or for other tools",
    description:
      "What ran on the CPUs or where programs waited. As JSON or rows it is a tree, cut to `maxNodes`; `focus` opens what was cut. As collapsed text, pprof (gzip) and speedscope it has all stacks.",
    tags: ["query"],
    security: secured,
    request: { query: profileParametersSchema },
    responses: {
      200: {
        description: "The profile.",
        content: profileContent,
      },
      ...problems(...costly),
    },
  });
  registry.registerPath({
    method: "post",
    path: "/profiles",
    operationId: "queryProfile",
    summary: "Call stacks as a tree, beside those of a baseline",
    description:
      "As GET, with a body; `baseline` puts another range or filter beside the selection, node by node. Files for other tools hold one selection.",
    tags: ["query"],
    security: secured,
    request: {
      body: {
        required: true,
        content: json(profileQuerySchema, {
          where: "process:nginx",
          from: "now-15m",
          to: "now",
          baseline: { from: "now-1d", to: "now-23h" },
        }),
      },
    },
    responses: { 200: { description: "The profile.", content: profileContent }, ...problems(...costly) },
  });

  registry.registerPath({
    method: "get",
    path: "/events",
    operationId: "listEvents",
    summary: "What changed, newest first",
    description:
      "One feed of what the API noticed (reboots, new kernels and agents, hosts that came and went), what agents counted (OOM kills), what people changed (settings) and what they told (deploys, notes). Needs the scope hosts:read.",
    tags: ["events"],
    security: secured,
    request: { query: eventsParametersSchema },
    responses: {
      200: {
        description: "A page.",
        content: rows(eventPageSchema, {
          meta: { from: "2026-11-19T21:00:00.000Z", to: "2026-11-20T21:00:00.000Z", kinds: ["deploy"] },
          page: { next: null, hasMore: false },
          data: [eventExample],
        }),
      },
      ...problems("VALIDATION_FAILED", "NOT_ACCEPTABLE", "HOST_NOT_FOUND", "FORBIDDEN", "QUERY_TIMEOUT", "STORAGE_UNAVAILABLE"),
    },
  });
  registry.registerPath({
    method: "post",
    path: "/events",
    operationId: "createEvent",
    summary: "Tell of a deploy or anything else",
    description: "Needs the scope events:write. Audited. Told again under the same `Idempotency-Key`, the first one is the answer, with status 200.",
    tags: ["events"],
    security: secured,
    request: {
      headers: z.object({
        "idempotency-key": z.string().optional().meta({ description: "1 to 128 printable characters, such as the number of the build." }),
      }),
      body: {
        required: true,
        content: json(createEventSchema, { kind: "deploy", title: "checkout 4.2.1 to production", details: { version: "4.2.1" } }),
      },
    },
    responses: {
      200: { description: "It was told before.", content: json(eventSchema, eventExample) },
      201: { description: "Stored.", content: json(eventSchema, eventExample) },
      ...problems("VALIDATION_FAILED", "HOST_NOT_FOUND", "IDEMPOTENCY_CONFLICT", "FORBIDDEN"),
    },
  });

  registry.registerPath({
    method: "post",
    path: "/explain-difference",
    operationId: "explainDifference",
    summary: "What differs between two selections, and what sets their hosts apart",
    description:
      "Ranks dimensions by how much the shares of their values differ, values by their part of the change, and facts and tags of hosts by how much they tell which side a host is on. " +
      "Exact counts over all rows. The formulas and their sources are in docs/questions.md.",
    tags: ["query"],
    security: secured,
    request: {
      body: {
        required: true,
        content: json(explainSchema, {
          signal: "tcp_rtt",
          aggregate: "p99",
          selection: { from: "now-1h", to: "now" },
          threshold: { operator: ">", value: 5_000_000 },
        }),
      },
    },
    responses: { 200: { description: "What explains it.", content: json(explanationSchema) }, ...problems("SIGNAL_NOT_FOUND", ...costly) },
  });
}

const eventExample = {
  id: "e-0d4cf0aa-3f0e-4f34-8a57-4b6f2a9d7c22",
  at: "2026-11-20T20:41:07.000Z",
  kind: "deploy",
  title: "checkout 4.2.1 to production",
  host: null,
  details: { version: "4.2.1" },
  actor: { tokenId: "6c1f2a34-0f0c-4a5e-9d55-0e8b9b8f5a11", tokenName: "ci" },
};

const selectionExample = {
  from: "2026-11-20T20:00:00.000Z",
  to: "2026-11-20T21:00:00.000Z",
  where: "process:nginx",
  total: 94,
  seconds: 1.918,
  stacks: 2,
  beyond: 0,
  unknown: { stacks: 0, value: 0 },
  coverage: { hosts: 2, reporting: 2, missing: [], states: [], note: null },
};

const profileExample = {
  meta: { signal: "cpu_profile", unit: "samples", hz: 49, focus: "", selection: selectionExample, baseline: null, rowsRead: 12, elapsedMs: 8.2 },
  tree: {
    names: ["", "nginx", "main [nginx]", "work [nginx]"],
    parents: [-1, 0, 1, 2],
    nameIndexes: [0, 1, 2, 3],
    self: [0, 0, 49, 45],
    total: [94, 94, 94, 45],
    hidden: [0, 0, 0, 0],
  },
};

const profileContent = {
  ...rows(profileSchema, profileExample),
  [profileFormats.collapsed.mediaType]: {
    schema: z.string().meta({ description: "Frames joined by `;`, a space, samples (or waits)." }),
    example: "nginx;main [nginx];work [nginx] 45\n",
  },
  [profileFormats.pprof.mediaType]: { schema: { type: "string" as const, format: "binary", description: "perftools.profiles.Profile, gzip." } },
  [profileFormats.speedscope.mediaType]: { schema: { type: "object" as const, description: "A file of speedscope.app." } },
};

const viewExample = {
  bytesSent: 1_050,
  bytesReceived: 200,
  connections: 4,
  segmentsSent: 110,
  segmentsRetransmitted: 10,
  zeroWindow: 0,
  rttP50: 1_000_000,
  rttP99: 9_000_000,
  failures: 5,
  sharedBy: 1,
  listener: null,
};

const topologyExample = {
  meta: {
    from: "2026-11-20T20:00:00.000Z",
    to: "2026-11-20T21:00:00.000Z",
    by: "host",
    sort: "bytes",
    coverage: { hosts: 2, reporting: 2, missing: [], states: [], steps: [1], stepHosts: { reporting: [2], expected: [2] }, note: null },
    truncated: null,
    rest: { edges: 0, bytes: 0, connections: 0, retransmits: 0 },
    resolved: { addresses: 2, ambiguous: 0 },
    rowsRead: 96,
    elapsedMs: 21.5,
  },
  nodes: [
    { id: "h:6c1f2a34-0f0c-4a5e-9d55-0e8b9b8f5a11", kind: "host", label: "web-1", host: "web-1" },
    { id: "h:0d4cf0aa-3f0e-4f34-8a57-4b6f2a9d7c22", kind: "host", label: "db-1", host: "db-1" },
  ],
  edges: [
    {
      from: "h:6c1f2a34-0f0c-4a5e-9d55-0e8b9b8f5a11",
      to: "h:0d4cf0aa-3f0e-4f34-8a57-4b6f2a9d7c22",
      direction: "client-server",
      port: null,
      loopback: false,
      bytes: 1_250,
      connections: 4,
      retransmitRatio: 0.09,
      rttP50: 1_000_000,
      rttP99: 9_000_000,
      failures: 5,
      reportedBy: ["from"],
      views: { from: viewExample, to: null },
    },
  ],
};
