// SPDX-License-Identifier: Apache-2.0
import { type Filter, literal, wildcard } from "@waggle/query";
import type { PanelQuery } from "../lib/api/hooks";
import type { Selection } from "../lib/api/types";

/** Selections that several panels share, so that a name of the catalogue is written once. */
export const SEGMENTS: readonly Selection[] = [
  { measure: "segments_retransmitted", aggregate: "sum" },
  { measure: "segments_sent", aggregate: "sum" },
];

/** A value of every host in one answer: as many as the API gives where each series is a single value. */
export const HOSTS_MAX = 10_000;

export const RTT = "rtt";
export const LATENCY = "latency";

export function percentiles(measure: string): readonly Selection[] {
  return [
    { measure, aggregate: "p50" },
    { measure, aggregate: "p99" },
  ];
}

/** Who retransmits to whom, summed over the range. */
export const BLAME: PanelQuery = {
  signal: "tcp_retransmits",
  select: [{ measure: "segments", aggregate: "sum" }],
  by: ["process", "peer", "peer_port"],
  limit: 50,
  shape: "total",
};

/** Nothing gets lost on loopback: what is sent again there are probes for an acknowledgement that was only late. */
export const NOT_LOOPBACK: readonly Filter[] = [wildcard("peer", "127.*", true), literal("peer", "::1", true)];

/** The paths that retransmit most, whatever the rest of the host sends. Grouping is the page's. */
export const PATHS: PanelQuery = {
  signal: "tcp_connections",
  select: SEGMENTS,
  limit: 20,
  shape: "series",
  where: NOT_LOOPBACK,
};

/** Whose connects fail, summed over the range. */
export const FAILURES: PanelQuery = {
  signal: "tcp_connect_failures",
  select: [
    { measure: "count", aggregate: "sum" },
    { measure: "count", aggregate: "rate" },
  ],
  by: ["process", "peer", "errno"],
  limit: 20,
  shape: "total",
};
