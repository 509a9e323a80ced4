// SPDX-License-Identifier: Apache-2.0
import { chmodSync } from "node:fs";
import { makeDirectory } from "@waggle/directory";
import { hostSignals, schemaHash } from "@waggle/signals";
import { type Config, loadConfig } from "../config/config.ts";
import { SystemClock } from "../host/clock.ts";
import { readHostFacts } from "../host/facts.ts";
import { readHostIdentity } from "../host/identity.ts";
import { createLogger, type Logger } from "../log.ts";
import { SettingsKeeper } from "../settings/settings-keeper.ts";
import { Spool } from "../spool/spool.ts";
import { type LastWindow, summariseWindow, writeStatusReport } from "../status/status-report.ts";
import { IngestStream } from "../stream/ingest-stream.ts";
import { ServerClock } from "../stream/server-clock.ts";
import { agentVersion } from "../version.ts";
import { WindowLoop } from "../window/window-loop.ts";
import { createMemoryTrimmer } from "./memory-trimmer.ts";
import { openSource } from "./open-source.ts";
import { claimStateDirectory } from "./single-instance.ts";

/** How long a stop may take to hand the last window to the API; it is on disk already. */
const drainMs = 1_500;

const reportDelayMs = 500;

/** `waggle-agent run`: the agent, until `stop` is aborted. Throws an Error in words if it cannot start at all. */
export async function run(environment: NodeJS.ProcessEnv, stop: AbortSignal): Promise<void> {
  const { config, warnings } = loadConfig(environment);
  const log = createLogger(config.logLevel);
  for (const warning of warnings) log.warn("unknown variable", { warning });

  const clock = new SystemClock(config.hostRoot);
  const startedAtMs = clock.wallMs();
  prepareStateDirectory(config);
  const claim = await claimStateDirectory(config.stateDirectory);
  if (claim === undefined)
    throw new Error(
      `another agent is running with the state directory ${config.stateDirectory}; stop it, or set WAGGLE_AGENT_STATE_DIRECTORY to another one`,
    );

  const identity = readHostIdentity(config.hostRoot, config.stateDirectory);
  const trimMemory = await createMemoryTrimmer();
  const spool = Spool.open({
    stateDirectory: config.stateDirectory,
    bytesMax: config.spoolBytesMax,
    // Merging begins at half of the files: not before the hours are over, unless the API asks for shorter windows.
    framesMax: 2 * Math.ceil((config.spoolHoursMax * 3_600_000) / config.windowMs),
    spanMsMax: config.spoolHoursMax * 3_600_000,
    rowsMax: config.rowsMax,
    trimMemory,
    log,
  });
  const serverClock = new ServerClock(identity.bootTag);
  const source = await openSource(config, clock, log);

  const settings = new SettingsKeeper({
    stateDirectory: config.stateDirectory,
    machineKey: identity.machineKey,
    source,
    own: { rowsMax: config.rowsMax, cpuBudget: config.cpuBudget },
    log,
  });
  settings.restore();
  const kept = settings.inForce?.settings;

  let fills: LastWindow["fills"] = [];
  const loop = new WindowLoop({
    source,
    spool,
    clock,
    serverClock,
    identity,
    windowMs: kept?.windowMs ?? config.windowMs,
    rowsMax: kept?.rowsMax ?? undefined,
    log,
    onWindow: (window) => {
      stream.notify();
      const summary = summariseWindow(window, fills);
      fills = summary.fills;
      // A moment later the window is usually acknowledged, and the report says so instead of showing it as waiting.
      setTimeout(() => {
        report(summary, null);
        trimMemory();
      }, reportDelayMs).unref();
    },
  });
  const stream = new IngestStream({
    api: config.api,
    caFile: config.caFile,
    enrolmentTokenFile: config.enrolmentTokenFile,
    stateDirectory: config.stateDirectory,
    identity,
    facts: readHostFacts(config.hostRoot, config.tags),
    signals: hostSignals.map((signal) => ({ name: signal.name, schemaHash: schemaHash(signal) })),
    windowMs: config.windowMs,
    spool,
    clock,
    serverClock,
    log,
    startedAtMs,
    settingsReport: () => settings.report,
    onConfig: (apiConfig) => {
      loop.configure(apiConfig);
      void settings.accept(apiConfig.settings).then((isNew) => {
        if (isNew) stream.acknowledgeSettings();
        report(undefined, null);
      });
    },
  });
  const report = createReporter({ config, log, clock, loop, stream, spool, settings, bootId: identity.bootId, startedAtMs });

  log.info("agent started", {
    version: agentVersion,
    api: config.api.url,
    stateDirectory: config.stateDirectory,
    windowMs: config.windowMs,
    waitingFrames: spool.state.frames,
  });
  loop.start();
  stream.start();
  report(null, null);

  await aborted(stop);
  log.info("agent stops", { waitingFrames: spool.state.frames });
  await loop.stop();
  await stream.stop(drainMs);
  source.close();
  report(undefined, clock.wallMs());
  claim.close();
  log.info("agent stopped", { waitingFrames: spool.state.frames });
}

/** Others may read status.json in it; the spool, the refused windows and the credential are closed to them. */
function prepareStateDirectory(config: Config): void {
  try {
    makeDirectory(config.stateDirectory, 0o755);
    chmodSync(config.stateDirectory, 0o755);
  } catch (error) {
    // A directory that belongs to someone else may still be writable; if it is not, the spool says so.
    if ((error as NodeJS.ErrnoException).code !== "EPERM") {
      throw new Error(
        `the state directory ${config.stateDirectory} cannot be made (${(error as Error).message}); create it for the agent's user or set WAGGLE_AGENT_STATE_DIRECTORY`,
      );
    }
  }
}

interface Reported {
  readonly config: Config;
  readonly log: Logger;
  readonly clock: SystemClock;
  readonly loop: WindowLoop;
  readonly stream: IngestStream;
  readonly spool: Spool;
  readonly settings: SettingsKeeper;
  readonly bootId: string;
  readonly startedAtMs: number;
}

/** Returns a function that writes status.json; a `lastWindow` of undefined keeps the one before. */
function createReporter({
  config,
  log,
  clock,
  loop,
  stream,
  spool,
  settings,
  bootId,
  startedAtMs,
}: Reported): (lastWindow: LastWindow | null | undefined, stoppedAtMs: number | null) => void {
  let windows = 0;
  let newest: LastWindow | null = null;
  let isFailing = false;
  let isStopped = false;
  return (lastWindow, stoppedAtMs) => {
    if (isStopped) return;
    isStopped = stoppedAtMs !== null;
    if (lastWindow !== undefined) newest = lastWindow;
    if (lastWindow !== undefined && lastWindow !== null) windows++;
    try {
      writeStatusReport(config.stateDirectory, {
        formatVersion: 4,
        pid: process.pid,
        agentVersion,
        bootId,
        startedAtMs,
        writtenAtMs: clock.wallMs(),
        stoppedAtMs,
        api: config.api.url,
        windowMs: loop.windowMs,
        settings: settings.inForce ?? null,
        windows,
        stream: stream.state,
        spool: spool.state,
        lastWindow: newest,
      });
      isFailing = false;
    } catch (error) {
      if (!isFailing) log.warn("status.json cannot be written", { directory: config.stateDirectory, error: (error as Error).message });
      isFailing = true;
    }
  };
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
