// SPDX-License-Identifier: Apache-2.0
import { connect, enrol, HostStream } from "../apps/simulator/src/connection.ts";
import { makeFleet } from "../apps/simulator/src/fleet.ts";
import { simulateWindow } from "../apps/simulator/src/workload.ts";
import { withTestClickHouse } from "../packages/clickhouse-embedded/src/testing.ts";
import type { BenchResult } from "./report.ts";
import { type ApiProcess, startApi } from "./server.ts";

const HOSTS = 20;
const WINDOWS = 360;
const WINDOW_MS = 10_000;
const RUNS = 11;
/** What a person waits for without noticing. */
const LIMIT_MS = 200;

const oneHour = { from: "now-1h", to: "now" };
const queries: Readonly<Record<string, Record<string, unknown>>> = {
  rttPercentilesOneHost: {
    signal: "tcp_rtt",
    select: ["p50", "p99"].map((aggregate) => ({ measure: "rtt", aggregate })),
    where: "host:sim-web-01",
    ...oneHour,
  },
  rttHeatMapOneHost: { signal: "tcp_rtt", select: [{ measure: "rtt", aggregate: "heatmap" }], where: "host:sim-web-01", points: 150, ...oneHour },
  rttPercentilesFleet: { signal: "tcp_rtt", select: ["p50", "p99"].map((aggregate) => ({ measure: "rtt", aggregate })), ...oneHour },
  retransmitsByProcess: { signal: "tcp_retransmits", select: [{ measure: "segments", aggregate: "rate" }], by: ["process"], ...oneHour },
  rttByHost: { signal: "tcp_rtt", select: [{ measure: "rtt", aggregate: "p99" }], by: ["host"], points: 1, limit: 100, ...oneHour },
  syscallLatencyByProcess: {
    signal: "syscall_latency",
    select: [{ measure: "latency", aggregate: "p99" }],
    by: ["process", "syscall"],
    points: 1,
    limit: 100,
    ...oneHour,
  },
};

/** The queries of the pages over REST, on an hour of a simulated fleet that went in through the real wire. */
export async function run(): Promise<BenchResult> {
  await using clickhouse = await withTestClickHouse();
  await using api = await startApi(clickhouse);
  await fill(api);
  const results = [];
  for (const [name, query] of Object.entries(queries)) {
    const coldMs = (await ask(api, query)).milliseconds;
    const runs = [];
    for (let index = 0; index < RUNS; index++) runs.push(await ask(api, query));
    const times = runs.map((run) => run.milliseconds).sort((a, b) => a - b);
    results.push({ name, medianMs: at(times, 0.5), p95Ms: at(times, 0.95), coldMs, rowsRead: runs[0]?.rowsRead ?? 0 });
  }
  return {
    title: "Queries",
    method: `${HOSTS} simulated hosts × ${WINDOWS} windows of 10 s, ${RUNS} runs each over REST.`,
    measurements: results.map(({ name, medianMs }) => ({
      what: `${name}, median`,
      value: medianMs,
      unit: "ms",
      against: { what: "limit", value: LIMIT_MS },
    })),
    json: { queries: results, hosts: HOSTS, windows: WINDOWS },
  };
}

const at = (sorted: readonly number[], q: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] as number;

async function fill(api: ApiProcess): Promise<void> {
  const client = connect(api.ingestAddress);
  const newestMs = Math.floor(Date.now() / WINDOW_MS) * WINDOW_MS - WINDOW_MS;
  await Promise.all(
    makeFleet(1, HOSTS).map(async (host) => {
      const stream = new HostStream(client, await enrol(client, api.enrolmentToken, host), host, WINDOW_MS);
      const { framesInFlightMax } = await stream.ready;
      const inFlight = new Set<Promise<void>>();
      for (let window = WINDOWS - 1; window >= 0; window--) {
        while (inFlight.size >= framesInFlightMax) await Promise.race(inFlight);
        const startMs = newestMs - window * WINDOW_MS;
        const sent = stream.send(startMs, WINDOW_MS, simulateWindow(1, host, startMs, WINDOW_MS)).finally(() => inFlight.delete(sent));
        inFlight.add(sent);
      }
      await Promise.all(inFlight);
    }),
  );
  client.close();
}

async function ask(api: ApiProcess, query: Record<string, unknown>): Promise<{ milliseconds: number; rowsRead: number }> {
  const began = performance.now();
  const response = await fetch(`${api.restUrl}/api/v1/query`, {
    method: "POST",
    headers: { authorization: `Bearer ${api.adminToken}`, "content-type": "application/json" },
    body: JSON.stringify(query),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`query answered ${response.status}: ${text}`);
  const answer = JSON.parse(text) as { meta: { rowsRead: number }; series: unknown[] };
  if (answer.series.length === 0) throw new Error(`no series for ${JSON.stringify(query)}`);
  return { milliseconds: performance.now() - began, rowsRead: answer.meta.rowsRead };
}
