// SPDX-License-Identifier: Apache-2.0
import { Inject, Injectable } from "@nestjs/common";
import { hostValue } from "@waggle/query";
import type { Caller } from "../../common/caller.ts";
import { SharedAnswers } from "../../common/shared-answers.ts";
import { alignedEnds } from "../query/aligned-range.ts";
import type { KnownHost } from "../query/coverage.ts";
import { type Execution, hostNames, QueryExecutor } from "../query/query-executor.ts";
import type { Source } from "../query/sources.ts";
import type { Plan } from "../query/sql.ts";
import { ADDRESS_FACT, type AddressesRow, addressBook, type Holder } from "./address-book.ts";
import { assembleEdges, type Details, type FailureRow, type ListenerRow, type RoundTripRow, type TrafficRow } from "./assemble.ts";
import { readEnd } from "./ends.ts";
import {
  acceptStatement,
  addressesStatement,
  type Ends,
  failuresStatement,
  type Grain,
  listenDropsStatement,
  type Pair,
  pairsStatement,
  type Ranking,
  rankings,
  roundTripStatement,
  trafficStatement,
} from "./statements.ts";
import type { Topology, TopologyParameters } from "./topology.schemas.ts";

const HOUR_MS = 3_600_000;
/** Addresses change rarely, and facts of 10,000 hosts over a day are 14 million rows: a host that is new may be unresolved for so long. */
const BOOK_KEPT_MS = 60_000;
const BOOKS_MAX = 16;

type Sent = Pick<TrafficRow, "sent" | "received" | "segments" | "again" | "begun" | "closed_window">;
type PairRow = Pair &
  Readonly<Record<Ranking | `all_${Ranking}` | "pairs", number>> &
  Readonly<Record<`${"a" | "b"}_${keyof Sent | "rows"}`, number>>;
type Book = ReadonlyMap<string, Holder>;

/** Who talks to whom, as both ends tell it. */
@Injectable()
export class TopologyService {
  private readonly books = new SharedAnswers<Book>(BOOK_KEPT_MS, BOOKS_MAX);

  constructor(@Inject(QueryExecutor) private readonly executor: QueryExecutor) {}

  /** Throws AppError as of `QueryService.query`. */
  async topology(caller: Caller, parameters: TopologyParameters, signal?: AbortSignal): Promise<Topology> {
    const execution = this.executor.begin(caller, signal);
    const chosen = await execution.plan(queryOf({ ...parameters, ...alignedEnds(parameters, execution.nowMs, "outwards") }));
    const { plan, readings } = chosen.planned;
    const sources = readings[0]?.sources ?? [];
    const { fromMs, toMs } = plan.steps;
    const grain = grainOf(parameters.by, chosen.known);
    // Nothing that is read depends on it, so it is read beside.
    const covering = execution.coverage(chosen);
    // Whoever waits for it hears of a failure, unless something else failed before.
    covering.catch(() => {});
    let rowsOfBook = 0;
    const book = await this.book(caller, fromMs, toMs, (rows) => {
      rowsOfBook = rows;
    });
    const ends: Ends = { book, grain };

    const pairs = await execution.read<PairRow>(chosen, () => pairsStatement(plan, sources, ends, parameters.sort));
    const details = pairs.length === 0 ? nothing : await readDetails(plan, sources, ends, pairs, execution);
    const asked = await covering;
    const { nodes, edges } = assembleEdges(details, {
      grain: grain.kind,
      host: hostNames(chosen),
      holders: (address) => {
        const holder = book.get(address);
        return holder?.kind === "ambiguous" ? holder.hosts : [];
      },
    });
    const shown = edges.slice(0, parameters.limit);
    const used = new Set(shown.flatMap(({ from, to }) => [from, to]));
    const [first] = pairs;
    const total = Number(first?.pairs ?? 0);
    const beyond = (name: Ranking): number => Number(first?.[`all_${name}`] ?? 0) - pairs.reduce((sum, pair) => sum + Number(pair[name]), 0);
    const cut = edges.slice(parameters.limit);
    const rest = Object.fromEntries(rankings.map((name) => [name, beyond(name)])) as Record<Ranking, number>;
    return {
      meta: {
        from: new Date(fromMs).toISOString(),
        to: new Date(toMs).toISOString(),
        by: parameters.by,
        sort: parameters.sort,
        coverage: asked.coverage,
        truncated: total > pairs.length || cut.length > 0 ? { shown: shown.length, total: total - pairs.length + edges.length } : null,
        rest: {
          edges: total - pairs.length + cut.length,
          bytes: rest.bytes + cut.reduce((sum, edge) => sum + edge.bytes, 0),
          connections: rest.connections + cut.reduce((sum, edge) => sum + edge.connections, 0),
          retransmits: rest.retransmits + cut.reduce((sum, { views }) => sum + (views.from ?? views.to ?? noView).segmentsRetransmitted, 0),
        },
        resolved: { addresses: book.size, ambiguous: [...book.values()].filter(({ kind }) => kind === "ambiguous").length },
        rowsRead: execution.rowsRead + rowsOfBook,
        elapsedMs: execution.elapsedMs,
      },
      nodes: nodes.filter(({ id }) => used.has(id)),
      edges: shown,
    };
  }

  /**
   * The addresses of all hosts of the caller's organisation, whichever the filter means: far ends are resolved too.
   * @param onRead hears how many rows were read, unless somebody else had them read
   */
  private book(caller: Caller, fromMs: number, toMs: number, onRead: (rows: number) => void): Promise<Book> {
    // Hosts say their facts in the first window of each hour and when they change.
    const hourMs = Math.floor(fromMs / HOUR_MS) * HOUR_MS;
    // Whole hours, so that ranges that end now share what was read; nothing is reported of the future.
    const endMs = Math.ceil(toMs / HOUR_MS) * HOUR_MS;
    return this.books.get(
      JSON.stringify([caller.organisationId, hourMs, endMs]),
      async () => {
        // Not this caller's to cancel: others may wait for it.
        const execution = this.executor.begin(caller);
        const { plan, sources } = await execution.facts({ where: `fact:${ADDRESS_FACT}*`, fromMs: hourMs - HOUR_MS, toMs: endMs });
        // Apart, as what is rolled up already is read again only when something was written to it.
        const parts = [sources.filter(({ level }) => level !== "raw"), sources.filter(({ level }) => level === "raw")].filter(
          (part) => part.length > 0,
        );
        const rows = await Promise.all(parts.map((part) => execution.run<AddressesRow>(addressesStatement(plan, part, hourMs))));
        onRead(execution.rowsRead);
        return addressBook(rows.flat());
      },
      performance.now(),
    );
  }
}

/** What each end saw of the pairs. */
async function readDetails(plan: Plan, sources: readonly Source[], ends: Ends, pairs: readonly PairRow[], execution: Execution): Promise<Details> {
  const hostsOf = (end: string): string[] => {
    const { kind, value } = readEnd(end);
    return kind === "host" ? [value] : [];
  };
  const both = [...new Set(pairs.flatMap(({ a, b }) => [...hostsOf(a), ...hostsOf(b)]))];
  // Of tags the hosts behind a pair are not known; a filter on more than hosts says nothing about far ends.
  const isByHost = ends.grain.kind !== "tag";
  const scoped: Plan = { ...plan, hosts: !isByHost ? plan.hosts : plan.filters.length === 0 ? both : intersection(both, plan.hosts) };
  // Of hosts and tags the pairs say it all already, unless far ends were left out by a filter on hosts.
  const isFine = ends.grain.kind === "process" || ends.grain.kind === "unit";
  const isSaidByPairs = !isFine && (plan.hosts === null || plan.filters.length > 0 || !isByHost);
  const servers = [...new Set(pairs.filter(({ direction }) => direction === "client-server").flatMap(({ b }) => hostsOf(b)))];
  const ofServers: Plan = { ...plan, hosts: servers };
  const [traffic, roundTrips, failures, accepts, drops] = await Promise.all([
    isSaidByPairs ? trafficOf(pairs) : execution.run<TrafficRow>(trafficStatement(scoped, sources, ends, pairs)),
    execution.run<RoundTripRow>(roundTripStatement(scoped, sources, ends, pairs)),
    execution.run<FailureRow>(failuresStatement(scoped, sources, ends, pairs)),
    execution.run<ListenerRow>(servers.length === 0 ? null : acceptStatement(ofServers, sources, ends)),
    execution.run<ListenerRow>(servers.length === 0 ? null : listenDropsStatement(ofServers, sources, ends)),
  ]);
  return { traffic, roundTrips, failures, accepts, drops };
}

/** @param by checked by the schema */
function grainOf(by: string, known: readonly KnownHost[]): Grain {
  if (by === "host" || by === "process" || by === "unit") return { kind: by };
  const valued = known.map((host): [string, string] => [host.id, hostValue(host, by)]);
  return { kind: "tag", values: new Map(valued.filter(([, value]) => value !== "")) };
}

/** What both ends of pairs saw, out of the rows that ranked them. */
function trafficOf(pairs: readonly PairRow[]): TrafficRow[] {
  return pairs.flatMap((pair) =>
    (["a", "b"] as const)
      .filter((side) => Number(pair[`${side}_rows`]) > 0)
      .map((side) => ({
        a: pair.a,
        b: pair.b,
        direction: pair.direction,
        side,
        service: "",
        who: "",
        sent: pair[`${side}_sent`],
        received: pair[`${side}_received`],
        segments: pair[`${side}_segments`],
        again: pair[`${side}_again`],
        begun: pair[`${side}_begun`],
        closed_window: pair[`${side}_closed_window`],
      })),
  );
}

const nothing: Details = { traffic: [], roundTrips: [], failures: [], accepts: [], drops: [] };
const noView = { segmentsRetransmitted: 0 };

/** Asked by host, so that host rows are read: fleet rows have no peers. */
function queryOf({
  where,
  from,
  to,
  limit,
}: Pick<TopologyParameters, "where" | "limit"> & { readonly from: string | number; readonly to: string | number }) {
  return { signal: "tcp_connections", select: [{ measure: "bytes_sent", aggregate: "sum" }], by: ["host"], where, from, to, limit };
}

function intersection(some: readonly string[], others: readonly string[] | null): readonly string[] {
  if (others === null) return some;
  const set = new Set(others);
  return some.filter((entry) => set.has(entry));
}
