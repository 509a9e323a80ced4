// SPDX-License-Identifier: Apache-2.0
import type { components, operations } from "./schema.gen";

/** Short names for what the REST API answers. Times are RFC 3339 in UTC; quantities carry their unit beside them. */
type Schemas = components["schemas"];

export type Host = Schemas["Host"];
export type HostList = operations["listHosts"]["responses"][200]["content"]["application/json"];
export type HostSignal = Host["signals"][number];
export type SignalState = HostSignal["state"];

/** An entry of the signal catalogue. */
export type Signal = Schemas["Signal"];

export type Session = operations["getSession"]["responses"][200]["content"]["application/json"];

export type Selection = Schemas["Query"]["select"][number];
export type Aggregate = Selection["aggregate"];

/** What is sent; the API fills in the rest. */
export type QueryBody = Pick<Schemas["Query"], "signal" | "select" | "from" | "to"> & Partial<Schemas["Query"]>;

/** One event of GET /live. */
export type LiveWindow = Schemas["LiveWindow"];

export type Coverage = Schemas["Coverage"];
export type MissingHost = Coverage["missing"][number];

export type QueryAnswer = Omit<Schemas["Answer"], "series"> & { readonly series: readonly Series[] };
export type QueryMeta = Schemas["Answer"]["meta"];

/** values[i] covers [from + i·step, + step). null: nobody reported; 0: reported, and nothing was counted. */
export type ValueSeries = Omit<Schemas["ValueSeries"], "aggregate"> & { readonly aggregate: Exclude<Aggregate, "heatmap"> };

/** Buckets bottom (fast) to top (slow), bounds in `unit`; cells[bucket][step]. */
export type HeatmapSeries = Schemas["HeatmapSeries"];

export type Series = ValueSeries | HeatmapSeries;

/** RFC 9457 problem as the API writes it, or one of the browser's own (no answer, no JSON) in the same form. */
export type Problem = Pick<Schemas["Problem"], "type" | "title" | "status" | "detail" | "requestId" | "errors" | "retryAfterMs"> & {
  readonly code: string;
  readonly retryable?: boolean;
};

export function isHeatmap(series: Series): series is HeatmapSeries {
  return series.aggregate === "heatmap";
}

export function isValues(series: Series): series is ValueSeries {
  return series.aggregate !== "heatmap";
}
