// SPDX-License-Identifier: Apache-2.0
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { withTestClickHouse } from "../packages/clickhouse-embedded/src/testing.ts";
import type { BenchResult } from "./report.ts";
import { type ApiProcess, startApi } from "./server.ts";

const HOSTS = 20;
const WINDOWS = 360;
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

/** History goes in the way a fleet sends it. */
async function fill(api: ApiProcess): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "waggle-bench-fill-"));
  const tokenFile = join(directory, "token");
  writeFileSync(tokenFile, api.enrolmentToken, { mode: 0o600 });
  const words = ["--api", api.ingestAddress, "--token-file", tokenFile, "--hosts", String(HOSTS), "--backfill", "60", "--until", "now"];
  const simulator = spawn(process.execPath, [resolve(import.meta.dirname, "../apps/simulator/dist/simulator.mjs"), ...words], {
    stdio: ["ignore", "ignore", "inherit"],
  });
  const [code] = (await once(simulator, "exit")) as [number | null];
  rmSync(directory, { recursive: true });
  if (code !== 0) throw new Error(`the simulator ended with ${code}`);
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
