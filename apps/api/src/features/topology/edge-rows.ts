// SPDX-License-Identifier: Apache-2.0
import type { Table } from "../formats/table.ts";
import type { Topology } from "./topology.schemas.ts";

/** A topology's edges as rows, with their ends as they are shown; NDJSON has the edges whole. */
export function edgeRows({ meta, nodes, edges }: Topology): Table {
  const { coverage, ...rest } = meta;
  const { steps: _, stepHosts: __, missing: ___, ...summed } = coverage;
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const ends = (["from", "to"] as const).flatMap((end) => [
    { name: end, type: "text" as const, values: edges.map((edge) => byId.get(edge[end])?.label ?? edge[end]) },
    { name: `${end}_kind`, type: "text" as const, values: edges.map((edge) => byId.get(edge[end])?.kind ?? null) },
  ]);
  const numbers = ["bytes", "connections", "retransmitRatio", "rttP50", "rttP99", "failures"] as const;
  return {
    meta,
    summary: { ...rest, coverage: summed },
    columns: [
      ...ends,
      { name: "direction", type: "text", values: edges.map(({ direction }) => direction) },
      { name: "port", type: "text", values: edges.map(({ port }) => port) },
      { name: "loopback", type: "boolean", values: edges.map(({ loopback }) => loopback) },
      ...numbers.map((name) => ({ name, type: "number" as const, values: edges.map((edge) => edge[name]) })),
      { name: "reported_by", type: "text", values: edges.map(({ reportedBy }) => reportedBy.join("+")) },
    ],
    rows: edges.length,
    records: edges.map((edge) => ({ ...edge, from: byId.get(edge.from) ?? edge.from, to: byId.get(edge.to) ?? edge.to })),
  };
}
