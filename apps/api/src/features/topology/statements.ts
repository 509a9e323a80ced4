// SPDX-License-Identifier: Apache-2.0

import { matchesFilter } from "@waggle/query";
import { EPHEMERAL, getSignalOrThrow, OTHER, type Signal, tableName } from "@waggle/signals";
import type { Source } from "../query/sources.ts";
import {
  aggregated,
  and,
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

/** Entries whose parameter stays below what ClickHouse takes in one. */
const ENTRIES_PER_PARAMETER = 1_500;
const PAIRS_PER_PARAMETER = 200;
/** Rows of one detail statement: beyond them the edges with least bytes are left to the rest. */
const DETAILS_MAX = 20_000;

const connections = getSignalOrThrow("tcp_connections");
const HOST: Key = { alias: "host_id", expression: "toString(host)" };
const PEER: Key = { alias: "peer_address", expression: "peer" };

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

/** Hosts' addresses in the hours of the range and the hour before. Columns as of `AddressRow`. */
export function addressesStatement(plan: Plan, sources: readonly Source[], fromMs: number): Statement {
  const parameters = new Parameters();
  const from = parameters.add("Int64", fromMs);
  const sql = aggregated({
    sources,
    keys: [HOST, { alias: "addresses", expression: "value" }],
    parts: [{ name: "in_range", inner: `max(toUnixTimestamp64Milli(ts) >= ${from})`, merge: "max" }],
    table: ({ level, scope }) => tableName(plan.signal, level, scope),
    where: (source) => conditionsOf(plan, source, parameters),
  });
  return parameters.statement(`SELECT host_id, addresses, in_range FROM (${sql}) AS said`);
}

/**
 * The pairs of ends with the most traffic. Columns: a, b, direction, and of the pair: bytes, connections, retransmits (where both ends tell of a pair, the one that tells of more counts),
 * a_rows and b_rows (0 = that end tells nothing of it), a_sent …, b_sent … as of `trafficStatement`; of all pairs: pairs, all_bytes, all_connections, all_retransmits.
 */
export function pairsStatement(plan: Plan, sources: readonly Source[], ends: Ends, ranking: Ranking): Statement {
  const parameters = new Parameters();
  const inner = aggregated({
    sources,
    keys: [HOST, { alias: "side_role", expression: "toString(role)" }, PEER],
    parts: traffic,
    table: ({ level, scope }) => tableName(connections, level, scope),
    where: (source) => conditionsOf(plan, source, parameters),
  });
  const ofSides = (["a", "b"] as const).flatMap((side) => [
    `countIf(side = '${side}') AS ${side}_rows`,
    ...traffic.map(({ name }) => `sumIf(${name}, side = '${side}') AS ${side}_${name}`),
  ]);
  const larger = rankings.map((name) => `greatest(${rankOf[name]("a")}, ${rankOf[name]("b")}) AS ${name}`);
  const all = rankings.map((name) => `sum(${name}) OVER () AS all_${name}`);
  return parameters.statement(`
    SELECT *, count() OVER () AS pairs, ${list(all)}
    FROM (
      SELECT a, b, direction, ${list([...ofSides, ...larger])}
      FROM (${withEnds(inner, ends, parameters)})
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
  const inner = detail(connections, plan, sources, ends, traffic, parameters);
  const sums = traffic.map(({ name }) => `sum(${name}) AS ${name}`);
  return parameters.statement(`
    SELECT ${list(detailKeys)}, ${list(sums)}
    FROM (${withEnds(inner, ends, parameters)})
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
  const inner = detail(signal, plan, sources, ends, parts, parameters);
  return parameters.statement(`
    SELECT ${list(detailKeys)}, finalizeAggregation(quantilesExactWeightedArrayMergeState(${levels})(ranks)) AS ranks, min(lowest) AS lowest, max(highest) AS highest
    FROM (${withEnds(inner, ends, parameters)})
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
  const inner = detail(signal, { ...plan, filters }, sources, ends, [sumPart("failed", "sum(`count`)")], parameters);
  return parameters.statement(`
    SELECT ${list(detailKeys)}, sum(failed) AS failures
    FROM (${withEnds(inner, ends, parameters)})
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

function detail(signal: Signal, plan: Plan, sources: readonly Source[], { grain }: Ends, parts: readonly Part[], parameters: Parameters): string {
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
    where: (source) => conditionsOf({ ...plan, signal }, source, parameters),
  });
}

function whoOf(grain: Grain): Key {
  return { alias: "who", expression: grain.kind === "process" || grain.kind === "unit" ? `toString(${identifier(grain.kind)})` : "''" };
}

/** Adds a, b, direction and side to rows that have host_id, side_role and peer_address. */
function withEnds(rows: string, { book, grain }: Ends, parameters: Parameters): string {
  const other = parameters.add("String", OTHER);
  const holders = [...book];
  const known = transform(
    "peer_address",
    holders.map(([address]) => address),
    holders.map(([address, holder]) => (holder.kind === "host" ? `h:${holder.host}` : `a:${address}`)),
    "concat('x:', peer_address)",
    parameters,
  );
  const isLoopback = "startsWith(peer_address, '127.') OR peer_address = '::1'";
  const node = (end: string): string => {
    if (grain.kind !== "tag") return end;
    const tagged = [...grain.values];
    const value = transform(
      `substring(${end}, 3)`,
      tagged.map(([host]) => host),
      tagged.map(([, tag]) => tag),
      "''",
      parameters,
    );
    return `if(startsWith(${end}, 'h:'), concat('t:', ${value}), ${end})`;
  };
  return `
      SELECT *, multiIf(side_role = 'client', 'a', side_role = 'server', 'b', local_node <= remote_node, 'a', 'b') AS side,
        if(side_role IN ('client', 'server'), 'client-server', 'unknown') AS direction,
        if(side = 'a', local_node, remote_node) AS a, if(side = 'a', remote_node, local_node) AS b
      FROM (
        SELECT *, ${node("local_end")} AS local_node, ${node("remote_end")} AS remote_node
        FROM (
          SELECT *, concat('h:', host_id) AS local_end,
            multiIf(peer_address = '', 'u:', peer_address = ${other}, 'o:', ${isLoopback}, local_end, ${known}) AS remote_end
          FROM (${rows}) AS told
        )
      )`;
}

/** `from[i]` becomes `to[i]`, anything else `otherwise`. */
function transform(value: string, from: readonly string[], to: readonly string[], otherwise: string, parameters: Parameters): string {
  if (from.length === 0) return otherwise;
  const array = (texts: readonly string[]): string => {
    const chunks = Array.from({ length: Math.ceil(texts.length / ENTRIES_PER_PARAMETER) }, (_, i) =>
      parameters.add("Array(String)", texts.slice(i * ENTRIES_PER_PARAMETER, (i + 1) * ENTRIES_PER_PARAMETER)),
    );
    return chunks.length === 1 ? (chunks[0] as string) : `arrayConcat(${list(chunks)})`;
  };
  return `transform(${value}, ${array(from)}, ${array(to)}, ${otherwise})`;
}

function isOneOf(pairs: readonly Pair[], parameters: Parameters): string {
  const groups = pairs.map(({ a, b, direction }) => [a, b, direction]);
  const chunks = Array.from({ length: Math.ceil(groups.length / PAIRS_PER_PARAMETER) }, (_, i) =>
    parameters.add("Array(Array(String))", groups.slice(i * PAIRS_PER_PARAMETER, (i + 1) * PAIRS_PER_PARAMETER)),
  );
  return `(a, b, direction) IN (SELECT wanted[1], wanted[2], wanted[3] FROM (SELECT arrayJoin(arrayConcat(${list(chunks)})) AS wanted))`;
}
