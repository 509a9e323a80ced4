// SPDX-License-Identifier: Apache-2.0

import { matchesFilter } from "@waggle/query";
import { EPHEMERAL, getSignalOrThrow, OTHER, type Signal, tableName } from "@waggle/signals";
import type { Source } from "../query/sources.ts";
import {
  aggregated,
  and,
  chunked,
  conditionsOf,
  identifier,
  type Key,
  list,
  Parameters,
  type Part,
  type Plan,
  type Statement,
  sumPart,
} from "../query/sql.ts";
import type { Holder } from "./address-book.ts";
import { readEnd } from "./ends.ts";
import { type Entry, lookUp } from "./look-up.ts";

/** What makes a node, besides the host: nothing, what ran there, or the value of a tag in the host's place. */
export type Grain =
  | { readonly kind: "host" }
  | { readonly kind: "process" | "unit" }
  | { readonly kind: "tag"; readonly values: ReadonlyMap<string, string> };

/** Whose addresses are whose, and what nodes are. */
export interface Ends {
  readonly book: ReadonlyMap<string, Holder>;
  readonly grain: Grain;
}

/** An edge between two ends: from the client to the server, or, where nobody knows who is which, from the lesser text to the greater. */
export interface Pair {
  readonly a: string;
  readonly b: string;
  readonly direction: "client-server" | "unknown";
}

export const rankings = ["bytes", "connections", "retransmits"] as const;
export type Ranking = (typeof rankings)[number];

const PAIRS_PER_PARAMETER = 200;
/** More peers are read and left out afterwards. */
const PEERS_LISTED_MAX = 2_000;
const PEERS_PER_PARAMETER = 1_000;
/** Rows of one detail statement: beyond them the edges with least bytes are left to the rest. */
const DETAILS_MAX = 20_000;

const connections = getSignalOrThrow("tcp_connections");
const HOST: Key = { alias: "host_id", expression: "toString(host)" };
const PEER: Key = { alias: "peer_address", expression: "toString(peer)" };
const IS_LOOPBACK = (peer: string): string => `(startsWith(${peer}, '127.') OR ${peer} = '::1')`;

const traffic: readonly Part[] = [
  sumPart("sent", "sum(`bytes_sent`)"),
  sumPart("received", "sum(`bytes_received`)"),
  sumPart("segments", "sum(`segments_sent`)"),
  sumPart("again", "sum(`segments_retransmitted`)"),
  sumPart("begun", "sum(`opened`)"),
  sumPart("closed_window", "sum(`zero_window`)"),
];

/** What pairs are ranked by, of one side. */
const rankOf: Readonly<Record<Ranking, (side: "a" | "b") => string>> = {
  bytes: (side) => `${side}_sent + ${side}_received`,
  connections: (side) => `${side}_begun`,
  retransmits: (side) => `${side}_again`,
};

/** Hosts' addresses in the hours of the range and the hour before, as one row of parallel arrays. Columns as of `AddressesRow`. */
export function addressesStatement(plan: Plan, sources: readonly Source[], fromMs: number): Statement {
  const parameters = new Parameters();
  const isInRange = `toUnixTimestamp64Milli(ts) >= ${parameters.add("Int64", fromMs)}`;
  const hostsIf = (name: string, condition: string): Part => ({
    name,
    inner: `groupUniqArrayIf(toString(host), ${condition})`,
    merge: "groupUniqArrayArray",
  });
  const sql = aggregated({
    sources,
    keys: [{ alias: "addresses", expression: "value" }],
    parts: [hostsIf("in_range", isInRange), hostsIf("before", `NOT (${isInRange})`)],
    table: ({ level, scope }) => tableName(plan.signal, level, scope),
    where: (source) => conditionsOf(plan, source, parameters),
    // Rows of one name say the same, however many there are.
    isFinal: false,
  });
  const columns = ["addresses", "in_range", "before"].map((name) => `groupArray(${name}) AS ${name}`);
  return parameters.statement(`SELECT ${list(columns)} FROM (${sql}) AS said`);
}

/**
 * The pairs of ends with the most traffic. Columns: a, b, direction, and of the pair: bytes, connections, retransmits (where both ends tell of a pair, the one that tells of more counts),
 * a_rows and b_rows (0 = that end tells nothing of it), a_sent …, b_sent … as of `trafficStatement`; of all pairs: pairs, all_bytes, all_connections, all_retransmits.
 */
export function pairsStatement(plan: Plan, sources: readonly Source[], ends: Ends, ranking: Ranking): Statement {
  const parameters = new Parameters();
  const keys = { host_id: "host", side_role: "role", peer_address: "peer" };
  const rows = aggregated({
    sources,
    keys: Object.entries(keys).map(([alias, expression]) => ({ alias, expression })),
    parts: traffic,
    table: ({ level, scope }) => tableName(connections, level, scope),
    where: (source) => conditionsOf(plan, source, parameters),
  });
  // Of groups, not of rows, of which there are many times as many.
  const texts = Object.keys(keys).map((alias) => `toString(grouped.${alias}) AS ${alias}`);
  const inner = `SELECT ${list([...texts, ...traffic.map(({ name }) => name)])} FROM (${rows}) AS grouped`;
  const ofSides = (["a", "b"] as const).flatMap((side) => [
    `countIf(side = '${side}') AS ${side}_rows`,
    ...traffic.map(({ name }) => `sumIf(${name}, side = '${side}') AS ${side}_${name}`),
  ]);
  const larger = rankings.map((name) => `greatest(${rankOf[name]("a")}, ${rankOf[name]("b")}) AS ${name}`);
  // One window over all pairs: each is a walk through them on one core.
  const all = rankings.map((name, index) => `overall[${index + 2}] AS all_${name}`);
  return parameters.statement(`
    SELECT *, sumForEach([toUInt64(1), ${list(rankings)}]) OVER () AS overall, overall[1] AS pairs, ${list(all)}
    FROM (
      SELECT a, b, direction, ${list([...ofSides, ...larger])}
      FROM (${withEnds(inner, ends, nodesOf(ends), parameters)})
      GROUP BY a, b, direction
    )
    ORDER BY ${ranking} DESC, a, b
    LIMIT ${parameters.add("UInt32", plan.limit)}`);
}

/** What edges are told apart by: columns a, b, direction, side (`a` or `b`: whose view it is), service (the server's port), who (what ran at the view's end). */
const detailKeys = ["a", "b", "direction", "side", "service", "who"] as const;

/** Traffic of the pairs as each end saw it. Columns: those of `detailKeys`, sent, received, segments, again, begun, closed_window. */
export function trafficStatement(plan: Plan, sources: readonly Source[], ends: Ends, pairs: readonly Pair[]): Statement {
  const parameters = new Parameters();
  const remotes = remotesOf(pairs, ends);
  const inner = detail(connections, plan, sources, ends, traffic, remotes, parameters);
  const sums = traffic.map(({ name }) => `sum(${name}) AS ${name}`);
  return parameters.statement(`
    SELECT ${list(detailKeys)}, ${list(sums)}
    FROM (${withEnds(inner, ends, remotes.addresses, parameters)})
    WHERE ${isOneOf(pairs, parameters)}
    GROUP BY ${list(detailKeys)}
    ORDER BY sent + received DESC
    LIMIT ${parameters.add("UInt32", DETAILS_MAX)}`);
}

/** Round trips of the pairs. Columns: those of `detailKeys`, ranks (bucket indexes of p50 and p99), lowest, highest. */
export function roundTripStatement(plan: Plan, sources: readonly Source[], ends: Ends, pairs: readonly Pair[]): Statement {
  const signal = getSignalOrThrow("tcp_rtt");
  const parameters = new Parameters();
  const levels = "0.5, 0.99";
  const parts: readonly Part[] = [
    {
      name: "ranks",
      inner: `quantilesExactWeightedArrayState(${levels})(\`k\`, \`c\`)`,
      merge: `quantilesExactWeightedArrayMergeState(${levels})`,
    },
    { name: "lowest", inner: "min(`min`)", merge: "min" },
    { name: "highest", inner: "max(`max`)", merge: "max" },
  ];
  const remotes = remotesOf(pairs, ends);
  const inner = detail(signal, plan, sources, ends, parts, remotes, parameters);
  return parameters.statement(`
    SELECT ${list(detailKeys)}, finalizeAggregation(quantilesExactWeightedArrayMergeState(${levels})(ranks)) AS ranks, min(lowest) AS lowest, max(highest) AS highest
    FROM (${withEnds(inner, ends, remotes.addresses, parameters)})
    WHERE ${isOneOf(pairs, parameters)}
    GROUP BY ${list(detailKeys)}
    LIMIT ${parameters.add("UInt32", DETAILS_MAX)}`);
}

/** Connects of the pairs that failed. Columns: those of `detailKeys`, failures. null: the filter leaves no client's rows. */
export function failuresStatement(plan: Plan, sources: readonly Source[], ends: Ends, pairs: readonly Pair[]): Statement | null {
  const signal = getSignalOrThrow("tcp_connect_failures");
  const constants: Readonly<Record<string, string>> = { role: "client", port: EPHEMERAL };
  const ofConstants = plan.filters.filter((filter) => filter.key in constants);
  if (!ofConstants.every((filter) => matchesFilter(filter, constants[filter.key] as string))) return null;
  const parameters = new Parameters();
  const filters = plan.filters.filter((filter) => !ofConstants.includes(filter));
  const remotes = remotesOf(pairs, ends);
  const inner = detail(signal, { ...plan, filters }, sources, ends, [sumPart("failed", "sum(`count`)")], remotes, parameters);
  return parameters.statement(`
    SELECT ${list(detailKeys)}, sum(failed) AS failures
    FROM (${withEnds(inner, ends, remotes.addresses, parameters)})
    WHERE ${isOneOf(pairs, parameters)}
    GROUP BY ${list(detailKeys)}
    LIMIT ${parameters.add("UInt32", DETAILS_MAX)}`);
}

/** How long hosts' listeners let connections wait. Columns: host_id, who, ranks (bucket index of p99), lowest, highest. */
export function acceptStatement(plan: Plan, sources: readonly Source[], { grain }: Ends): Statement {
  const signal = getSignalOrThrow("tcp_accept_delay");
  const parameters = new Parameters();
  const sql = aggregated({
    sources,
    keys: [HOST, whoOf(grain)],
    parts: [
      { name: "ranks", inner: "quantilesExactWeightedArrayState(0.99)(`k`, `c`)", merge: "quantilesExactWeightedArrayMergeState(0.99)" },
      { name: "lowest", inner: "min(`min`)", merge: "min" },
      { name: "highest", inner: "max(`max`)", merge: "max" },
    ],
    table: ({ level, scope }) => tableName(signal, level, scope),
    where: (source) => and(conditionsOf({ ...plan, signal, filters: [] }, source, parameters), "`count` > 0"),
  });
  return parameters.statement(`SELECT host_id, who, finalizeAggregation(ranks) AS ranks, lowest, highest FROM (${sql}) AS waited`);
}

/** What hosts' listeners dropped. Columns: host_id, who, drops. */
export function listenDropsStatement(plan: Plan, sources: readonly Source[], { grain }: Ends): Statement {
  const signal = getSignalOrThrow("tcp_listen_queue");
  const parameters = new Parameters();
  const sql = aggregated({
    sources,
    keys: [HOST, whoOf(grain)],
    parts: [sumPart("drops", "sum(`drops`)")],
    table: ({ level, scope }) => tableName(signal, level, scope),
    where: (source) => conditionsOf({ ...plan, signal, filters: [] }, source, parameters),
  });
  return parameters.statement(sql);
}

function detail(
  signal: Signal,
  plan: Plan,
  sources: readonly Source[],
  { grain }: Ends,
  parts: readonly Part[],
  remotes: Remotes,
  parameters: Parameters,
): string {
  const hasRole = signal.dimensions.includes("role");
  const isFine = grain.kind === "process" || grain.kind === "unit";
  return aggregated({
    sources,
    keys: [
      HOST,
      { alias: "side_role", expression: hasRole ? "toString(role)" : "'client'" },
      PEER,
      {
        alias: "service",
        expression: isFine
          ? hasRole
            ? "multiIf(role = 'server', toString(port), role = 'client', toString(peer_port), '')"
            : "toString(peer_port)"
          : "''",
      },
      whoOf(grain),
    ],
    parts,
    table: ({ level, scope }) => tableName(signal, level, scope),
    where: (source) => and(conditionsOf({ ...plan, signal }, source, parameters), ...towards(remotes, parameters)),
  });
}

/** Where the far ends of some pairs are. */
interface Remotes {
  /** Addresses that belong to a node, with it. */
  readonly addresses: readonly Entry[];
  /** All values of `peer` that mean one of them, but for those of loopback. null: too many to be listed. */
  readonly peers: readonly string[] | null;
}

/** Of the addresses that hosts have, those of the pairs' ends: any other leads to no pair that is asked for. */
function remotesOf(pairs: readonly Pair[], ends: Ends): Remotes {
  const wanted = new Set(pairs.flatMap(({ a, b }) => [a, b]));
  const addresses = nodesOf(ends).filter(([, node]) => wanted.has(node));
  if (addresses.length + wanted.size > PEERS_LISTED_MAX) return { addresses, peers: null };
  const others = [...wanted].flatMap((end) => {
    const { kind, value } = readEnd(end);
    return kind === "external" ? [value] : kind === "unknown" ? [""] : kind === "other" ? [OTHER] : [];
  });
  return { addresses, peers: [...addresses.map(([address]) => address), ...others] };
}

function towards({ peers }: Remotes, parameters: Parameters): string[] {
  if (peers === null) return [];
  const chunks = chunked(peers, PEERS_PER_PARAMETER, (peer) => Buffer.byteLength(peer) + 8).map((chunk) => parameters.add("Array(String)", chunk));
  return [`(peer IN arrayConcat(${list(chunks)}) OR ${IS_LOOPBACK("peer")})`];
}

const nodesOfBook = new WeakMap<object, readonly Entry[]>();

/** The node of each address that hosts have. */
function nodesOf(ends: Ends): readonly Entry[] {
  const { book, grain } = ends;
  const key = grain.kind === "tag" ? ends : book;
  let nodes = nodesOfBook.get(key);
  if (nodes === undefined) {
    const node = (host: string): string => (grain.kind === "tag" ? `t:${grain.values.get(host) ?? ""}` : `h:${host}`);
    nodes = [...book].map(([address, holder]): Entry => [address, holder.kind === "host" ? node(holder.host) : `a:${address}`]);
    nodesOfBook.set(key, nodes);
  }
  return nodes;
}

function whoOf(grain: Grain): Key {
  return { alias: "who", expression: grain.kind === "process" || grain.kind === "unit" ? `toString(${identifier(grain.kind)})` : "''" };
}

/** Adds a, b, direction and side to rows that have host_id, side_role and peer_address. */
function withEnds(rows: string, { grain }: Ends, addresses: readonly Entry[], parameters: Parameters): string {
  const other = parameters.add("String", OTHER);
  const tagged = grain.kind === "tag" ? [...grain.values] : [];
  const local = grain.kind !== "tag" ? "concat('h:', host_id)" : tagged.length === 0 ? "'t:'" : "concat('t:', tag_value.to_text)";
  const known = addresses.length === 0 ? "" : "holder.to_text != '', holder.to_text, ";
  return `
      SELECT *, multiIf(side_role = 'client', 'a', side_role = 'server', 'b', local_node <= remote_node, 'a', 'b') AS side,
        if(side_role IN ('client', 'server'), 'client-server', 'unknown') AS direction,
        if(side = 'a', local_node, remote_node) AS a, if(side = 'a', remote_node, local_node) AS b
      FROM (
        SELECT told.*, ${local} AS local_node,
          multiIf(peer_address = '', 'u:', peer_address = ${other}, 'o:', ${IS_LOOPBACK("peer_address")}, local_node, ${known}concat('x:', peer_address)) AS remote_node
        FROM (${rows}) AS told
        ${addresses.length === 0 ? "" : `LEFT ANY JOIN (${lookUp(addresses, parameters)}) AS holder ON told.peer_address = holder.from_text`}
        ${tagged.length === 0 ? "" : `LEFT ANY JOIN (${lookUp(tagged, parameters)}) AS tag_value ON told.host_id = tag_value.from_text`}
      )`;
}

function isOneOf(pairs: readonly Pair[], parameters: Parameters): string {
  const groups = pairs.map(({ a, b, direction }) => [a, b, direction]);
  const chunks = Array.from({ length: Math.ceil(groups.length / PAIRS_PER_PARAMETER) }, (_, i) =>
    parameters.add("Array(Array(String))", groups.slice(i * PAIRS_PER_PARAMETER, (i + 1) * PAIRS_PER_PARAMETER)),
  );
  return `(a, b, direction) IN (SELECT wanted[1], wanted[2], wanted[3] FROM (SELECT arrayJoin(arrayConcat(${list(chunks)})) AS wanted))`;
}
