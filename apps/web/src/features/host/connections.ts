// SPDX-License-Identifier: Apache-2.0
import type { QueryAnswer } from "../../lib/api/types";
import { OTHER, pick } from "../../lib/series";
import { totals } from "../facts";

/** What a row is where this host connects: one process and the peer's port it connects to. */
export const CLIENT_KEY = ["process", "peer", "peer_port"] as const;
/** Where it is connected to: one process and its own port, all clients together. */
export const SERVER_KEY = ["process", "port"] as const;

/** One process talking to one peer, or to all clients of one of its ports, over the range: volume, loss and delay side by side. null = not measured. */
export interface ConnectionRow {
  readonly key: string;
  readonly role: "client" | "server";
  readonly process: string;
  readonly units: readonly string[];
  /** Empty for a server row. */
  readonly peer: string;
  /** The port that is connected to: the peer's for a client row, this host's for a server row. */
  readonly port: string;
  readonly sent: number | null;
  readonly retransmitted: number | null;
  readonly share: number | null;
  /** Share that says something about a path: loopback left out, null where nothing else was sent or too little was lost. */
  readonly pathShare: number | null;
  readonly bytesOut: number | null;
  readonly bytesIn: number | null;
  readonly rttP50: number | null;
  readonly rttP99: number | null;
  readonly connectP99: number | null;
}

/**
 * Joins the three signals of one role by its key. A row that only one of them knows (connects only, RTT only) is kept.
 * @param outside the volume without loopback
 * @param segmentsMin so many segments must have been sent again before their share says anything
 */
export function connectionRows(
  role: "client" | "server",
  volume: QueryAnswer | undefined,
  rtt: QueryAnswer | undefined,
  connect: QueryAnswer | undefined,
  units: ReadonlyMap<string, readonly string[]>,
  outside: QueryAnswer | undefined,
  segmentsMin: number,
): ConnectionRow[] {
  const pathSent = totals(outside, "segments_sent", "sum", role === "client" ? CLIENT_KEY : SERVER_KEY);
  const pathRetransmitted = totals(outside, "segments_retransmitted", "sum", role === "client" ? CLIENT_KEY : SERVER_KEY);
  const by = role === "client" ? CLIENT_KEY : SERVER_KEY;
  const sent = totals(volume, "segments_sent", "sum", by);
  const retransmitted = totals(volume, "segments_retransmitted", "sum", by);
  const bytesOut = totals(volume, "bytes_sent", "rate", by);
  const bytesIn = totals(volume, "bytes_received", "rate", by);
  const p50 = totals(rtt, "rtt", "p50", by);
  const p99 = totals(rtt, "rtt", "p99", by);
  const connectP99 = totals(connect, "latency", "p99", by);
  const keys = new Set([...sent.keys(), ...p99.keys(), ...connectP99.keys()]);
  return [...keys].map((key) => {
    const [process = "", ...rest] = key.split("\u0000");
    const [peer = "", port = ""] = role === "client" ? rest : ["", ...rest];
    const all = sent.get(key) ?? null;
    const again = retransmitted.get(key) ?? null;
    const pathAgain = pathRetransmitted.get(key) ?? 0;
    const pathAll = pathSent.get(key) ?? 0;
    return {
      key: `${role}\u0000${key}`,
      role,
      process,
      units: units.get(process) ?? [],
      peer,
      port,
      sent: all,
      retransmitted: again,
      share: all === null || again === null ? null : all > 0 ? again / all : 0,
      pathShare: pathAgain >= segmentsMin && pathAll > 0 ? pathAgain / pathAll : null,
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
export function worstConnectionsFirst(rows: readonly ConnectionRow[]): ConnectionRow[] {
  return [...rows].sort(
    (a, b) =>
      Number(isOverflow(a)) - Number(isOverflow(b)) ||
      (b.pathShare ?? 0) - (a.pathShare ?? 0) ||
      (b.rttP99 ?? -1) - (a.rttP99 ?? -1) ||
      (b.bytesOut ?? 0) - (a.bytesOut ?? 0),
  );
}

function isOverflow(row: ConnectionRow): boolean {
  return row.process === OTHER || row.peer === OTHER || row.port === OTHER;
}

const ID_SHOWN = 8;

/**
 * A unit short enough for a cell: cut from the left, at a path boundary where there is one, because the end of a cgroup's path names it.
 * `length` in characters.
 */
export function shortUnit(unit: string, length = 16): string {
  if (unit.length <= length) return unit;
  const parts = unit.split("/").filter((part) => part !== "");
  let end = parts.at(-1) ?? unit;
  // An id is known by how it begins.
  if (/^[0-9a-f-]{16,}$/.test(end)) end = end.slice(0, ID_SHOWN);
  for (const part of parts.slice(0, -1).reverse()) {
    if (part.length + end.length + 3 > length) break;
    end = `${part}/${end}`;
  }
  if (end.length + 2 <= Math.max(length, ID_SHOWN + 2)) return `…/${end}`;
  return `…${end.slice(-(length - 1))}`;
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
