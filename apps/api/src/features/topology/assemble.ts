// SPDX-License-Identifier: Apache-2.0
import { valueInBucket } from "../query/quantile.ts";
import { readEnd } from "./ends.ts";
import type { Topology, TopologyEdge, TopologyView } from "./topology.schemas.ts";

/** What a row of the detail statements is about. */
export interface DetailKey {
  readonly a: string;
  readonly b: string;
  readonly direction: "client-server" | "unknown";
  readonly side: "a" | "b";
  readonly service: string;
  readonly who: string;
}
export interface TrafficRow extends DetailKey {
  readonly sent: number;
  readonly received: number;
  readonly segments: number;
  readonly again: number;
  readonly begun: number;
  readonly closed_window: number;
}
export interface RoundTripRow extends DetailKey {
  readonly ranks: readonly number[];
  readonly lowest: number;
  readonly highest: number;
}
export interface FailureRow extends DetailKey {
  readonly failures: number;
}
export interface ListenerRow {
  readonly host_id: string;
  readonly who: string;
  readonly ranks?: readonly number[];
  readonly lowest?: number;
  readonly highest?: number;
  readonly drops?: number;
}

export interface Details {
  readonly traffic: readonly TrafficRow[];
  readonly roundTrips: readonly RoundTripRow[];
  readonly failures: readonly FailureRow[];
  readonly accepts: readonly ListenerRow[];
  readonly drops: readonly ListenerRow[];
}

/** How nodes are shown. */
export interface Names {
  /** What a node is besides its host. */
  readonly grain: "host" | "process" | "unit" | "tag";
  readonly host: (id: string) => string;
  /** Who had an ambiguous address. */
  readonly holders: (address: string) => readonly string[];
}

/** What one end saw of one edge. */
interface Seen extends DetailKey {
  readonly view: Omit<TopologyView, "sharedBy" | "listener">;
}

/**
 * Joins what both ends saw into edges.
 *
 * A host does not know which process is at the far end. Where nodes are processes, the server's process is the one that the far host itself reports on the port, if it is
 * one; the client's is the one that the far host reports towards this port, if it is one. Several clients of one host share the server's view of them.
 */
export function assembleEdges(details: Details, names: Names): Pick<Topology, "nodes" | "edges"> {
  const seen = seenOf(details);
  const isFine = names.grain === "process" || names.grain === "unit";
  const conversation = ({ a, b, direction, service }: DetailKey): string => JSON.stringify([a, b, direction, service]);
  const bySide = (side: "a" | "b") =>
    Map.groupBy(
      seen.filter((one) => one.side === side),
      conversation,
    );
  const [ofClients, ofServers] = [bySide("a"), bySide("b")];
  /** What listens on a port of a host, by all that its host says. */
  const owners = new Map<string, Set<string>>();
  if (isFine) {
    for (const { b, service, who, side, direction } of seen) {
      if (side !== "b" || direction !== "client-server") continue;
      const key = JSON.stringify([b, service]);
      owners.set(key, (owners.get(key) ?? new Set()).add(who));
    }
  }
  const ownerOf = (b: string, service: string): string | null => {
    const known = owners.get(JSON.stringify([b, service]));
    return known?.size === 1 ? ([...known][0] as string) : null;
  };

  const nodes = new Map<string, Topology["nodes"][number]>();
  const nodeOf = (end: string, who: string | null): string => {
    const node = describe(end, who, names);
    nodes.set(node.id, node);
    return node.id;
  };
  const listenerOf = listeners(details);
  const edges: TopologyEdge[] = [];
  for (const key of new Set([...ofClients.keys(), ...ofServers.keys()])) {
    const clients = ofClients.get(key) ?? [];
    const servers = ofServers.get(key) ?? [];
    const { a, b, direction, service } = (clients[0] ?? servers[0]) as Seen;
    const server = servers.length === 1 ? (servers[0] as Seen) : undefined;
    const listener = direction === "client-server" ? (who: string) => listenerOf(b, isFine ? who : "") : () => null;
    const add = (from: Seen | undefined, to: Seen | undefined, sharedBy: number, owner: string | null): void => {
      const views = {
        from: from === undefined ? null : { ...from.view, sharedBy: 1, listener: null },
        to: to === undefined ? null : { ...to.view, sharedBy, listener: listener(to.who) },
      };
      edges.push({
        from: nodeOf(a, isFine ? (from?.who ?? null) : null),
        to: nodeOf(b, isFine ? (to?.who ?? owner) : null),
        direction,
        port: isFine && service !== "" ? service : null,
        loopback: a === b && readEnd(a).kind === "host",
        ...summary(views),
        views,
      });
    };
    // Several processes of the server's end on one port: which of them served which client is not known, so their views stand alone.
    if (server === undefined) for (const one of servers) add(undefined, one, 1, null);
    if (clients.length === 0 && server !== undefined) add(undefined, server, 1, null);
    for (const client of clients) add(client, server, clients.length, ownerOf(b, service));
  }
  edges.sort((x, y) => y.bytes - x.bytes || (x.from < y.from ? -1 : 1));
  return { nodes: [...nodes.values()], edges };
}

function summary(views: TopologyEdge["views"]): Omit<TopologyEdge, "from" | "to" | "direction" | "port" | "loopback" | "views"> {
  const { from, to } = views;
  const first = from ?? (to as TopologyView);
  const all = [from, to].filter((view) => view !== null);
  const sent = all.reduce((sum, view) => sum + view.segmentsSent, 0);
  const again = all.reduce((sum, view) => sum + view.segmentsRetransmitted, 0);
  return {
    bytes: first.bytesSent + first.bytesReceived,
    connections: first.connections,
    retransmitRatio: sent === 0 ? null : again / sent,
    rttP50: from?.rttP50 ?? to?.rttP50 ?? null,
    rttP99: from?.rttP99 ?? to?.rttP99 ?? null,
    failures: all.reduce((sum, view) => sum + view.failures, 0),
    reportedBy: [...(from === null ? [] : (["from"] as const)), ...(to === null ? [] : (["to"] as const))],
  };
}

/** Rows of the three signals, one per end and edge. */
function seenOf({ traffic, roundTrips, failures }: Details): readonly Seen[] {
  const keyOf = (row: DetailKey): string => JSON.stringify([row.a, row.b, row.direction, row.side, row.service, row.who]);
  const rtt = new Map(roundTrips.map((row) => [keyOf(row), row]));
  const failed = new Map(failures.map((row) => [keyOf(row), Number(row.failures)]));
  const rows = new Map<string, DetailKey & Partial<TrafficRow>>();
  // An end that only ever failed to connect has no traffic.
  for (const row of [...failures, ...roundTrips, ...traffic]) rows.set(keyOf(row), row);
  return [...rows].map(([key, row]) => {
    const trips = rtt.get(key);
    const at = (position: number): number | null =>
      trips === undefined ? null : valueInBucket(trips.ranks[position] as number, Number(trips.lowest), Number(trips.highest));
    return {
      a: row.a,
      b: row.b,
      direction: row.direction,
      side: row.side,
      service: row.service,
      who: row.who,
      view: {
        bytesSent: Number(row.sent ?? 0),
        bytesReceived: Number(row.received ?? 0),
        connections: Number(row.begun ?? 0),
        segmentsSent: Number(row.segments ?? 0),
        segmentsRetransmitted: Number(row.again ?? 0),
        zeroWindow: Number(row.closed_window ?? 0),
        rttP50: at(0),
        rttP99: at(1),
        failures: failed.get(key) ?? 0,
      },
    };
  });
}

function listeners({ accepts, drops }: Details): (end: string, who: string) => TopologyView["listener"] {
  const keyOf = (host: string, who: string): string => JSON.stringify([host, who]);
  const delays = new Map(accepts.map((row) => [keyOf(row.host_id, row.who), row]));
  const dropped = new Map(drops.map((row) => [keyOf(row.host_id, row.who), Number(row.drops)]));
  return (end, who) => {
    const { kind, value } = readEnd(end);
    if (kind !== "host") return null;
    const key = keyOf(value, who);
    const delay = delays.get(key);
    if (delay === undefined && !dropped.has(key)) return null;
    return {
      acceptDelayP99: delay === undefined ? null : valueInBucket(delay.ranks?.[0] as number, Number(delay.lowest), Number(delay.highest)),
      drops: dropped.get(key) ?? 0,
    };
  };
}

/** @param who what runs there; null: not told apart, or not known */
function describe(end: string, who: string | null, { grain, host, holders }: Names): Topology["nodes"][number] {
  const { kind, value } = readEnd(end);
  switch (kind) {
    case "host": {
      const name = host(value);
      if (who === null || (grain !== "process" && grain !== "unit")) return { id: end, kind: "host", label: name, host: name };
      return { id: `${end}/${who}`, kind: grain, label: `${who === "" ? "?" : who} on ${name}`, host: name };
    }
    case "tag":
      return { id: end, kind, label: value === "" ? "(no value)" : value, host: null };
    case "external":
      return { id: end, kind, label: value, host: null };
    case "ambiguous":
      return { id: end, kind, label: value, host: null, hosts: holders(value).map(host) };
    case "unknown":
      return { id: end, kind, label: "(unknown address)", host: null };
    case "other":
      return { id: end, kind, label: "~other", host: null };
  }
}
