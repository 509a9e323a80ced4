// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from "node:fs";
import { Faults } from "./faults.ts";
import { makeFleet } from "./fleet.ts";
import { FrameEncoder } from "./frame.ts";
import { InFlightBytes } from "./in-flight-bytes.ts";
import { Ledger, readLedgerWindows } from "./ledger.ts";
import { parseOptions, type SimulatorOptions } from "./options.ts";
import { SimulatedFleet } from "./simulated-fleet.ts";
import { Workload } from "./workload.ts";

/** Streams that open at a time. */
const OPENING_MAX = 64;
/** How long what was sent may take to be answered: at the end of its time, and when it is told to stop. */
const DRAIN_MS = 60_000;
const DRAIN_STOPPED_MS = 2_000;
const PROGRESS_MS = 10_000;

async function run(options: SimulatorOptions): Promise<void> {
  const token = readToken(options.tokenFile);
  const done = options.resume && options.ledger !== undefined ? readLedgerWindows(options.ledger, options.windowMs) : undefined;
  const stop = new AbortController();
  let failure: Error | undefined;
  const fail = (error: Error): void => {
    failure ??= error;
    stop.abort();
  };
  const ledger = options.ledger === undefined ? undefined : new Ledger(options.ledger, options.ledgerForm, fail);
  const { seed, rows, windowMs, incidents, signals } = options;
  const fleet = new SimulatedFleet(
    { ...options, hosts: makeFleet(seed, options.hosts), done },
    {
      token,
      workload: new Workload({ seed, rows, windowMs, incidents, signals }),
      encoder: new FrameEncoder(),
      ledger,
      faults: new Faults(seed, options.faults),
      bytes: new InFlightBytes(options.inFlightBytesMax),
      opening: { free: OPENING_MAX },
      startedAtMs: Date.now(),
      say: sayFirst(20),
      tokenRefused: (reason) => {
        // One that was taken back later stops no host that is enrolled.
        const { connected, acknowledged } = totalsOf(fleet);
        if (connected === 0 && acknowledged === 0) fail(new Error(`the API refuses the token in ${options.tokenFile}: ${reason}`));
      },
    },
  );

  let isStopped = false;
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.on(signal, () => {
      isStopped = true;
      stop.abort();
    });
  }
  const timer = Number.isFinite(options.durationMs) ? setTimeout(() => stop.abort(), options.durationMs) : undefined;
  console.log(
    `${options.hosts} simulated hosts (seed ${seed}, ${rows} rows, ${windowMs / 1000} s windows from ${new Date(options.fromMs).toISOString()}) send to ${options.addresses.join(", ")} over ${options.connections} connections`,
  );
  const progress = setInterval(() => console.log(progressOf(fleet)), PROGRESS_MS);
  await fleet.run(stop.signal, () => (isStopped || failure !== undefined ? DRAIN_STOPPED_MS : DRAIN_MS));
  clearTimeout(timer);
  clearInterval(progress);
  const { acknowledged, refused, waiting, rows: rowsDelivered } = totalsOf(fleet);
  await fleet.close();
  await ledger?.close();
  console.log(`${acknowledged} windows (${rowsDelivered} rows) acknowledged, ${refused} refused for good, ${waiting} not delivered`);
  if (failure !== undefined) throw failure;
  if (refused > 0) throw new Error(`the API refused ${refused} windows for good`);
  if (acknowledged === 0 && waiting > 0 && !isStopped) throw new Error("nothing was delivered");
}

function totalsOf(fleet: SimulatedFleet) {
  const totals = { acknowledged: 0, rows: 0, refused: 0, waiting: 0, connected: 0 };
  for (const agent of fleet.agents) {
    totals.acknowledged += agent.acknowledged;
    totals.rows += agent.acknowledgedRows;
    totals.refused += agent.refused;
    totals.waiting += agent.waiting + agent.unsent;
    if (agent.isConnected) totals.connected++;
  }
  return totals;
}

let lastRows = 0;
let lastAtMs = performance.now();
function progressOf(fleet: SimulatedFleet): string {
  const { acknowledged, rows, waiting, connected } = totalsOf(fleet);
  const nowMs = performance.now();
  const rate = Math.round(((rows - lastRows) / (nowMs - lastAtMs)) * 1000);
  [lastRows, lastAtMs] = [rows, nowMs];
  return `${connected} of ${fleet.agents.length} hosts connected, ${acknowledged} windows acknowledged, ${waiting} waiting, ${rate} rows/s`;
}

function readToken(path: string): string {
  try {
    return readFileSync(path, "utf8").trim();
  } catch (error) {
    throw new Error(
      `the token file ${path} cannot be read (${(error as NodeJS.ErrnoException).code ?? "error"}); ./waggle up writes one, or name another with --token-file`,
    );
  }
}

/** Ten thousand hosts that lose one API say the same thing: the first of each few seconds are enough. */
function sayFirst(linesMax: number): (line: string) => void {
  let said = 0;
  let sinceMs = 0;
  return (line) => {
    const nowMs = performance.now();
    if (nowMs - sinceMs > PROGRESS_MS) {
      if (said > linesMax) console.log(`… and ${said - linesMax} more hosts`);
      [said, sinceMs] = [0, nowMs];
    }
    if (++said <= linesMax) console.log(line);
  };
}

try {
  await run(parseOptions(process.argv.slice(2), Date.now()));
} catch (error) {
  console.error(`waggle simulate: ${(error as Error).message}`);
  process.exitCode = 1;
}
