// SPDX-License-Identifier: Apache-2.0
import { fork } from "node:child_process";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { FleetOrder, FleetReport } from "./fleet.ts";
import { bodyOf, fleetPage, hostPage, type PageQuery } from "./page-queries.ts";
import type { ApiProcess } from "./server.ts";
import { quantile } from "./statistics.ts";

const DASHBOARDS = 50;
const HOUR_MS = 3_600_000;
/** As often as a page that follows the present asks again. */
const REFRESH_MS = 10_000;
/** All dashboards are opened within one refresh; what they have never asked before is read by then, and what waited for it answered. */
const OPENING_MS = 3 * REFRESH_MS;
/** A browser's connections to one origin. */
const AT_ONCE = 6;
const WINDOW_MS = 10_000;
const WINDOWS = 7;
/** 100 hosts × 5,000 rows × 0.1 windows/s. */
const INGEST = { hosts: 100, rowsPerFrame: 5_000, spreadMs: 5_000 };
export const INGEST_ROWS_PER_SECOND = (INGEST.hosts * INGEST.rowsPerFrame * 1_000) / WINDOW_MS;
export const DASHBOARD_QUERY_MS_MAX = 2_000;

export interface IngestedBeside {
  readonly rowsPerSecond: number;
  readonly acknowledged: number;
  readonly deferred: number;
  readonly unanswered: number;
  readonly ackMs: { readonly p50: number; readonly p99: number; readonly max: number };
}

interface Times {
  readonly median: number;
  readonly p95: number;
  readonly max: number;
}

export interface DashboardsResult {
  readonly dashboards: number;
  readonly cores: string;
  readonly queries: number;
  readonly failed: number;
  /** Why, most frequent first: HTTP status, the problem's code, and the first sentence of what it says. Status 0: no answer at all. */
  readonly failures: readonly { readonly status: number; readonly code: string; readonly detail: string; readonly count: number }[];
  readonly queryMs: Times;
  /** The same of queries that were asked after the dashboards had been open for 30 s. */
  readonly openQueryMs: Times;
  readonly slowest: readonly { readonly name: string; readonly ms: number }[];
  /** Time from one refresh to the next, of the dashboard that waited longest. */
  readonly refreshMsMax: number;
  readonly ingestAlone: IngestedBeside;
  readonly ingestBeside: IngestedBeside;
}

/** People who look at pages, half at the fleet and half at a host each, while agents deliver; and the same agents without them. */
export async function measureDashboards(api: ApiProcess, hosts: readonly string[]): Promise<DashboardsResult> {
  const ingestAlone = await ingest(api, async () => {});
  const times: { name: string; beganMs: number; ms: number }[] = [];
  const failures = new Map<string, { status: number; code: string; detail: string; count: number }>();
  const fail = (status: number, code: string, detail: string): void => {
    const key = `${status} ${code} ${detail}`;
    const known = failures.get(key) ?? { status, code, detail, count: 0 };
    failures.set(key, { ...known, count: known.count + 1 });
  };
  let refreshMsMax = 0;
  const ask = async (name: string, query: PageQuery): Promise<void> => {
    const now = Date.now();
    const began = performance.now();
    try {
      const response = await fetch(`${api.restUrl}/api/v1/query`, {
        method: "POST",
        headers: { authorization: `Bearer ${api.adminToken}`, "content-type": "application/json" },
        body: JSON.stringify(bodyOf(query, { fromMs: now - HOUR_MS, toMs: now, points: 180 })),
      });
      const text = await response.text();
      if (!response.ok) fail(response.status, ...problemOf(text));
    } catch (error) {
      fail(0, "NO_ANSWER", error instanceof Error ? error.message : String(error));
    }
    times.push({ name, beganMs: began, ms: performance.now() - began });
  };
  const look = async (page: Readonly<Record<string, PageQuery>>, kind: string, signal: AbortSignal): Promise<void> => {
    while (!signal.aborted) {
      const began = performance.now();
      const waiting = Object.entries(page);
      await Promise.all(
        Array.from({ length: AT_ONCE }, async () => {
          for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) await ask(`${kind}.${next[0]}`, next[1]);
        }),
      );
      const took = performance.now() - began;
      refreshMsMax = Math.max(refreshMsMax, took);
      await sleep(Math.max(0, REFRESH_MS - took), undefined, { signal }).catch(() => {});
    }
  };
  const ingestBeside = await ingest(api, async (signal) => {
    await Promise.all(
      Array.from({ length: DASHBOARDS }, async (_, index) => {
        // Pages ask at the same moment of a window, but not all in the same millisecond.
        await sleep((index / DASHBOARDS) * REFRESH_MS, undefined, { signal }).catch(() => {});
        const host = hosts[index % hosts.length] as string;
        await look(index % 2 === 0 ? fleetPage(host) : hostPage(host), index % 2 === 0 ? "fleet" : "host", signal);
      }),
    );
  });
  const openedMs = times.reduce((least, { beganMs }) => Math.min(least, beganMs), Number.POSITIVE_INFINITY) + OPENING_MS;
  return {
    dashboards: DASHBOARDS,
    cores: `${process.platform}, ${(await import("node:os")).availableParallelism()} cores for everything`,
    queries: times.length,
    failed: [...failures.values()].reduce((sum, { count }) => sum + count, 0),
    failures: [...failures.values()].sort((a, b) => b.count - a.count),
    queryMs: timesOf(times),
    openQueryMs: timesOf(times.filter(({ beganMs }) => beganMs >= openedMs)),
    slowest: times
      .sort((a, b) => b.ms - a.ms)
      .slice(0, 5)
      .map(({ name, ms }) => ({ name, ms: Math.round(ms) })),
    refreshMsMax: Math.round(refreshMsMax),
    ingestAlone,
    ingestBeside,
  };
}

function timesOf(queries: readonly { readonly ms: number }[]): Times {
  const sorted = queries.map(({ ms }) => ms).sort((a, b) => a - b);
  const at = (q: number): number => Math.round(quantile(sorted, q));
  return { median: at(0.5), p95: at(0.95), max: at(1) };
}

/** Code and first sentence of a problem, numbers left out: what is the same failure shall count as one. */
function problemOf(text: string): [code: string, detail: string] {
  try {
    const { code, detail } = JSON.parse(text) as { code?: string; detail?: string };
    const [sentence = ""] = (detail ?? "").split(/(?<=\.)\s/);
    return [code ?? "", sentence.replace(/\d[\d.,]*/g, "…")];
  } catch {
    return ["", text.slice(0, 100)];
  }
}

/** Agents that deliver for a minute, and what is done beside. */
async function ingest(api: ApiProcess, beside: (signal: AbortSignal) => Promise<void>): Promise<IngestedBeside> {
  const fleet = fork(join(import.meta.dirname, "fleet.ts"), { stdio: ["ignore", "ignore", "inherit", "ipc"] });
  const next = async (): Promise<FleetReport> =>
    new Promise((resolve, reject) => {
      fleet.once("message", (message) => resolve(message as FleetReport));
      fleet.once("exit", (code) => reject(new Error(`the agents' process ended with ${code}`)));
    });
  const over = new AbortController();
  try {
    const order: FleetOrder = {
      address: api.ingestAddress,
      enrolmentToken: api.enrolmentToken,
      hosts: INGEST.hosts,
      connections: INGEST.hosts,
      rowsPerFrame: INGEST.rowsPerFrame,
      windowMs: WINDOW_MS,
      windows: WINDOWS,
      spreadMs: INGEST.spreadMs,
    };
    fleet.send(order);
    const connected = await next();
    if (connected.phase !== "connected") throw new Error(`expected connected, the agents' process said ${connected.phase}`);
    const began = performance.now();
    const besides = beside(over.signal);
    const done = await next();
    if (done.phase !== "done") throw new Error(`expected done, the agents' process said ${done.phase}`);
    const seconds = (performance.now() - began) / 1_000;
    over.abort();
    await besides;
    const { acknowledged, deferred, unanswered, ackMs } = done;
    return {
      rowsPerSecond: Math.round((acknowledged * INGEST.rowsPerFrame) / Math.min(seconds, WINDOWS * (WINDOW_MS / 1_000))),
      acknowledged,
      deferred,
      unanswered,
      ackMs,
    };
  } finally {
    over.abort();
    fleet.kill();
  }
}
