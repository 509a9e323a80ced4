// SPDX-License-Identifier: Apache-2.0
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { TestEventSource } from "../../../test/event-source.ts";
import { startTestApi, type TestApi, TestOrganisation } from "../../../test/test-api.ts";
import type { AuditPage } from "../audit/audit.schemas.ts";
import { IngestServer } from "../ingest/ingest.grpc.ts";
import type { HostSettingsReport } from "./host-settings.schemas.ts";

/** The real agent under the real API: what is said over REST is what the host does, until something else is said. */
const main = join(import.meta.dirname, "../../../../agent/src/main.ts");
let api: TestApi;
let organisation: TestOrganisation;
let directory: string;
let child: ChildProcess | undefined;

beforeAll(async () => {
  api = await startTestApi();
  organisation = await TestOrganisation.create(api);
  directory = mkdtempSync(join(tmpdir(), "waggle-control-"));
  writeFileSync(join(directory, "token"), organisation.enrolmentToken);
});
afterAll(async () => {
  await stopAgent();
  await api?.[Symbol.asyncDispose]();
  rmSync(directory, { recursive: true, force: true });
});

/** Without BPF objects: what is made out of /proc is enough to see what is told. */
function startAgent(): void {
  child = spawn(process.execPath, [main, "run"], {
    stdio: "ignore",
    env: {
      PATH: process.env["PATH"],
      WAGGLE_AGENT_API_URL: `http://127.0.0.1:${api.app.get(IngestServer).port}`,
      WAGGLE_AGENT_STATE_DIRECTORY: join(directory, "agent"),
      WAGGLE_AGENT_ENROLMENT_TOKEN_FILE: join(directory, "token"),
      WAGGLE_AGENT_BPF_DIRECTORY: join(directory, "no-objects"),
      WAGGLE_AGENT_WINDOW_MS: "3000",
    },
  });
}

async function stopAgent(): Promise<void> {
  if (child === undefined || child.exitCode !== null) return;
  child.kill("SIGTERM");
  await once(child, "exit");
}

const until = (condition: () => Promise<void>) => vi.waitFor(condition, { timeout: 60_000, interval: 250 });

async function change(path: string, body: unknown): Promise<HostSettingsReport> {
  const response = await organisation.request(path, { method: "PATCH", body });
  expect(response.status).toBe(200);
  return (await response.json()) as HostSettingsReport;
}

/** Lengths of the windows that started behind `sinceMs`, in order, and what each says of `host_load`. */
async function windowsSince(sinceMs: number): Promise<{ start: number; length: number; state: string; rows: number }[]> {
  const rowsOf = async <Row>(query: string): Promise<Row[]> =>
    (
      await api.clickhouse.client.query({
        query,
        query_params: { tenant: organisation.id, since: Math.round(sinceMs) },
        format: "JSONEachRow",
      })
    ).json<Row>();
  const range = "tenant = {tenant:String} AND ts > fromUnixTimestamp64Milli({since:Int64}, 'UTC')";
  // Only what was accepted as a whole, and its other rows after that.
  const windows = await rowsOf<{ start: string; length: number; state: string }>(
    `SELECT toUnixTimestamp64Milli(ts) AS start, any(window_ms) AS length, any(toString(state)) AS state
      FROM agent_coverage FINAL WHERE ${range} AND signal = 'host_load' AND ts GLOBAL IN (SELECT ts FROM windows WHERE ${range}) GROUP BY start ORDER BY start`,
  );
  const loads = await rowsOf<{ start: string; rows: string }>(
    `SELECT toUnixTimestamp64Milli(ts) AS start, count() AS rows FROM host_load FINAL WHERE ${range} GROUP BY start`,
  );
  const rows = new Map(loads.map((load) => [load.start, Number(load.rows)]));
  return windows.map(({ start, length, state }) => ({ start: Number(start), length, state, rows: rows.get(start) ?? 0 }));
}

/**
 * Waits for the agent's acknowledgement, and then for three windows of the wanted length behind it. A busy machine ends a window late now and then, and a start
 * is in the middle of one: those have lengths of their own.
 */
async function windowsUnder(path: string, revision: number, lengthMs: number) {
  await until(async () => {
    expect(await (await organisation.request(path)).json()).toMatchObject({ state: "in_force", applied: { revision } });
  });
  // The window under way keeps the length it began with.
  const sinceMs = Date.now() + 3_000;
  let windows: Awaited<ReturnType<typeof windowsSince>> = [];
  await until(async () => {
    windows = await windowsSince(sinceMs);
    expect(windows.filter(({ length }) => length === lengthMs).length).toBeGreaterThanOrEqual(3);
  });
  return windows;
}

describe("settings said over REST", () => {
  it("hold on the host without a restart, survive one, are taken back, and are in the audit", async () => {
    startAgent();
    let path = "";
    await until(async () => {
      const { data } = (await (await organisation.request("/hosts")).json()) as { data: { id: string; state: string }[] };
      expect(data).toMatchObject([{ state: "reporting" }]);
      path = `/hosts/${data[0]?.id}/settings`;
    });
    const pid = child?.pid;

    const short = await change(path, { windowMs: 1_000, signalsOff: ["host_load"] });
    const shortWindows = await windowsUnder(path, short.revision, 1_000);
    expect(shortWindows.every((window) => window.state === "disabled" && window.rows === 0)).toBe(true);

    const on = await change(path, { signalsOff: null });
    const onWindows = await windowsUnder(path, on.revision, 1_000);
    expect(onWindows.every((window) => window.state === "exact" && window.rows > 0)).toBe(true);
    expect(child?.pid).toBe(pid);
    expect(child?.exitCode).toBeNull();

    await stopAgent();
    startAgent();
    const restarted = await windowsUnder(path, on.revision, 1_000);
    expect(restarted.filter(({ length }) => length === 3_000)).toEqual([]);

    const back = await change(path, { windowMs: null });
    const backWindows = await windowsUnder(path, back.revision, 3_000);
    expect(backWindows.filter(({ length }) => length === 1_000)).toEqual([]);

    const audit = (await (await organisation.request("/audit")).json()) as AuditPage;
    expect(audit.data.map(({ after }) => after)).toEqual([{ windowMs: null }, { signalsOff: null }, { windowMs: 1_000, signalsOff: ["host_load"] }]);
  }, 300_000);
});

describe("a host that somebody looks at", () => {
  it("has windows of a second meanwhile, each pushed as it is complete, and then those it had", async () => {
    if (child?.exitCode !== null) startAgent();
    let name = "";
    await until(async () => {
      const { data } = (await (await organisation.request("/hosts")).json()) as { data: { name: string; state: string }[] };
      expect(data).toMatchObject([{ state: "reporting" }]);
      name = data[0]?.name ?? "";
    });
    const source = await TestEventSource.open(`${api.url}/api/v1/live?host=${name}&signal=host_load&select=load_1m:last`, {
      authorization: `Bearer ${organisation.adminToken}`,
    });
    let seconds = 0;
    while (seconds < 5) {
      const { data } = await source.next("window");
      const values = data.answer.series.flatMap((series: { values: (number | null)[] }) => series.values);
      if (data.stepSeconds === 1) seconds += values.filter((value: number | null) => value !== null).length;
    }
    source.close();
    // Let go 3 s after the last one left.
    const sinceMs = Date.now() + 8_000;
    await until(async () => {
      const lengths = (await windowsSince(sinceMs)).map(({ length }) => length);
      expect(lengths.filter((length) => length === 3_000).length).toBeGreaterThanOrEqual(2);
      expect(lengths).not.toContain(1_000);
    });
  }, 180_000);
});
