// SPDX-License-Identifier: Apache-2.0
/**
 * `./waggle test chaos`: real processes on loopback, a seeded schedule of faults, and at the end the equation: what was sent is stored once, raw and
 * in every roll-up. Exit status 0 if it holds, 1 if not, 2 for a bad command line.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { makeFleet, type SimulatedHost } from "../../apps/simulator/src/fleet.ts";
import { readLedgerWindows } from "../../apps/simulator/src/ledger.ts";
import type { ChaosAgentReport } from "./agent.ts";
import { applyFault, type TornWindows } from "./apply-fault.ts";
import {
  type Ask,
  askClickHouse,
  compareLevels,
  compareRaw,
  type Difference,
  type Range,
  type RawComparison,
  readFrames,
  readTotals,
  type StoredFrame,
} from "./equation.ts";
import { patientFetch } from "./patient-fetch.ts";
import { type FaultKind, faultKinds, makeSchedule } from "./schedule.ts";
import { type Stack, startStack } from "./stack.ts";
import { agentHost, comparedSignals, GIVEN_UP_FILE, pureSignals, reportedSignals, type Scene, sceneWorkload, windowTruth } from "./truth.ts";

const USAGE = `usage: ./waggle test chaos [--faults N] [--seed S] [--minutes M] [--keep]

  --faults N    faults in the schedule (default 210)
  --seed S      the same seed gives the same schedule and numbers (default: drawn, and printed)
  --minutes M   how long the faults go on (default 4)
  --keep        keep directory and logs
`;

const AGENTS = 4;
/** It is filled on purpose and must not fill up by itself: with 512 MiB it did, and agents gave up 300 to 1,000 windows for want of anybody to take them. */
const DISK_BYTES = 2 * 1024 * 1024 * 1024;
const SIMULATED_HOSTS = 24;
/** Few, and still of every signal some. */
const ROWS = 100;
const WINDOW_MS = 10_000;
/** Simulated time per real time. */
const SPEED_MAX = 25;
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** After which an hour is rolled up as over. */
const HOUR_CLOSED_MS = 30_000;
const DELIVERY_MS_MAX = 180_000;
const ROLLUP_MS_MAX = 240_000;
/** Longer than any run of the default length takes. */
const RUN_MS_MAX = 20 * 60_000;
const DIFFERENCES_SHOWN = 12;

interface Options {
  readonly faults: number;
  readonly seed: number;
  readonly minutes: number;
  readonly keep: boolean;
}

function parseOptions(words: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...words],
    options: { faults: { type: "string" }, seed: { type: "string" }, minutes: { type: "string" }, keep: { type: "boolean", default: false } },
  });
  const number = (name: "faults" | "seed" | "minutes", fallback: number, min: number, max: number): number => {
    const text = values[name];
    if (text === undefined) return fallback;
    const value = Number(text);
    if (!Number.isInteger(value) || value < min || value > max) throw new TypeError(`--${name}: expected a whole number from ${min} to ${max}`);
    return value;
  };
  return {
    faults: number("faults", 210, 1, 5_000),
    seed: number("seed", Math.floor(Math.random() * 1_000_000), 0, 2 ** 31 - 1),
    minutes: number("minutes", 4, 1, 120),
    keep: values.keep,
  };
}

/**
 * Simulated time ends with the last full hour, so that hours can be rolled up while somebody waits for it, and begins today: of a disk that is full,
 * the API gives up the raw rows of earlier days, which would be no accident but a decision.
 */
function makeScene({ seed, minutes }: Options): { scene: Scene; isToday: boolean } {
  const nowMs = Date.now() - HOUR_CLOSED_MS;
  const untilMs = nowMs - (nowMs % HOUR_MS);
  const spanMs = minutes * 60_000 * SPEED_MAX;
  const todayMs = Date.now() - (Date.now() % DAY_MS);
  const leftMs = todayMs + DAY_MS - Date.now();
  const isToday = untilMs > todayMs && leftMs > RUN_MS_MAX;
  const fromMs = isToday ? Math.max(untilMs - spanMs, todayMs) : untilMs - spanMs;
  const aligned = fromMs - (fromMs % WINDOW_MS);
  const speed = (untilMs - aligned) / (minutes * 60_000);
  // So that of every signal there is something to lose.
  const from = new Date(aligned).toISOString();
  const incidents = [`oom@${from}+1h:batch`, `cpu@${from}+1h:cache`, `disk@${from}+1h:db`];
  return { scene: { seed, fromMs: aligned, untilMs, speed, windowMs: WINDOW_MS, rows: ROWS, simulatedHosts: SIMULATED_HOSTS, incidents }, isToday };
}

const say = (line: string): void => console.log(line);
const seconds = (sinceMs: number): string => `${((Date.now() - sinceMs) / 1000).toFixed(0)} s`;

async function run(options: Options): Promise<boolean> {
  const { scene, isToday } = makeScene(options);
  const beganMs = Date.now();
  say(
    `chaos: seed ${options.seed}, ${options.faults} faults in ${options.minutes} min; ${SIMULATED_HOSTS} simulated hosts and ${AGENTS} agents live through ${new Date(scene.fromMs).toISOString()} to ${new Date(scene.untilMs).toISOString()}`,
  );
  await using stack = await startStack({ scene, agents: AGENTS, diskBytes: DISK_BYTES, keep: options.keep });
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.once(signal, () => void stack[Symbol.asyncDispose]().finally(() => process.exit(130)));
  }
  say(`stack stands after ${seconds(beganMs)}; logs in ${stack.directory}`);
  const measuring = setInterval(() => {
    for (const process of stack.processes) process.measure(process === stack.clickhouse ? stack.clickhousePid() : process.pid);
  }, 2_000);
  try {
    const { hits, torn, unmet } = await injectFaults(stack, options, scene, isToday);
    const deliveredMs = Date.now();
    const undelivered = await untilDelivered(stack, scene);
    say(undelivered === undefined ? `all delivered ${seconds(deliveredMs)} after the last fault` : `NOT DELIVERED: ${undelivered}`);
    const isEqual = await holdEquation(stack, scene, torn);
    report(stack, hits, options.seed);
    if (unmet > 0) say(`${unmet} faults found nothing to hit and are not counted`);
    const died = stack.processes.filter((process) => process !== stack.clickhouse && process.ownDeaths.length > 0);
    for (const process of died) say(`DIED BY ITSELF: ${process.spec.name}: ${process.ownDeaths.join(", ")}`);
    return isEqual && undelivered === undefined && died.length === 0;
  } finally {
    clearInterval(measuring);
  }
}

async function injectFaults(stack: Stack, options: Options, scene: Scene, isToday: boolean) {
  const without: FaultKind[] = stack.disk.isMounted && isToday ? [] : ["disk-full"];
  if (!stack.disk.isMounted) say("disk-full is left out: without root no small file system can be mounted");
  else if (!isToday) say("disk-full is left out: around midnight UTC the API would give up the rows of the day before");
  const schedule = makeSchedule(
    options.seed,
    options.faults,
    options.minutes * 60_000,
    { agents: [...stack.agents.keys()], apis: [...stack.apis.keys()] },
    without,
  );
  const hits = new Map<FaultKind, number>();
  const torn: TornWindows = new Map();
  const running: Promise<void>[] = [];
  let unmet = 0;
  let failure: Error | undefined;
  const beganMs = Date.now();
  let saidMs = beganMs;
  for (const fault of schedule) {
    await sleep(Math.max(0, beganMs + fault.atMs - Date.now()));
    running.push(
      applyFault(stack, fault, scene.windowMs, torn)
        .then((hit) => {
          if (hit) hits.set(fault.kind, (hits.get(fault.kind) ?? 0) + 1);
          else unmet++;
        })
        .catch((error: Error) => {
          failure ??= new Error(`${fault.kind} of ${fault.target} could not be done`, { cause: error });
        }),
    );
    if (Date.now() - saidMs < 30_000) continue;
    saidMs = Date.now();
    say(`${running.length} of ${schedule.length} faults after ${seconds(beganMs)}`);
  }
  await Promise.all(running);
  if (failure !== undefined) throw failure;
  return { hits, torn, unmet };
}

function readReport(stack: Stack, name: string): ChaosAgentReport | undefined {
  try {
    return JSON.parse(readFileSync(join(stack.agentDirectory(name), "report.json"), "utf8")) as ChaosAgentReport;
  } catch {
    return undefined;
  }
}

/** Waits until every sender has nothing left to send. Returns what is missing if that takes too long. */
async function untilDelivered(stack: Stack, scene: Scene): Promise<string | undefined> {
  const deadlineMs = Date.now() + DELIVERY_MS_MAX;
  for (;;) {
    const missing: string[] = [];
    if (!stack.simulator.hasEnded) missing.push("the simulator has not ended");
    for (const name of stack.agents.keys()) {
      const state = readReport(stack, name);
      if (state === undefined) missing.push(`${name} said nothing`);
      else if (state.madeUntilMs < scene.untilMs) missing.push(`${name} is at ${new Date(state.madeUntilMs).toISOString()}`);
      else if (state.waitingFrames > 0) missing.push(`${name} has ${state.waitingFrames} frames waiting`);
    }
    if (missing.length === 0) return undefined;
    if (Date.now() > deadlineMs) return missing.join("; ");
    await sleep(1_000);
  }
}

async function holdEquation(stack: Stack, scene: Scene, torn: TornWindows): Promise<boolean> {
  const password = readFileSync(join(stack.disk.directory, "clickhouse", "password"), "utf8").trim();
  const ask = askClickHouse(stack.clickhouseUrl, password, "waggle");
  const hosts = await listHosts(stack);
  const [[tenant] = []] = (await ask("SELECT any(tenant) FROM windows", {})) as [string][];
  if (tenant === undefined) throw new Error("nothing was stored at all");
  // An hour's rows carry its start, which may lie before the scene's.
  const range: Range = { tenant, fromMs: scene.fromMs - (scene.fromMs % HOUR_MS), untilMs: scene.untilMs };
  const nameOf = new Map(hosts.map((host) => [host.id, host.name]));

  const workload = sceneWorkload(scene);
  const known = new Map<string, SimulatedHost>(makeFleet(scene.seed, scene.simulatedHosts).map((host) => [host.name, host]));
  for (let index = 0; index < stack.agents.size; index++) {
    const host = agentHost(scene, index);
    known.set(host.name, host);
  }
  const frames = (await readFrames(ask, range, reportedSignals)).map((frame) => {
    const host = nameOf.get(frame.host) ?? frame.host;
    const compared = comparedSignals(host);
    return { ...frame, host, signals: Object.fromEntries(Object.entries(frame.signals).filter(([name]) => compared.has(name))) };
  });
  const givenUp = new Map([...stack.agents.keys()].map((name) => [name, readGivenUp(stack, name, scene.windowMs)]));
  const raw = compareRaw(
    frames,
    [...known.keys()],
    scene,
    (host, startMs) => windowTruth(workload, known.get(host) as SimulatedHost, startMs),
    (host, startMs) => (torn.get(host)?.has(startMs) ?? false) || (givenUp.get(host)?.has(startMs) ?? false),
  );
  const differences: Difference[] = [...raw.differences, ...unstoredOfLedger(stack, scene.windowMs, frames), ...refusedFrames(stack)];

  const rollupsMs = Date.now();
  let behind = await compareLevels(ask, range);
  while (behind.length > 0 && Date.now() - rollupsMs < ROLLUP_MS_MAX) {
    await sleep(3_000);
    behind = await compareLevels(ask, range);
  }
  say(behind.length === 0 ? `roll-ups complete ${seconds(rollupsMs)} after delivery` : `ROLL-UPS DIFFER after ${seconds(rollupsMs)}`);
  differences.push(...behind);
  await sayEquation(ask, range, raw);
  const merged = frames.filter((frame) => frame.lengthMs > scene.windowMs).length;
  say(
    `${raw.windows} windows of ${known.size} hosts: ${raw.lostWindows} lost, ${raw.doubledWindows} doubled; ${raw.frames} frames, ${merged} of them merged from several windows` +
      (raw.declaredWindows > 0
        ? `\n${raw.declaredWindows} windows declared lost by their agents (spool full, or its file torn)` +
          (raw.remnantWindows > 0 ? `; ${raw.remnantWindows} of them had been sent: raw tables have some of their rows, roll-ups none` : "")
        : ""),
  );
  for (const { where, expected, stored } of differences.slice(0, DIFFERENCES_SHOWN))
    say(`DIFFERS ${where}\n  expected ${expected}\n  stored   ${stored}`);
  if (differences.length > DIFFERENCES_SHOWN) say(`… and ${differences.length - DIFFERENCES_SHOWN} more differences`);
  return differences.length === 0;
}

/** Whatever the simulator was told is stored must be. */
function unstoredOfLedger(stack: Stack, windowMs: number, frames: readonly StoredFrame[]): Difference[] {
  const stored = new Set<string>();
  for (const { host, startMs, lengthMs, isAccepted } of frames)
    for (let at = startMs; isAccepted && at < startMs + lengthMs; at += windowMs) stored.add(`${host} ${at}`);
  const differences: Difference[] = [];
  for (const [host, { starts }] of readLedgerWindows(join(stack.directory, "ledger.ndjson"), windowMs)) {
    for (const startMs of starts) {
      if (!stored.has(`${host} ${startMs}`))
        differences.push({ where: `${host} ${new Date(startMs).toISOString()}`, expected: "stored: it was acknowledged", stored: "not at all" });
    }
  }
  return differences;
}

/** Nothing that these senders make may be refused for good. */
function refusedFrames(stack: Stack): Difference[] {
  return [...stack.agents.keys()].flatMap((name) => {
    const directory = join(stack.agentDirectory(name), "refused");
    if (!existsSync(directory)) return [];
    return readdirSync(directory)
      .filter((file) => file.endsWith(".reason"))
      .map((file) => ({
        where: `${name} frame ${Number.parseInt(file, 10)}`,
        expected: "taken",
        stored: `refused for good: ${readFileSync(join(directory, file), "utf8").trim()}`,
      }));
  });
}

async function listHosts(stack: Stack): Promise<{ id: string; name: string }[]> {
  const token = readFileSync(join(stack.directory, "api", "admin-token"), "utf8").trim();
  const response = await patientFetch(`${stack.restUrls[0]}/api/v1/hosts`, { headers: { authorization: `Bearer ${token}` } });
  if (!response.ok) throw new Error(`/api/v1/hosts answered ${response.status}: ${await response.text()}`);
  return ((await response.json()) as { data: { id: string; name: string }[] }).data;
}

async function sayEquation(ask: Ask, range: Range, { sent, lost }: RawComparison): Promise<void> {
  const hasLost = Object.keys(lost).length > 0;
  say(`\nsent${hasLost ? " - declared lost" : ""} = stored raw = 1m = 1h = fleet 1m = fleet 1h`);
  for (const { signal, measure, raw, levels } of await readTotals(ask, range, pureSignals)) {
    const [all, missing] = [BigInt(sent[signal]?.[measure] ?? 0), BigInt(lost[signal]?.[measure] ?? 0)];
    const values = [String(all - missing), raw, ...levels];
    const isEqual = values.every((value) => value === values[0]);
    const left = missing === 0n ? "" : `${all} - ${missing} = `;
    say(`  ${isEqual ? "=" : "≠"} ${`${signal}.${measure}`.padEnd(32)} ${left}${isEqual ? values[0] : values.join(" ≠ ")}`);
  }
}

/** Starts of the windows that an agent said it gave up. */
function readGivenUp(stack: Stack, name: string, windowMs: number): ReadonlySet<number> {
  const starts = new Set<number>();
  const path = join(stack.agentDirectory(name), GIVEN_UP_FILE);
  if (!existsSync(path)) return starts;
  for (const line of readFileSync(path, "latin1").split("\n").slice(0, -1)) {
    const [startMs, lengthMs] = line.split(" ").map(Number) as [number, number];
    for (let at = startMs; at < startMs + lengthMs; at += windowMs) starts.add(at);
  }
  return starts;
}

function report(stack: Stack, hits: ReadonlyMap<FaultKind, number>, seed: number): void {
  const total = [...hits.values()].reduce((sum, count) => sum + count, 0);
  say(`\n${total} faults (seed ${seed}): ${faultKinds.flatMap((kind) => (hits.has(kind) ? [`${hits.get(kind)} ${kind}`] : [])).join(", ")}`);
  say("most memory, kill -9:");
  for (const { spec, rssMaxBytes, kills, ownDeaths } of stack.processes)
    say(
      `  ${spec.name.padEnd(16)} ${`${Math.round(rssMaxBytes / 1024 / 1024)} MiB`.padStart(9)} ${String(kills).padStart(3)}${ownDeaths.length > 0 ? `, ended by itself: ${ownDeaths.join(", ")}` : ""}`,
    );
}

let options: Options;
try {
  options = parseOptions(process.argv.slice(2));
} catch (error) {
  console.error(`${(error as Error).message}\n\n${USAGE}`);
  process.exit(2);
}
const beganMs = Date.now();
const holds = await run(options).catch((error: Error) => {
  console.error(error.stack ?? String(error));
  return false;
});
say(
  holds
    ? `\n0 lost, 0 doubled: the equation holds (${seconds(beganMs)})`
    : `\nTHE EQUATION DOES NOT HOLD (seed ${options.seed}, ${seconds(beganMs)})`,
);
process.exit(holds ? 0 : 1);
