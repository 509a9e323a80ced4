// SPDX-License-Identifier: Apache-2.0
"use client";

import { keepPreviousData, type UseQueryResult, useQuery } from "@tanstack/react-query";
import { type Filter, formatTerm, literal } from "@waggle/query";
import { filterFor } from "../page-filter";
import { pointsFor, rangeBefore } from "../time-range";
import { useView } from "../view";
import { type ApiError, fetchHost, fetchHosts, fetchSignals, runQuery } from "./client";
import type { Host, QueryAnswer, QueryBody, Selection, Signal } from "./types";

/** What a panel asks; the view adds range, filter and resolution. */
export interface PanelQuery {
  readonly signal: string;
  readonly select: readonly Selection[];
  readonly by?: readonly string[];
  readonly limit?: number;
  /** `series`: as many points as the chart can show. `total`: one value over the whole range. */
  readonly shape: "series" | "total";
  /** Only this host, whatever the filter says. */
  readonly host?: string;
  /** Only what these terms pick, whatever the filter says. */
  readonly where?: readonly Filter[];
  /** The equally long range before. */
  readonly before?: boolean;
  readonly enabled?: boolean;
}

export interface PanelResult {
  readonly result: UseQueryResult<QueryAnswer, ApiError>;
  readonly body: QueryBody;
  /** The user's filter as far as the signal can answer it. */
  readonly filter: string;
  /** Terms of the filter that the signal has no dimension for. */
  readonly ignored: readonly string[];
}

export function useSignals(): UseQueryResult<readonly Signal[], ApiError> {
  return useQuery({ queryKey: ["signals"], queryFn: ({ signal }) => fetchSignals(signal), staleTime: 300_000, gcTime: 600_000 });
}

export function usePanelQuery(query: PanelQuery): PanelResult {
  const view = useView();
  const signals = useSignals();
  const signal = signals.data?.find((s) => s.name === query.signal);
  const { where: filter, ignored } = signal && signals.data ? filterFor(view.filter, signal, signals.data) : { where: view.filter, ignored: [] };
  const range = query.before ? rangeBefore(view.range) : view.range;
  const own = [...(query.host === undefined ? [] : [literal("host", query.host)]), ...(query.where ?? [])];
  const where = [...own.map((term) => formatTerm(term)), filter].filter((t) => t !== "").join(" ");
  const body: QueryBody = {
    signal: query.signal,
    select: query.select,
    ...(query.by && query.by.length > 0 ? { by: query.by } : {}),
    ...(where !== "" ? { where } : {}),
    from: range.fromMs,
    to: range.toMs,
    points: query.shape === "total" ? 1 : pointsFor(range),
    ...(query.limit !== undefined ? { limit: query.limit } : {}),
  };
  // With a filter, the query waits until it is known which of its terms apply; if the catalogue can't be had, all do.
  const ready = view.filter === "" || !signals.isPending;
  const result = useQuery<QueryAnswer, ApiError>({
    queryKey: ["query", body],
    queryFn: ({ signal }) => runQuery(body, signal),
    enabled: (query.enabled ?? true) && ready,
    placeholderData: keepPreviousData,
  });
  return { result, body, filter, ignored };
}

/** Host states, as fresh as the charts beside them. */
export function useHosts(): UseQueryResult<readonly Host[], ApiError> {
  const view = useView();
  return useQuery({
    queryKey: ["hosts", view.live ? view.nowMs : "held"],
    queryFn: ({ signal }) => fetchHosts(signal),
    placeholderData: keepPreviousData,
  });
}

export function useHost(idOrName: string): UseQueryResult<Host, ApiError> {
  const view = useView();
  return useQuery({
    queryKey: ["host", idOrName, view.live ? view.nowMs : "held"],
    queryFn: ({ signal }) => fetchHost(idOrName, signal),
    placeholderData: (previous, query) => (query?.queryKey[1] === idOrName ? previous : undefined),
  });
}
