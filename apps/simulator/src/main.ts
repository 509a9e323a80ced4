// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { Command, InvalidArgumentError } from "commander";
import { connect } from "./connection.ts";
import { makeFleet } from "./fleet.ts";
import { Ledger } from "./ledger.ts";
import { SimulatedAgent } from "./simulated-agent.ts";

const WINDOW_MS = 10_000;
/** Windows of the past that every host takes at once; well below what it keeps while the API is away. */
const WINDOWS_AT_ONCE = 60;

const wholeNumber = (min: number, max: number) => (text: string) => {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < min || value > max) throw new InvalidArgumentError(`expected a whole number from ${min} to ${max}`);
  return value;
};

interface Options {
  hosts: number;
  api: string;
  tokenFile: string;
  duration?: number;
  seed: number;
  backfill: number;
  ledger?: string;
}

const command = new Command("waggle simulate")
  .description("A fleet of made-up hosts over the real wire. Host names start with sim-.")
  .option("--hosts <n>", "hosts in the fleet", wholeNumber(1, 10_000), 20)
  .option("--api <address>", "host:port of the ingest API", "127.0.0.1:7302")
  .option("--token-file <file>", "file with an enrolment token", ".waggle/data/enrolment-token")
  .option("--duration <seconds>", "stop after this long", wholeNumber(1, 86_400))
  .option("--seed <n>", "the same seed gives the same fleet and numbers", wholeNumber(0, 2 ** 31 - 1), 1)
  .option("--backfill <minutes>", "windows of the past to send first", wholeNumber(0, 1_440), 0)
  .option("--ledger <file>", "write what was acknowledged, one JSON line per host and window")
  .action(run);

async function run(options: Options): Promise<void> {
  const token = readFileSync(options.tokenFile, "utf8").trim();
  const client = connect(options.api);
  const ledger = new Ledger(options.ledger);
  const agents = makeFleet(options.seed, options.hosts).map(
    (host) => new SimulatedAgent({ client, token, host, seed: options.seed, windowMs: WINDOW_MS, ledger, say: (line) => console.log(line) }),
  );

  const stop = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => stop.abort());
  const endAtMs = options.duration === undefined ? Number.POSITIVE_INFINITY : Date.now() + options.duration * 1000;

  // gRPC does not keep a process alive while it waits to connect again; this does.
  const alive = setInterval(() => {}, 60_000);
  let windowStartMs = (Math.floor(Date.now() / WINDOW_MS) - 1 - options.backfill * 6) * WINDOW_MS;
  console.log(`${options.hosts} simulated hosts (seed ${options.seed}) send to ${options.api}`);
  while (!stop.signal.aborted && Date.now() < endAtMs) {
    const due: number[] = [];
    for (; windowStartMs + WINDOW_MS <= Date.now() && due.length < WINDOWS_AT_ONCE; windowStartMs += WINDOW_MS) due.push(windowStartMs);
    if (due.length > 0) await Promise.all(agents.map((agent) => agent.windows(due)));
    else await sleep(windowStartMs + WINDOW_MS - Date.now(), undefined, { signal: stop.signal }).catch(() => {});
  }
  clearInterval(alive);
  for (const agent of agents) agent.close();
  await ledger.close();
  client.close();
  const acknowledged = agents.reduce((sum, agent) => sum + agent.acknowledged, 0);
  const dropped = agents.reduce((sum, agent) => sum + agent.dropped, 0);
  console.log(`${acknowledged} windows acknowledged, ${dropped} given up`);
}

try {
  await command.parseAsync();
} catch (error) {
  console.error(`waggle simulate: ${(error as Error).message}`);
  process.exitCode = 1;
}
