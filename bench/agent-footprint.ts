// SPDX-License-Identifier: Apache-2.0
import { type ChildProcessByStdio, execFileSync, spawn } from "node:child_process";
import { chmodSync, chownSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import type { Writable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import type { LastWindow, StatusReport } from "../apps/agent/src/status/status-report.ts";
import { IngestServer } from "../apps/agent/test/support/ingest-server.ts";
import { Snapshot } from "../packages/proto/src/index.ts";
import { cpuSeconds, cpuSecondsByMode } from "./process.ts";
import type { BenchResult } from "./report.ts";

const RSS_LIMIT_BYTES = 90e6;
const CPU_LIMIT_RATIO = 0.005;
const KEYS_PER_WINDOW = 10_000;
const WINDOW_MS = 10_000;
/** Until what the start took (the verifier, V8's compiler) is over. */
const SETTLE_WINDOWS = 3;
const WINDOWS = 18;
/** How far from the aim the mean of the windows may lie that count. */
const KEYS_OFF_MAX_RATIO = 0.03;
/** Names the load takes on trial, to find out how many keys one is worth here, and at most. */
const NAMES_TRIED = 200;
const NAMES_MAX = 2_000;
/** Corrections before the measurement begins, of `AIM_WINDOWS` windows each. */
const CORRECTIONS_MAX = 8;
const AIM_WINDOWS = 2;
/** Keys that a name makes: four calls in some buckets each, and two files. What lies outside says more of what else the machine did meanwhile. */
const KEYS_PER_NAME = { min: 8, usual: 15, max: 40 } as const;
/** Fewer names more or less do not tell how many keys one is worth. */
const NAMES_STEP_MIN = 50;
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
 * keys are among them: the load makes up what is missing, also while it is measured, so on a machine that has more by itself it makes none.
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
  const load = new Load(directory);
  try {
    const statusFile = join(directory, "state/status.json");
    const status = (): StatusReport => JSON.parse(readFileSync(statusFile, "utf8")) as StatusReport;
    await until(() => existsSync(statusFile) && (status().lastWindow?.maps.length ?? 0) > 0);
    const pid = status().pid;
    const startSeconds = cpuSeconds(pid);
    /** The window after the last that is known. */
    const nextWindow = async (): Promise<LastWindow> => {
      const before = status().lastWindow?.sequence ?? 0;
      for (;;) {
        await sleep(1_000);
        const { lastWindow } = status();
        if (lastWindow !== null && lastWindow.sequence > before) return lastWindow;
      }
    };
    for (let window = 0; window < SETTLE_WINDOWS; window++) await nextWindow();
    /** Keys of a window that is wholly under the load that runs now, over some. */
    const settledKeys = async (): Promise<number> => {
      await nextWindow();
      const keys: number[] = [];
      for (let window = 0; window < AIM_WINDOWS; window++) keys.push(keysOf(await nextWindow()));
      return mean(keys);
    };
    const keysWithout = await settledKeys();
    await aim(load, keysWithout, settledKeys);
    bytes = 0;
    frames = 0;
    bytesBySignal.clear();
    const cpuBefore = cpuSecondsByMode(pid);
    const began = performance.now();
    const samples: Sample[] = [];
    const keys: number[] = [];
    const rows: number[] = [];
    let seen = status().lastWindow?.sequence ?? 0;
    while (keys.length < WINDOWS) {
      await sleep(1_000);
      samples.push(memoryOf(pid));
      const { lastWindow } = status();
      if (lastWindow === null || lastWindow.sequence === seen) continue;
      seen = lastWindow.sequence;
      keys.push(keysOf(lastWindow));
      rows.push(lastWindow.signals.reduce((sum, signal) => sum + signal.rows, 0));
      // What else the machine does has keys too, and goes up and down. By a third, as a correction shows in full only in the window after the next.
      load.correct((KEYS_PER_WINDOW - keysOf(lastWindow)) / 3);
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
    const keysOff = mean(keys) / KEYS_PER_WINDOW - 1;
    const isOnAim = Math.abs(keysOff) <= KEYS_OFF_MAX_RATIO;
    return {
      title: "The agent's process under 10,000 keys a window",
      method: `${WINDOWS} windows of 10 s, all signals on, as a user with CAP_BPF and CAP_PERFMON; memory every second. The machine had ${Math.round(keysWithout).toLocaleString("en-US")} keys a window of its own, and a load of ${loadavg()[0]?.toFixed(1)} on ${availableParallelism()} CPUs at the end.${isOnAim ? "" : ` NOT AT THE AIM: its keys were ${(keysOff * 100).toFixed(1)} % off, ${KEYS_OFF_MAX_RATIO * 100} are allowed.`}`,
      measurements: [
        { what: "keys read per window", value: mean(keys), unit: "keys", against: { what: "aim", value: KEYS_PER_WINDOW } },
        { what: "… smallest", value: Math.min(...keys), unit: "keys" },
        { what: "… largest", value: Math.max(...keys), unit: "keys" },
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
        keysPerWindowMin: Math.min(...keys),
        keysPerWindowMax: Math.max(...keys),
        isOnAim,
        keysPerWindowWithoutLoad: keysWithout,
        rowsPerWindow: mean(rows),
        bytesPerWindow: bytes / Math.max(1, frames),
        bytesPerWindowBySignal: Object.fromEntries(
          [...bytesBySignal].toSorted(([, a], [, b]) => b - a).map(([signal, sum]) => [signal, Math.round(sum / Math.max(1, frames))]),
        ),
        loadAverage: loadavg()[0],
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
        limits: { RSS_LIMIT_BYTES, CPU_LIMIT_RATIO, KEYS_PER_WINDOW, KEYS_OFF_MAX_RATIO },
      },
    };
  } finally {
    load.stop();
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

/** Makes keys; how many a name is worth is found out. */
class Load {
  readonly #process: ChildProcessByStdio<Writable, null, null>;
  #names = 0;
  /** Keys that a name more makes; as measured last. */
  #keysPerName: number = KEYS_PER_NAME.usual;

  constructor(directory: string) {
    const binary = join(directory, "load");
    execFileSync("cc", ["-O1", "-Wall", "-o", binary, join(import.meta.dirname, "agent-footprint-load.c")]);
    const files = join(directory, "files");
    mkdirSync(files);
    this.#process = spawn(binary, [files], { stdio: ["pipe", "ignore", "inherit"] });
  }

  get names(): number {
    return this.#names;
  }

  take(names: number): void {
    this.#names = Math.max(0, Math.min(NAMES_MAX, Math.round(names)));
    this.#process.stdin.write(`${this.#names}\n`);
  }

  /** What was learnt: so many names more made so many keys more. */
  learn(names: number, keys: number): void {
    this.#keysPerName = Math.max(KEYS_PER_NAME.min, Math.min(KEYS_PER_NAME.max, keys / names));
  }

  /** As many names more or fewer as make so many keys. */
  correct(keys: number): void {
    this.take(this.#names + keys / this.#keysPerName);
  }

  stop(): void {
    this.#process.stdin.end();
  }
}

/** Sets the load so that windows have `KEYS_PER_WINDOW` keys, as near as it gets in some corrections. */
async function aim(load: Load, keysWithout: number, settledKeys: () => Promise<number>): Promise<void> {
  load.take(NAMES_TRIED);
  let names = 0;
  let keys = keysWithout;
  for (let correction = 0; correction < CORRECTIONS_MAX; correction++) {
    const reached = await settledKeys();
    // A name is worth less than the one before it where maps get full; a small step would say more of the machine than of the load.
    const step = load.names - names;
    if (Math.abs(step) >= NAMES_STEP_MIN) load.learn(step, reached - keys);
    [names, keys] = [load.names, reached];
    if (Math.abs(reached / KEYS_PER_WINDOW - 1) <= KEYS_OFF_MAX_RATIO / 2) return;
    load.correct(KEYS_PER_WINDOW - reached);
  }
}

function memoryOf(pid: number): Sample {
  const text = readFileSync(`/proc/${pid}/status`, "utf8");
  const of = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(text)?.[1]) * 1_024;
  return { rss: of("VmRSS"), file: of("RssFile"), anonymous: of("RssAnon") };
}
