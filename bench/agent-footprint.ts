// SPDX-License-Identifier: Apache-2.0
import { execFileSync, spawn } from "node:child_process";
import { chmodSync, chownSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { StatusReport } from "../apps/agent/src/status/status-report.ts";
import { IngestServer } from "../apps/agent/test/support/ingest-server.ts";
import { Snapshot } from "../packages/proto/src/index.ts";
import { cpuSeconds, cpuSecondsByMode } from "./process.ts";
import type { BenchResult } from "./report.ts";

const RSS_LIMIT_BYTES = 90e6;
const CPU_LIMIT_RATIO = 0.005;
const KEYS_PER_WINDOW = 10_000;
const WINDOW_MS = 10_000;
/** Until a window is wholly under another load, and what the start took (the verifier, V8's compiler) is over. */
const SETTLE_WINDOWS = 3;
const WINDOWS = 18;
/** Names the load takes on trial, to find out how many keys one is worth here, and at most. */
const NAMES_TRIED = 50;
const NAMES_MAX = 1_000;
const START_SECONDS_MAX = 120;
/** Nobody's: what the agent runs as needs no name. */
const USER = 65_534;

interface Sample {
  readonly rss: number;
  readonly file: number;
  readonly anonymous: number;
}

/**
 * What the agent's process takes over some minutes in which its maps hold about 10,000 keys per window, all signals on, every window acknowledged. The machine's own
 * keys are among them: the load makes up what is missing, so on a machine that has more by itself it makes none.
 */
export async function run(): Promise<BenchResult> {
  const directory = mkdtempSync(join(tmpdir(), "waggle-footprint-"));
  const server = await new IngestServer().start();
  let bytes = 0;
  let frames = 0;
  const bytesBySignal = new Map<string, number>();
  server.verdict = (snapshot) => {
    for (const { signal, columns } of snapshot.blocks)
      bytesBySignal.set(signal, (bytesBySignal.get(signal) ?? 0) + columns.reduce((sum, column) => sum + column.length, 0));
    bytes += Snapshot.encode(snapshot).finish().length;
    frames++;
    // It keeps what it is sent, and nobody looks at that here.
    server.received.length = 0;
    server.acknowledged.length = 0;
    return "ack";
  };
  const agent = startAgent(directory, server.port);
  const binary = buildLoad(directory);
  let load: ReturnType<typeof spawn> | undefined;
  try {
    const statusFile = join(directory, "state/status.json");
    const status = (): StatusReport => JSON.parse(readFileSync(statusFile, "utf8")) as StatusReport;
    await until(() => existsSync(statusFile) && (status().lastWindow?.maps.length ?? 0) > 0);
    const pid = status().pid;
    const startSeconds = cpuSeconds(pid);
    /** Keys of a window that is wholly under the load that runs now. */
    const settledKeys = async (): Promise<number> => {
      await sleep(SETTLE_WINDOWS * WINDOW_MS);
      return keysOf(status().lastWindow);
    };
    const keysWithout = await settledKeys();
    load = startLoad(binary, directory, NAMES_TRIED);
    const keysPerName = Math.max(1, ((await settledKeys()) - keysWithout) / NAMES_TRIED);
    load.kill("SIGKILL");
    const names = Math.min(NAMES_MAX, Math.round(Math.max(0, KEYS_PER_WINDOW - keysWithout) / keysPerName));
    load = names === 0 ? undefined : startLoad(binary, directory, names);
    await settledKeys();
    bytes = 0;
    frames = 0;
    bytesBySignal.clear();
    const cpuBefore = cpuSecondsByMode(pid);
    const began = performance.now();
    const samples: Sample[] = [];
    const keys: number[] = [];
    const rows: number[] = [];
    for (let second = 0; second < (WINDOWS * WINDOW_MS) / 1_000; second++) {
      await sleep(1_000);
      samples.push(memoryOf(pid));
      const { lastWindow } = status();
      if (lastWindow === null) continue;
      keys.push(keysOf(lastWindow));
      rows.push(lastWindow.signals.reduce((sum, signal) => sum + signal.rows, 0));
    }
    const seconds = (performance.now() - began) / 1_000;
    const cpuAfter = cpuSecondsByMode(pid);
    const user = (cpuAfter.user - cpuBefore.user) / seconds;
    const system = (cpuAfter.system - cpuBefore.system) / seconds;
    const cpuRatio = user + system;
    const rssMax = Math.max(...samples.map(({ rss }) => rss));
    const average = (of: (sample: Sample) => number): number => mean(samples.map(of));
    const rssMean = average(({ rss }) => rss);
    const rssLimit = { what: "limit", value: RSS_LIMIT_BYTES / 1e6 };
    return {
      title: "The agent's process under 10,000 keys a window",
      method: `${WINDOWS} windows of 10 s, all signals on, as a user with CAP_BPF and CAP_PERFMON; memory every second. The machine had ${Math.round(keysWithout).toLocaleString("en-US")} keys a window of its own, and a load of ${loadavg()[0]?.toFixed(1)} on ${availableParallelism()} CPUs at the end.`,
      measurements: [
        { what: "keys read per window", value: mean(keys), unit: "keys", against: { what: "aim", value: KEYS_PER_WINDOW } },
        { what: "rows sent per window", value: mean(rows), unit: "rows" },
        { what: "bytes sent per window", value: bytes / Math.max(1, frames) / 1e3, unit: "kB" },
        { what: "resident memory, largest", value: rssMax / 1e6, unit: "MB", against: rssLimit },
        { what: "resident memory, mean", value: rssMean / 1e6, unit: "MB", against: rssLimit },
        { what: "of that pages of files", value: average(({ file }) => file) / 1e6, unit: "MB" },
        { what: "of that its own", value: average(({ anonymous }) => anonymous) / 1e6, unit: "MB" },
        { what: "CPU until the first window, all programs loaded", value: startSeconds, unit: "s" },
        { what: "CPU, user", value: user * 100, unit: "% of a core" },
        { what: "CPU, system", value: system * 100, unit: "% of a core" },
        { what: "CPU, user and system", value: cpuRatio * 100, unit: "% of a core", against: { what: "limit", value: CPU_LIMIT_RATIO * 100 } },
        { what: "CPU per key read", value: (cpuRatio * WINDOW_MS * 1_000) / Math.max(1, mean(keys)), unit: "µs" },
      ],
      json: {
        keysPerWindow: mean(keys),
        keysPerWindowWithoutLoad: keysWithout,
        rowsPerWindow: mean(rows),
        bytesPerWindow: bytes / Math.max(1, frames),
        bytesPerWindowBySignal: Object.fromEntries(
          [...bytesBySignal].toSorted(([, a], [, b]) => b - a).map(([signal, sum]) => [signal, Math.round(sum / Math.max(1, frames))]),
        ),
        rssBytesMax: rssMax,
        rssBytesMean: rssMean,
        fileBytesMean: average(({ file }) => file),
        anonymousBytesMean: average(({ anonymous }) => anonymous),
        cpuRatio,
        cpuUserRatio: user,
        cpuSystemRatio: system,
        cpuSecondsUntilFirstWindow: startSeconds,
        cpuUsPerKey: (cpuRatio * WINDOW_MS * 1_000) / Math.max(1, mean(keys)),
        rssRatio: rssMax / RSS_LIMIT_BYTES,
        cpuLimitRatio: cpuRatio / CPU_LIMIT_RATIO,
        limits: { RSS_LIMIT_BYTES, CPU_LIMIT_RATIO },
      },
    };
  } finally {
    load?.kill("SIGKILL");
    agent.kill("SIGTERM");
    await sleep(2_000);
    await server.stop();
    rmSync(directory, { recursive: true, force: true });
  }
}

function keysOf(window: StatusReport["lastWindow"]): number {
  return window?.maps.reduce((sum, { entries }) => sum + entries, 0) ?? 0;
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);
}

async function until(isSo: () => boolean): Promise<void> {
  for (let tries = 0; tries < START_SECONDS_MAX; tries++) {
    if (isSo()) return;
    await sleep(1_000);
  }
  throw new Error(`the agent has read no window of its maps within ${START_SECONDS_MAX} s`);
}

/** The bundle as it is installed, where its user may read it, started as it is to be started. */
function startAgent(directory: string, port: number): ReturnType<typeof spawn> {
  const root = join(import.meta.dirname, "..");
  execFileSync(process.execPath, [join(root, "apps/agent/build.ts")], { stdio: ["ignore", "ignore", "inherit"] });
  chmodSync(directory, 0o755);
  cpSync(join(root, "apps/agent/dist"), join(directory, "dist"), { recursive: true });
  cpSync(process.execPath, join(directory, "node"));
  const state = join(directory, "state");
  const token = join(directory, "token");
  mkdirSync(state);
  writeFileSync(token, "wgl_enr_good\n", { mode: 0o400 });
  for (const path of [state, token]) chownSync(path, USER, USER);
  const capabilities = "+bpf,+perfmon";
  return spawn(
    "setpriv",
    [
      `--reuid=${USER}`,
      `--regid=${USER}`,
      "--clear-groups",
      `--inh-caps=${capabilities}`,
      `--ambient-caps=${capabilities}`,
      "--pdeathsig=TERM",
      join(directory, "dist/waggle-agent"),
      "run",
    ],
    {
      stdio: ["ignore", "ignore", "inherit"],
      cwd: directory,
      env: {
        PATH: process.env["PATH"],
        NODE: join(directory, "node"),
        WAGGLE_AGENT_STATE_DIRECTORY: state,
        WAGGLE_AGENT_API_URL: `http://127.0.0.1:${port}`,
        WAGGLE_AGENT_ENROLMENT_TOKEN_FILE: token,
        WAGGLE_AGENT_LOG_LEVEL: "error",
        // Its price is what is measured, not what it does to lower it.
        WAGGLE_AGENT_CPU_BUDGET: "1000",
      },
    },
  );
}

function buildLoad(directory: string): string {
  const binary = join(directory, "load");
  execFileSync("cc", ["-O1", "-Wall", "-o", binary, join(import.meta.dirname, "agent-footprint-load.c")]);
  mkdirSync(join(directory, "files"));
  return binary;
}

/** Of the names each has five keys or more (a call and a bucket of its duration), of the files, of which there are twice as many, two or more. */
function startLoad(binary: string, directory: string, names: number): ReturnType<typeof spawn> {
  return spawn(binary, [String(names), String(names * 2), join(directory, "files")], { stdio: "ignore" });
}

function memoryOf(pid: number): Sample {
  const text = readFileSync(`/proc/${pid}/status`, "utf8");
  const of = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(text)?.[1]) * 1_024;
  return { rss: of("VmRSS"), file: of("RssFile"), anonymous: of("RssAnon") };
}
