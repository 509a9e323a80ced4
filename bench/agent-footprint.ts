// SPDX-License-Identifier: Apache-2.0
import { execFileSync, spawn } from "node:child_process";
import { chmodSync, chownSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { StatusReport } from "../apps/agent/src/status/status-report.ts";
import { IngestServer } from "../apps/agent/test/support/ingest-server.ts";
import { Snapshot } from "../packages/proto/src/index.ts";
import { cpuSeconds } from "./process.ts";
import type { BenchResult } from "./report.ts";

const RSS_LIMIT_BYTES = 90e6;
const CPU_LIMIT_RATIO = 0.005;
const KEYS_PER_WINDOW = 10_000;
const WINDOW_MS = 10_000;
/** What the start took (the verifier, V8's compiler) is not what the agent costs. */
const WARM_UP_WINDOWS = 3;
const WINDOWS = 18;
const START_SECONDS_MAX = 120;
/** Nobody's: what the agent runs as needs no name. */
const USER = 65_534;

interface Sample {
  readonly rss: number;
  readonly file: number;
  readonly anonymous: number;
}

/** What the agent's process takes over some minutes in which its maps hold 10,000 keys per window, all signals on, every window acknowledged. */
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
  const load = startLoad(directory);
  try {
    const statusFile = join(directory, "state/status.json");
    const status = (): StatusReport => JSON.parse(readFileSync(statusFile, "utf8")) as StatusReport;
    await until(() => existsSync(statusFile) && (status().lastWindow?.maps.length ?? 0) > 0);
    const pid = status().pid;
    const startSeconds = cpuSeconds(pid);
    await sleep(WARM_UP_WINDOWS * WINDOW_MS);
    bytes = 0;
    frames = 0;
    bytesBySignal.clear();
    const cpuBefore = cpuSeconds(pid);
    const began = performance.now();
    const samples: Sample[] = [];
    const keys: number[] = [];
    const rows: number[] = [];
    for (let second = 0; second < (WINDOWS * WINDOW_MS) / 1_000; second++) {
      await sleep(1_000);
      samples.push(memoryOf(pid));
      const { lastWindow } = status();
      if (lastWindow === null) continue;
      keys.push(lastWindow.maps.reduce((sum, { entries }) => sum + entries, 0));
      rows.push(lastWindow.signals.reduce((sum, signal) => sum + signal.rows, 0));
    }
    const cpuRatio = (cpuSeconds(pid) - cpuBefore) / ((performance.now() - began) / 1_000);
    const largest = samples.reduce((most, sample) => (sample.rss > most.rss ? sample : most));
    const average = (of: (sample: Sample) => number): number => samples.reduce((sum, sample) => sum + of(sample), 0) / samples.length;
    const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);
    return {
      title: "The agent's process under 10,000 keys a window",
      method: `${WINDOWS} windows of 10 s after ${WARM_UP_WINDOWS}, all signals on, as a user with CAP_BPF and CAP_PERFMON; memory every second.`,
      measurements: [
        { what: "keys read per window", value: mean(keys), unit: "keys", against: { what: "aim", value: KEYS_PER_WINDOW } },
        { what: "rows sent per window", value: mean(rows), unit: "rows" },
        { what: "bytes sent per window", value: bytes / Math.max(1, frames) / 1e3, unit: "kB" },
        { what: "resident memory, largest", value: largest.rss / 1e6, unit: "MB", against: { what: "limit", value: RSS_LIMIT_BYTES / 1e6 } },
        {
          what: "resident memory, mean",
          value: average(({ rss }) => rss) / 1e6,
          unit: "MB",
          against: { what: "limit", value: RSS_LIMIT_BYTES / 1e6 },
        },
        { what: "of that pages of files", value: average(({ file }) => file) / 1e6, unit: "MB" },
        { what: "of that its own", value: average(({ anonymous }) => anonymous) / 1e6, unit: "MB" },
        { what: "CPU until the first window, all programs loaded", value: startSeconds, unit: "s" },
        { what: "CPU per key read", value: (cpuRatio * WINDOW_MS * 1_000) / Math.max(1, mean(keys)), unit: "µs" },
        { what: "CPU, user and system", value: cpuRatio * 100, unit: "% of a core", against: { what: "limit", value: CPU_LIMIT_RATIO * 100 } },
      ],
      json: {
        keysPerWindow: mean(keys),
        rowsPerWindow: mean(rows),
        bytesPerWindow: bytes / Math.max(1, frames),
        bytesPerWindowBySignal: Object.fromEntries(
          [...bytesBySignal].toSorted(([, a], [, b]) => b - a).map(([signal, sum]) => [signal, Math.round(sum / Math.max(1, frames))]),
        ),
        rssBytesMax: largest.rss,
        rssBytesMean: average(({ rss }) => rss),
        fileBytesMean: average(({ file }) => file),
        anonymousBytesMean: average(({ anonymous }) => anonymous),
        cpuRatio,
        cpuSecondsUntilFirstWindow: startSeconds,
        cpuUsPerKey: (cpuRatio * WINDOW_MS * 1_000) / Math.max(1, mean(keys)),
        rssRatio: largest.rss / RSS_LIMIT_BYTES,
        cpuLimitRatio: cpuRatio / CPU_LIMIT_RATIO,
        limits: { RSS_LIMIT_BYTES, CPU_LIMIT_RATIO },
      },
    };
  } finally {
    load.kill("SIGKILL");
    agent.kill("SIGTERM");
    await sleep(2_000);
    await server.stop();
    rmSync(directory, { recursive: true, force: true });
  }
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

/** Of the names each has five keys or more (a call and a bucket of its duration), of the files two or more. */
function startLoad(directory: string): ReturnType<typeof spawn> {
  const binary = join(directory, "load");
  execFileSync("cc", ["-O1", "-Wall", "-o", binary, join(import.meta.dirname, "agent-footprint-load.c")]);
  const files = join(directory, "files");
  mkdirSync(files);
  return spawn(binary, ["100", "200", files], { stdio: "ignore" });
}

function memoryOf(pid: number): Sample {
  const text = readFileSync(`/proc/${pid}/status`, "utf8");
  const of = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(text)?.[1]) * 1_024;
  return { rss: of("VmRSS"), file: of("RssFile"), anonymous: of("RssAnon") };
}
