// SPDX-License-Identifier: Apache-2.0
import type { PanelQuery } from "../lib/api/hooks";
import type { Selection } from "../lib/api/types";

/** Selections that several panels share, so that a name of the catalogue is written once. */
export const SEGMENTS: readonly Selection[] = [
  { measure: "segments_retransmitted", aggregate: "sum" },
  { measure: "segments_sent", aggregate: "sum" },
];

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
