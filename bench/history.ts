// SPDX-License-Identifier: Apache-2.0
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { flowsAndCalls } from "../apps/simulator/src/workload/selection.ts";
import { freePort } from "../packages/clickhouse-embedded/src/ports.ts";
import { DATABASE, startClickHouseServer } from "../packages/clickhouse-embedded/src/server.ts";
import { catalogue, signalTables } from "../packages/signals/src/index.ts";
import { type ApiProcess, startApi } from "./server.ts";

const HOUR_MS = 3_600_000;
/** The simulator starts anew for each stretch; an interrupted one is sent again, which changes nothing: rows are named by what they measured. */
const STRETCH_HOURS = 4;
/** Half-filled history that is older would have gaps where raw rows are refused as too old. */
const RESUMABLE_MS = 24 * HOUR_MS;
const QUIET_CHECKS = 5;
const CHECK_MS = 2_000;

export interface HistoryOptions {
  readonly hosts: number;
  readonly hours: number;
  /** How many of them, the newest, go through the wire and are rolled up by the server. The older are copies of these, made inside ClickHouse at the rolled-up levels. */
  readonly wireHours: number;
  readonly rows: number;
  readonly dataDirectory: string | undefined;
}

/** A fleet's past in a database of its own, rolled up, behind the API. */
export interface History extends AsyncDisposable {
  readonly api: ApiProcess;
  readonly fromMs: number;
  /** A full hour. */
  readonly toMs: number;
  readonly dataDirectory: string;
  readonly clickhousePid: number;
  /** How long it took to fill and to be rolled up; null: it was there. */
  readonly fillSeconds: number | null;
  select<Row>(sql: string): Promise<Row[]>;
}

interface FillState {
  readonly hosts: number;
  readonly hours: number;
  readonly wireHours: number;
  readonly rows: number;
  readonly fromMs: number;
  readonly toMs: number;
  filledUntilMs: number;
  /** Everything from here on is there, by the wire or as a copy. */
  copiedFromMs: number;
}

/**
 * Opens the history, and first fills it through the simulator and the real wire where it is missing or was interrupted.
 * @throws Error in words when the directory holds another history
 */
export async function openHistory(options: HistoryOptions): Promise<History> {
  const dataDirectory = resolve(
    options.dataDirectory ??
      join(import.meta.dirname, "../.waggle/bench", `query-${options.hosts}x${options.hours}-${options.wireHours}x${options.rows}`),
  );
  mkdirSync(dataDirectory, { recursive: true, mode: 0o700 });
  const stateFile = join(dataDirectory, "history.json");
  const state = readState(stateFile, options);
  const clickhouse = await startClickHouseServer({ dataDirectory: join(dataDirectory, "clickhouse"), httpPort: await freePort() });
  const stop: (() => PromiseLike<unknown>)[] = [() => clickhouse.stop()];
  const dispose = async (): Promise<void> => {
    for (const end of stop.toReversed()) await end();
  };
  try {
    const url = new URL(clickhouse.url);
    url.username = clickhouse.username;
    url.password = clickhouse.password;
    const api = await startApi({ url: url.href, database: DATABASE }, { keptDirectory: join(dataDirectory, "api") });
    stop.push(() => api[Symbol.asyncDispose]());
    const select = async <Row>(sql: string): Promise<Row[]> => {
      const authorization = `Basic ${Buffer.from(`${clickhouse.username}:${clickhouse.password}`).toString("base64")}`;
      const response = await fetch(`${clickhouse.url}/?database=${DATABASE}&output_format_json_quote_64bit_integers=0`, {
        method: "POST",
        headers: { authorization },
        body: sql.startsWith("INSERT") ? sql : `${sql} FORMAT JSON`,
      });
      if (!response.ok) throw new Error(await response.text());
      if (sql.startsWith("INSERT")) return [];
      return ((await response.json()) as { data: Row[] }).data;
    };
    const began = performance.now();
    const isThere = state.filledUntilMs >= state.toMs;
    while (state.filledUntilMs < state.toMs) {
      const untilMs = Math.min(state.toMs, state.filledUntilMs + STRETCH_HOURS * HOUR_MS);
      say(`filling ${state.hosts} hosts, ${new Date(state.filledUntilMs).toISOString()} to ${new Date(untilMs).toISOString()}`);
      await simulate(api, state, untilMs, dataDirectory);
      state.filledUntilMs = untilMs;
      writeState(stateFile, state);
    }
    await untilRolledUp(api, state.toMs);
    for (; state.copiedFromMs > state.fromMs; state.copiedFromMs -= HOUR_MS, writeState(stateFile, state)) {
      say(`copying an hour to ${new Date(state.copiedFromMs - HOUR_MS).toISOString()}`);
      await copyHour(select, state, state.copiedFromMs - HOUR_MS);
    }
    await untilQuiet(select);
    const fillSeconds = isThere ? null : Math.round((performance.now() - began) / 1_000);
    return {
      api,
      fromMs: state.fromMs,
      toMs: state.toMs,
      dataDirectory,
      clickhousePid: clickhouse.pid,
      fillSeconds,
      select,
      [Symbol.asyncDispose]: dispose,
    };
  } catch (error) {
    await dispose();
    throw error;
  }
}

function readState(file: string, { hosts, hours, wireHours, rows }: HistoryOptions): FillState {
  if (existsSync(file)) {
    const state = JSON.parse(readFileSync(file, "utf8")) as FillState;
    if (state.hosts !== hosts || state.hours !== hours || state.wireHours !== wireHours || state.rows !== rows)
      throw new Error(`${file} is of ${state.hosts} hosts × ${state.hours} h × ${state.rows} rows; name another directory with --data`);
    if (state.copiedFromMs > state.fromMs && Date.now() - state.toMs > RESUMABLE_MS)
      throw new Error(`${file} was begun more than a day ago and never finished; delete its directory`);
    return state;
  }
  const toMs = Math.floor(Date.now() / HOUR_MS) * HOUR_MS;
  const wireFromMs = toMs - Math.min(hours, wireHours) * HOUR_MS;
  const state = { hosts, hours, wireHours, rows, fromMs: toMs - hours * HOUR_MS, toMs, filledUntilMs: wireFromMs, copiedFromMs: wireFromMs };
  writeState(file, state);
  return state;
}

function writeState(file: string, state: FillState): void {
  writeFileSync(`${file}.new`, JSON.stringify(state));
  renameSync(`${file}.new`, file);
}

async function simulate(api: ApiProcess, { hosts, rows, filledUntilMs }: FillState, untilMs: number, directory: string): Promise<void> {
  const tokenFile = join(directory, "enrolment-token");
  writeFileSync(tokenFile, api.enrolmentToken, { mode: 0o600 });
  const words = [
    ...["--api", api.ingestAddress, "--token-file", tokenFile, "--hosts", String(hosts), "--rows", String(rows), "--window", "60"],
    ...["--signals", flowsAndCalls.join()],
    ...["--from", new Date(filledUntilMs).toISOString(), "--until", new Date(untilMs).toISOString(), "--speed", "max"],
  ];
  const simulator = spawn(process.execPath, [resolve(import.meta.dirname, "../apps/simulator/dist/simulator.mjs"), ...words], {
    // Its progress goes where ours goes: standard output is the report's.
    stdio: ["ignore", 2, 2],
  });
  const [code] = (await once(simulator, "exit")) as [number | null];
  if (code !== 0) throw new Error(`the simulator ended with ${code}`);
}

/** Writes the hour at `atMs` at every rolled-up level, as a copy of the hour that went through the wire a multiple of `wireHours` later. */
async function copyHour(select: History["select"], { wireHours, toMs }: FillState, atMs: number): Promise<void> {
  const distance = Math.ceil((toMs - wireHours * HOUR_MS - atMs) / (wireHours * HOUR_MS)) * wireHours;
  for (const table of catalogue.flatMap((signal) => signalTables(signal)).filter(({ version }) => version !== null)) {
    const times = table.columns
      .filter(({ type }) => type.startsWith("DateTime64"))
      .map(({ name }) => `${name} - INTERVAL ${distance} HOUR AS ${name}`);
    const sourceMs = atMs + distance * HOUR_MS;
    await select(
      `INSERT INTO ${table.name} SELECT * REPLACE (${times.join(", ")}) FROM
        (SELECT * FROM ${table.name} WHERE ts >= fromUnixTimestamp64Milli(${sourceMs}) AND ts < fromUnixTimestamp64Milli(${sourceMs + HOUR_MS}))`,
    );
  }
}

/** Until every level has come to the end of the history and nothing waits to be rolled up again. */
async function untilRolledUp(api: ApiProcess, toMs: number): Promise<void> {
  for (let calm = 0, saidMs = 0; calm < QUIET_CHECKS; ) {
    const text = await (await fetch(`${api.restUrl}/metrics`)).text();
    const samples = (name: string): number[] => [...text.matchAll(new RegExp(`^${name}\\{[^}]*\\} (\\S+)$`, "gm"))].map((match) => Number(match[1]));
    const pending = samples("waggle_rollup_pending_buckets").reduce((sum, value) => sum + value, 0);
    const lags = samples("waggle_rollup_lag_seconds");
    const isComplete = lags.length === 4 && lags.every((seconds) => Date.now() - seconds * 1_000 >= toMs - 1_000);
    calm = isComplete && pending === 0 ? calm + 1 : 0;
    if (calm === 0 && performance.now() - saidMs > 20_000) {
      saidMs = performance.now();
      say(`${pending} buckets to be rolled up`);
    }
    await sleep(CHECK_MS);
  }
}

/** Until ClickHouse merges nothing any more, as a server that is left alone comes to. Nothing is optimized by hand. */
async function untilQuiet(select: History["select"]): Promise<void> {
  for (let calm = 0, saidMs = 0; calm < QUIET_CHECKS; ) {
    const [row] = await select<{ merges: number }>("SELECT count() AS merges FROM system.merges");
    calm = row?.merges === 0 ? calm + 1 : 0;
    if (calm === 0 && performance.now() - saidMs > 20_000) {
      saidMs = performance.now();
      say(`${row?.merges} merges run`);
    }
    await sleep(CHECK_MS);
  }
}

function say(text: string): void {
  console.error(text);
}
