// SPDX-License-Identifier: Apache-2.0
import type { QueryAnswer } from "../../lib/api/types";
import { OTHER, pick } from "../../lib/series";
import { totals } from "../facts";

export const CONNECTION_KEY = ["process", "peer", "peer_port"] as const;

/** One process talking to one peer over the range: volume, loss and delay side by side. null = not measured. */
export interface ConnectionRow {
  readonly key: string;
  readonly process: string;
  readonly units: readonly string[];
  readonly peer: string;
  readonly peerPort: string;
  readonly sent: number | null;
  readonly retransmitted: number | null;
  readonly share: number | null;
  readonly bytesOut: number | null;
  readonly bytesIn: number | null;
  readonly rttP50: number | null;
  readonly rttP99: number | null;
  readonly connectP99: number | null;
}

/** Joins the three signals by process, peer and port. A pair that only one of them knows (connects only, RTT only) is kept. */
export function connectionRows(
  volume: QueryAnswer | undefined,
  rtt: QueryAnswer | undefined,
  connect: QueryAnswer | undefined,
  units: ReadonlyMap<string, readonly string[]>,
): ConnectionRow[] {
  const by = CONNECTION_KEY;
  const sent = totals(volume, "segments_sent", "sum", by);
  const retransmitted = totals(volume, "segments_retransmitted", "sum", by);
  const bytesOut = totals(volume, "bytes_sent", "rate", by);
  const bytesIn = totals(volume, "bytes_received", "rate", by);
  const p50 = totals(rtt, "rtt", "p50", by);
  const p99 = totals(rtt, "rtt", "p99", by);
  const connectP99 = totals(connect, "latency", "p99", by);
  const keys = new Set([...sent.keys(), ...p99.keys(), ...connectP99.keys()]);
  return [...keys].map((key) => {
    const [process = "", peer = "", peerPort = ""] = key.split("\u0000");
    const all = sent.get(key) ?? null;
    const again = retransmitted.get(key) ?? null;
    return {
      key,
      process,
      units: units.get(process) ?? [],
      peer,
      peerPort,
      sent: all,
      retransmitted: again,
      share: all === null || again === null ? null : all > 0 ? again / all : 0,
      bytesOut: bytesOut.get(key) ?? null,
      bytesIn: bytesIn.get(key) ?? null,
      rttP50: p50.get(key) ?? null,
      rttP99: p99.get(key) ?? null,
      connectP99: connectP99.get(key) ?? null,
    };
  });
}

/**
 * Worst first: pairs with a meaningful share of retransmits by that share, then by RTT p99. A single lost segment does not lift a row over a
 * connection that is slow. `~other` is nobody and goes last.
 */
export function worstConnectionsFirst(rows: readonly ConnectionRow[], segmentsMin: number): ConnectionRow[] {
  const weight = (row: ConnectionRow): number => ((row.retransmitted ?? 0) >= segmentsMin ? (row.share ?? 0) : 0);
  return [...rows].sort(
    (a, b) =>
      Number(a.process === OTHER || a.peer === OTHER) - Number(b.process === OTHER || b.peer === OTHER) ||
      weight(b) - weight(a) ||
      (b.rttP99 ?? -1) - (a.rttP99 ?? -1) ||
      (b.bytesOut ?? 0) - (a.bytesOut ?? 0),
  );
}

/** The units each process was seen in, most traffic first. */
export function unitsByProcess(answer: QueryAnswer | undefined): Map<string, string[]> {
  const map = new Map<string, string[]>();
  if (!answer) return map;
  const measure = answer.series[0]?.measure;
  const aggregate = answer.series[0]?.aggregate;
  if (measure === undefined || aggregate === undefined) return map;
  for (const series of pick(answer, measure, aggregate)) {
    const process = series.labels["process"] ?? "";
    const unit = series.labels["unit"] ?? "";
    if (unit !== "" && unit !== OTHER) map.set(process, [...(map.get(process) ?? []), unit]);
  }
  return map;
}
