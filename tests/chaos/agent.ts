// SPDX-License-Identifier: Apache-2.0
/**
 * A real agent's window loop, spool and stream over a made-up kernel, as a process of its own that can be killed at any moment.
 *
 *   node tests/chaos/agent.ts '{ "scene": …, "index": 0, "stateDirectory": …, "apiPort": …, "tokenFile": … }'
 *
 * Its simulated time starts behind the last window it spooled, so that it makes up the windows it missed while it was dead: every window of
 * the scene is made once. Writes `report.json` into its state directory. Ends only by a signal.
 */
import { appendFileSync, closeSync, mkdirSync, openSync, readdirSync, readFileSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { HostClock } from "../../apps/agent/src/host/clock.ts";
import { createLogger, type Logger } from "../../apps/agent/src/log.ts";
import { decodeFrameFile } from "../../apps/agent/src/spool/frame-file.ts";
import { Spool } from "../../apps/agent/src/spool/spool.ts";
import { Backoff } from "../../apps/agent/src/stream/backoff.ts";
import { IngestStream } from "../../apps/agent/src/stream/ingest-stream.ts";
import { ServerClock } from "../../apps/agent/src/stream/server-clock.ts";
import { WindowLoop } from "../../apps/agent/src/window/window-loop.ts";
import { Snapshot } from "../../packages/proto/src/index.ts";
import { catalogue, schemaHash } from "../../packages/signals/src/index.ts";
import { agentHost, GIVEN_UP_FILE, MadeUpSource, type Scene, sceneWorkload } from "./truth.ts";

export interface ChaosAgentOptions {
  readonly scene: Scene;
  readonly index: number;
  readonly stateDirectory: string;
  readonly apiPort: number;
  readonly tokenFile: string;
  /** When the scene began, real Unix ms. */
  readonly beganMs: number;
}

export interface ChaosAgentReport {
  /** End of the newest window made, Unix ms. */
  readonly madeUntilMs: number;
  readonly waitingFrames: number;
  /** Since this process started. */
  readonly lostWindows: number;
  readonly refusedFrames: number;
  readonly coarsenedWindows: number;
}

/** Small, so that an outage of some seconds makes the spool coarsen, and a longer one give windows up. */
const SPOOL_FRAMES_MAX = 24;
const REPORT_MS = 500;

const options = JSON.parse(process.argv[2] ?? "") as ChaosAgentOptions;
const { scene, stateDirectory } = options;
mkdirSync(stateDirectory, { recursive: true });
process.title = `chaos-agent-${options.index + 1}`;
const host = agentHost(scene, options.index);
const log = noteGivenUp(createLogger("info"));
const bootTag = BigInt(`0x${host.bootId.replaceAll("-", "").slice(0, 16)}`);
const identity = { machineKey: host.machineKey, machineKeySource: "generated" as const, bootId: host.bootId, bootTag };
const bootMs = scene.fromMs - 3_600_000;

/**
 * Writes down each frame that the agent says it gives up, in `given-up`: start and length of its window, one frame a line. Said before the file is
 * deleted; a kill in between leaves the file, and the window is delivered after all.
 */
function noteGivenUp(logger: Logger): Logger {
  return {
    ...logger,
    warn: (message, fields) => {
      logger.warn(message, fields);
      const sequence = fields?.["sequence"];
      if (message !== "oldest window dropped" || typeof sequence !== "number") return;
      const frame = decodeFrameFile(readFileSync(join(stateDirectory, "spool", `${String(sequence).padStart(20, "0")}.frame`)));
      if (typeof frame === "string") throw new Error(`frame ${sequence} is given up and unreadable: ${frame}`);
      const { windowStartMs, windowMs } = Snapshot.decode(frame.payload);
      appendFileSync(join(stateDirectory, GIVEN_UP_FILE), `${windowStartMs} ${windowMs}\n`);
    },
  };
}

const spool = Spool.open({ stateDirectory, bytesMax: 64 * 1024 * 1024, framesMax: SPOOL_FRAMES_MAX, log });

/*
 * The progress file of the spool may be one window behind, and the run tears it on purpose. A real agent's kernel has forgotten the window by
 * then; this one would make it again. So it knows by itself how far it is: by a file of its own, and by what is in the spool.
 */
const madeFile = openSync(join(stateDirectory, "made-until"), "a+");
let madeUntilMs = Math.max(
  scene.fromMs,
  Number(readFileSync(join(stateDirectory, "made-until"), "latin1").trim().split("\n").at(-1)),
  spool.lastWindowStartMs + scene.windowMs,
  spooledUntilMs(),
);

function noteMade(endMs: number): void {
  madeUntilMs = endMs;
  writeSync(madeFile, `${endMs}\n`);
}

function spooledUntilMs(): number {
  let untilMs = 0;
  for (const directory of ["spool", "corrupt"]) {
    for (const name of readdirSync(join(stateDirectory, directory)).filter((file) => file.endsWith(".frame"))) {
      const frame = decodeFrameFile(readFileSync(join(stateDirectory, directory, name)));
      if (typeof frame === "string") continue;
      const { windowStartMs, windowMs } = Snapshot.decode(frame.payload);
      untilMs = Math.max(untilMs, Number(windowStartMs) + windowMs);
    }
  }
  return untilMs;
}

/** Moves by whole windows only, when the loop sleeps: so every window starts and ends exactly on its boundary, however late it is made. */
let simulatedMs = madeUntilMs;
const simulatedClock: HostClock = { wallMs: () => simulatedMs, elapsedMs: () => simulatedMs - bootMs };
const realClock: HostClock = { wallMs: () => Date.now(), elapsedMs: () => Date.now() - bootMs };

async function sleepSimulated(ms: number, stop: AbortSignal): Promise<void> {
  const endMs = simulatedMs + ms;
  const dueMs = endMs > scene.untilMs ? Number.POSITIVE_INFINITY : options.beganMs + (endMs - scene.fromMs) / scene.speed;
  while (Date.now() < dueMs) {
    await sleep(Math.min(1_000, dueMs - Date.now()), undefined, { signal: stop }).catch(() => {});
    if (stop.aborted) return;
  }
  simulatedMs = endMs;
}

const serverClock = new ServerClock(bootTag);
const source = new MadeUpSource(sceneWorkload(scene), host, () => simulatedMs - scene.windowMs);
const loop = new WindowLoop({
  source,
  spool,
  clock: simulatedClock,
  serverClock,
  identity,
  windowMs: scene.windowMs,
  log,
  sleep: sleepSimulated,
  onWindow: ({ window }) => {
    noteMade(window.startMs + window.lengthMs);
    stream.notify();
  },
});
const stream: IngestStream = new IngestStream({
  api: { url: `http://127.0.0.1:${options.apiPort}`, host: "127.0.0.1", port: options.apiPort, encrypted: false },
  enrolmentTokenFile: options.tokenFile,
  stateDirectory,
  identity,
  facts: {
    name: host.name,
    kernelRelease: "6.12.0-chaos",
    architecture: "x86_64",
    distribution: "Waggle chaos run",
    cpuCount: 2,
    memoryBytes: 2n ** 31n,
    agentVersion: "chaos",
    simulated: true,
    tags: {},
  },
  signals: catalogue.map((signal) => ({ name: signal.name, schemaHash: schemaHash(signal) })),
  windowMs: scene.windowMs,
  spool,
  clock: realClock,
  serverClock,
  log,
  startedAtMs: Date.now(),
  onConfig: (config) => loop.configure({ ...config, windowMs: 0 }),
  backoff: new Backoff({ minMs: 200, maxMs: 2_000 }),
  answerTimeoutMs: 20_000,
});
loop.start();
stream.start();

setInterval(() => {
  const { frames, lostWindows, refusedFrames, coarsenedWindows } = spool.state;
  const report: ChaosAgentReport = { madeUntilMs, waitingFrames: frames, lostWindows, refusedFrames, coarsenedWindows };
  writeFileSync(join(stateDirectory, "report.json"), JSON.stringify(report));
}, REPORT_MS);
process.on("SIGTERM", () => {
  closeSync(madeFile);
  process.exit(0);
});
