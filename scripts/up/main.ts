// SPDX-License-Identifier: Apache-2.0
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { AGENT_UID, agentObstacles, giveEnrolmentToken, stageAgent } from "./agent-stage.ts";
import { agentSpec, apiSpec, clickhouseSpec, simulatorSpec, webSpec } from "./components.ts";
import { instanceIdOf, lockDataDirectory, takenPorts } from "./instance.ts";
import { parseUpOptions, type UpOptions, UsageError } from "./options.ts";
import { hasFirstWindow, isHealthy } from "./readiness.ts";
import { type Component, Supervisor } from "./supervisor.ts";

const root = resolve(import.meta.dirname, "../..");
const startedAt = performance.now();
const beganAtSeconds = Number(process.env["WAGGLE_UP_STARTED_AT"] ?? Date.now() / 1000);

const say = (line: string): void => console.log(`  ${line}`);

/** Runs one step of the start and prints what it did and how long it took. */
async function step<T>(title: string, run: () => Promise<T> | T): Promise<T> {
  const began = performance.now();
  const result = await run();
  console.log(`  ✓ ${title.padEnd(44)} ${((performance.now() - began) / 1000).toFixed(1).padStart(5)}s`);
  return result;
}

/** Waits until `check` holds. Throws with the component's own last words when it does not within the time. */
async function waitFor(what: string, component: Component | undefined, timeoutMs: number, check: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!(await check())) {
    if (stopping.aborted) throw new Error("stopped");
    if (component !== undefined && component.failures >= 5) {
      throw new Error(`${component.name} keeps failing. Its last words (${component.logPath}):\n${component.logTail()}`);
    }
    if (performance.now() > deadline) {
      const words = component === undefined ? "" : ` Last words of ${component.name} (${component.logPath}):\n${component.logTail()}`;
      throw new Error(`${what}: not after ${timeoutMs / 1000} s.${words}`);
    }
    await sleep(100);
  }
}

const stop = new AbortController();
const stopping = stop.signal;

async function up(options: UpOptions): Promise<void> {
  const { dataDirectory, ports } = options;
  const instanceId = instanceIdOf(dataDirectory);
  const release = lockDataDirectory(dataDirectory);
  const supervisor = new Supervisor(join(dataDirectory, "logs"), say);
  try {
    const taken = await takenPorts(ports);
    if (taken.length > 0) throw new Error(`something listens on port ${taken.join(", ")} already; stop it, or choose another --port-base`);
    writeFileSync(join(dataDirectory, "port-base"), `${ports.web}\n`);
    await start(options, instanceId, supervisor);
    await new Promise<void>((resolve) => {
      if (stopping.aborted) resolve();
      else stopping.addEventListener("abort", () => resolve(), { once: true });
    });
  } finally {
    await step("stopped", () => supervisor.stop());
    release();
  }
}

async function start(options: UpOptions, instanceId: string, supervisor: Supervisor): Promise<void> {
  const { dataDirectory, ports } = options;
  const context = { root, dataDirectory, ports };

  if (process.env["WAGGLE_CLICKHOUSE_URL"] === undefined) {
    await step(`ClickHouse on 127.0.0.1:${ports.clickhouse}`, async () => {
      const clickhouse = supervisor.start(clickhouseSpec(context));
      await waitFor("ClickHouse answers", clickhouse, 60_000, () => isHealthy(`http://127.0.0.1:${ports.clickhouse}/ping`));
    });
  }
  const adminTokenFile = join(dataDirectory, "admin-token");
  const enrolmentTokenFile = join(dataDirectory, "enrolment-token");
  await step(`API on 127.0.0.1:${ports.rest}, ingest on :${ports.ingest}`, async () => {
    const api = supervisor.start(apiSpec(context));
    const ready = async () => existsSync(adminTokenFile) && (await isHealthy(`http://127.0.0.1:${ports.rest}/readyz`));
    await waitFor("the API is ready", api, 60_000, ready);
  });
  const token = readFileSync(adminTokenFile, "utf8").trim();

  const obstacles = options.agent ? agentObstacles() : [];
  let sender: Component | undefined;
  if (options.agent && obstacles.length === 0) {
    sender = await step(`agent on this host (uid ${AGENT_UID}, CAP_BPF + CAP_PERFMON)`, () => {
      const staged = stageAgent(root, dataDirectory, instanceId);
      giveEnrolmentToken(staged, readFileSync(enrolmentTokenFile, "utf8"));
      return supervisor.start(agentSpec(context, staged));
    });
  }
  if (options.simulateHosts > 0) {
    const simulator = await step(`simulated fleet of ${options.simulateHosts}`, () =>
      supervisor.start(simulatorSpec(context, options.simulateHosts)),
    );
    sender ??= simulator;
  }
  if (options.web) {
    await step(`web app on 127.0.0.1:${ports.web}`, async () => {
      const web = supervisor.start(webSpec(context));
      await waitFor("the web app answers", web, 60_000, () => isHealthy(`http://127.0.0.1:${ports.web}/sign-in`));
    });
  }
  if (obstacles.length > 0) {
    console.log("\n  The agent was not started on this host:");
    for (const obstacle of obstacles) console.log(`    - ${obstacle}`);
    console.log("  What works without it: ClickHouse, the API, the web app, and a simulated fleet (./waggle up --simulate 20).\n");
  }
  if (sender !== undefined) {
    await step("first window queryable", () =>
      waitFor("a first window can be queried", sender, 90_000, () => hasFirstWindow(`http://127.0.0.1:${ports.rest}`, token, startedAt)),
    );
  }
  const url = options.web ? `http://127.0.0.1:${ports.web}` : `http://127.0.0.1:${ports.rest}/api/v1`;
  console.log(`\n  open     ${url}`);
  console.log(`  sign in  with the token in ${adminTokenFile}`);
  console.log(`  logs     ${join(dataDirectory, "logs")}`);
  console.log(
    `\nready after ${Math.round(Date.now() / 1000 - beganAtSeconds)} s${sender === undefined ? " (no agent: no data yet)" : ""}; Ctrl-C stops everything\n`,
  );
}

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => stop.abort());

try {
  await up(parseUpOptions(process.argv.slice(2), root));
} catch (error) {
  if (!stopping.aborted) {
    console.error(`waggle up: ${(error as Error).message}`);
    process.exitCode = error instanceof UsageError ? 2 : 1;
  }
}
