// SPDX-License-Identifier: Apache-2.0

/** What the REST API under /api/v1 answers. Times are RFC 3339 in UTC; durations and quantities carry their unit beside them. */

export type HostState = "reporting" | "late" | "offline" | "waiting";

export type SignalState = "exact" | "fallback" | "sampled" | "shed" | "disabled" | "unsupported" | "failed" | "unknown";

export interface HostSignal {
  readonly name: string;
  readonly state: SignalState;
  /** Why the signal isn't exact, in words; empty when it is. */
  readonly reason: string;
}

export interface HostAgent {
  readonly rssBytes: number | null;
  /** Share of one core spent in the agent's process (1 = a whole core). */
  readonly cpuRatio: number | null;
  /** Share of one core spent in the BPF programs. */
  readonly kernelRatio: number | null;
  readonly mapBytes: number | null;
  readonly spoolFrames: number | null;
  readonly refusedFrames: number | null;
}

export interface Host {
  readonly id: string;
  readonly name: string;
  readonly state: HostState;
  readonly lastSeenAt: string | null;
  readonly stateSince: string | null;
  readonly enrolledAt: string;
  readonly bootId: string;
  readonly kernel: string;
  readonly distro: string;
  readonly arch: string;
  readonly cpus: number;
  readonly memoryBytes: number;
  readonly agentVersion: string;
  readonly windowSeconds: number;
  readonly clockOffsetMs: number | null;
  readonly signals: readonly HostSignal[];
  readonly agent: HostAgent;
}

export interface Session {
  readonly organisation: { readonly id: string; readonly name: string };
  readonly scopes: readonly string[];
}

/** An entry of the signal catalogue, as far as pages use it. */
export interface Signal {
  readonly name: string;
  readonly kind: string;
  readonly unit: string;
  readonly question: string;
  readonly help: string;
  readonly dimensions: readonly { readonly name: string; readonly help: string }[];
}

export type Aggregate =
  | "sum"
  | "rate"
  | "last"
  | "min"
  | "max"
  | "avg"
  | "count"
  | "p50"
  | "p75"
  | "p90"
  | "p95"
  | "p99"
  | "p99.9"
  | "heatmap";

export interface Selection {
  readonly measure: string;
  readonly aggregate: Aggregate;
}

export interface QueryBody {
  readonly signal: string;
  readonly select: readonly Selection[];
  readonly by?: readonly string[];
  readonly where?: string;
  /** Epoch milliseconds, or the relative and RFC 3339 forms the API reads. */
  readonly from: number | string;
  readonly to: number | string;
  readonly points?: number;
  readonly limit?: number;
}

export interface MissingHost {
  readonly host: string;
  readonly reason: string;
  readonly state: string;
  readonly since: string | null;
}

export interface Coverage {
  /** Hosts expected in the range. */
  readonly hosts: number;
  readonly reporting: number;
  readonly missing: readonly MissingHost[];
  /** Per step: present share of the expected host-windows, 0..1. */
  readonly steps: readonly number[];
  readonly note?: string | null;
}

export interface QueryMeta {
  readonly signal: string;
  readonly from: string;
  readonly to: string;
  readonly stepSeconds: number;
  readonly points: number;
  readonly unit: string;
  readonly errorBound?: number | null;
  readonly coverage: Coverage;
  readonly truncated: { readonly shown: number; readonly total: number } | null;
  readonly rowsRead: number;
  readonly elapsedMs: number;
}

export interface ValueSeries {
  readonly measure: string;
  readonly aggregate: Exclude<Aggregate, "heatmap">;
  readonly unit: string;
  readonly labels: Readonly<Record<string, string>>;
  /** values[i] covers [from + i·step, + step). null: nobody reported; 0: reported, and nothing was counted. */
  readonly values: readonly (number | null)[];
}

export interface HeatmapSeries {
  readonly measure: string;
  readonly aggregate: "heatmap";
  readonly unit: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Bottom (fast) to top (slow), bounds in `unit`. */
  readonly buckets: readonly { readonly lower: number; readonly upper: number }[];
  /** cells[bucket][step]. */
  readonly cells: readonly (readonly (number | null)[])[];
}

export type Series = ValueSeries | HeatmapSeries;

export interface QueryAnswer {
  readonly meta: QueryMeta;
  readonly series: readonly Series[];
}

/** RFC 9457 problem as the API writes it. */
export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly code: string;
  readonly requestId: string;
  readonly errors?: readonly { readonly pointer: string; readonly detail: string; readonly suggestion?: string }[];
  readonly retryable?: boolean;
  readonly retryAfterMs?: number;
}

export function isHeatmap(series: Series): series is HeatmapSeries {
  return series.aggregate === "heatmap";
}

export function isValues(series: Series): series is ValueSeries {
  return series.aggregate !== "heatmap";
}
