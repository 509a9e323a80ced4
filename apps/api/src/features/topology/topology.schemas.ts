// SPDX-License-Identifier: Apache-2.0

import { hostAttributes, WHERE_LENGTH_MAX } from "@waggle/query";
import { z } from "zod";
import { wholeNumber } from "../../common/query-string.ts";
import { coverageSchema, instantParameter } from "../query/query.schemas.ts";
import { rankings } from "./statements.ts";

export const EDGES_MAX = 1_000;
const BY = new RegExp(`^(host|process|unit|${hostAttributes.join("|")}|tag\\.[a-z][a-z0-9_./-]{0,62})$`);

export const topologyParametersSchema = z.strictObject({
  by: z
    .string()
    .regex(BY, `Write host, process, unit, tag.<key>, ${hostAttributes.join(", ")}.`)
    .default("host")
    .meta({
      description: "What makes a node: a host, what runs on it, or all hosts with one value of a tag (`tag.env`) or fact (`kernel`).",
      examples: ["host", "process", "tag.env"],
    }),
  where: z
    .string()
    .max(WHERE_LENGTH_MAX)
    .default("")
    .meta({
      description:
        "Filter on what hosts tell of their connections: `host`, `process`, `unit`, `role`, `peer`, `peer_port`, `port`. With a filter on hosts alone the far ends' view is read all the same.",
      examples: ["host:web-* -peer_port:443"],
    }),
  from: instantParameter.default("now-1h"),
  to: instantParameter.default("now"),
  sort: z.enum(rankings).default("bytes").meta({ description: "Which edges are shown: those with most of this." }),
  limit: wholeNumber(EDGES_MAX)
    .default(100)
    .meta({ description: `Edges; at most ${EDGES_MAX}. The others are summed in \`rest\`.` }),
});
export type TopologyParameters = z.output<typeof topologyParametersSchema>;

const viewSchema = z
  .object({
    bytesSent: z.number(),
    bytesReceived: z.number(),
    connections: z.number().meta({ description: "Opened in the range." }),
    segmentsSent: z.number(),
    segmentsRetransmitted: z.number(),
    zeroWindow: z.number().meta({ description: "Times the peer announced a zero window when this end looked: the peer does not read." }),
    rttP50: z.number().nullable().meta({ description: "ns; null: no round trip was measured." }),
    rttP99: z.number().nullable(),
    failures: z.number().meta({ description: "Connects that failed; only clients see them." }),
    sharedBy: z.int().meta({
      description:
        "This view is of this many edges together: the far end does not know which of the processes a connection belongs to. Then it must not be added up.",
    }),
    listener: z
      .object({ acceptDelayP99: z.number().nullable().meta({ description: "ns" }), drops: z.number() })
      .nullable()
      .meta({
        description:
          "Of the listeners of this end as a whole, all their clients together: how long connections wait to be accepted, and segments dropped. null: not the server's end, or nothing listens.",
      }),
  })
  .meta({ id: "TopologyView" });

export const topologySchema = z
  .object({
    meta: z.object({
      from: z.iso.datetime(),
      to: z.iso.datetime(),
      by: z.string(),
      sort: z.enum(rankings),
      coverage: coverageSchema,
      truncated: z.object({ shown: z.int(), total: z.int() }).nullable().meta({ description: "Pairs of ends." }),
      rest: z
        .object({ edges: z.int(), bytes: z.number(), connections: z.number(), retransmits: z.number() })
        .meta({ description: "What the pairs that are not shown add up to." }),
      resolved: z
        .object({ addresses: z.int(), ambiguous: z.int() })
        .meta({ description: "Addresses that hosts reported as theirs, and how many of them two hosts had in the range: those are never guessed." }),
      rowsRead: z.int(),
      elapsedMs: z.number(),
    }),
    nodes: z.array(
      z.object({
        id: z.string(),
        kind: z.enum(["host", "process", "unit", "tag", "external", "ambiguous", "unknown", "other"]).meta({
          description:
            "`external`: an address of no host with an agent; `ambiguous`: an address that two hosts had in the range; `unknown`: peers whose address is not known; `other`: what agents had no room for.",
        }),
        label: z.string(),
        host: z.string().nullable().meta({ description: "Name of the host it is or is on." }),
        hosts: z.array(z.string()).optional().meta({ description: "Of an ambiguous address: who had it." }),
      }),
    ),
    edges: z.array(
      z.object({
        from: z.string().meta({ description: "Node id; the client's end." }),
        to: z.string().meta({ description: "Node id; the server's end." }),
        direction: z
          .enum(["client-server", "unknown"])
          .meta({ description: "`unknown`: the connections are older than the agents and neither end listens; then the ends are in no order." }),
        port: z.string().nullable().meta({ description: "The server's port, where nodes are processes or units." }),
        loopback: z.boolean().meta({ description: "Both ends are on one host." }),
        bytes: z.number().meta({ description: "Both ways, by the client's end where it reports, else by the server's." }),
        connections: z.number(),
        retransmitRatio: z.number().nullable().meta({ description: "Segments sent again ÷ sent, of all ends that report; null: none were sent." }),
        rttP50: z.number().nullable(),
        rttP99: z.number().nullable(),
        failures: z.number(),
        reportedBy: z.array(z.enum(["from", "to"])).meta({ description: "`from` and `to`: the two ends are joined." }),
        views: z
          .object({ from: viewSchema.nullable(), to: viewSchema.nullable() })
          .meta({ description: "What each end saw of it. null: that end reports nothing of it." }),
      }),
    ),
  })
  .meta({ id: "Topology" });
export type Topology = z.infer<typeof topologySchema>;
export type TopologyEdge = Topology["edges"][number];
export type TopologyView = z.infer<typeof viewSchema>;
