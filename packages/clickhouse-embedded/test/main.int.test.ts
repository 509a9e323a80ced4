// SPDX-License-Identifier: Apache-2.0
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { createClient } from "@clickhouse/client";
import { afterEach, beforeEach, expect, test } from "vitest";
import { freePort } from "../src/testing.ts";

const MAIN = join(import.meta.dirname, "../src/main.ts");

let dataDirectory: string;
let httpPort: number;
const started: ChildProcess[] = [];

beforeEach(async () => {
  dataDirectory = await mkdtemp(join(tmpdir(), "waggle-clickhouse-main-"));
  httpPort = await freePort();
});
afterEach(async () => {
  for (const child of started.splice(0)) if (child.exitCode === null && child.signalCode === null) child.kill("SIGKILL");
  await engineGone();
  await rm(dataDirectory, { recursive: true, force: true });
});

test("prints one line when it is ready, and on SIGTERM leaves nothing running and answers 0", async () => {
  const main = start();
  await main.ready();
  const engine = await enginePid();
  expect(isRunning(engine)).toBe(true);
  main.child.kill("SIGTERM");
  expect(await main.ended()).toEqual([0, null]);
  expect(isRunning(engine)).toBe(false);
  expect(main.output()).toBe(`ClickHouse is ready at http://127.0.0.1:${httpPort} (pid ${engine}, data in ${dataDirectory})\n`);
  expect(main.errors()).toBe("");
});

test("answers 0 when it is told to stop while it starts", async () => {
  const main = start();
  while (!existsSync(join(dataDirectory, "users.xml"))) await sleep(1);
  main.child.kill("SIGINT");
  expect(await main.ended()).toEqual([0, null]);
  expect(main.errors()).toBe("");
});

test("loses nothing when it is killed with SIGKILL and started again at once", async () => {
  const first = start();
  await first.ready();
  const engine = await enginePid();
  await command("CREATE TABLE waggle.kept (n UInt32) ENGINE = MergeTree ORDER BY n");
  await command("INSERT INTO waggle.kept SELECT number FROM numbers(1000)");
  first.child.kill("SIGKILL");
  await first.ended();

  const second = start();
  await second.ready();
  expect(isRunning(engine)).toBe(false);
  expect(await rows("SELECT count() AS rows, sum(n) AS sum FROM waggle.kept")).toEqual([{ rows: 1000, sum: 499_500 }]);
});

test("answers 3 when the engine is killed, so that a supervisor starts it again", async () => {
  const main = start();
  await main.ready();
  process.kill(await enginePid(), "SIGKILL");
  expect(await main.ended()).toEqual([3, null]);
  expect(main.errors()).toContain("ClickHouse ended by itself: killed by SIGKILL");
});

test("stops with a parent that was killed with SIGKILL, when asked to", async () => {
  // A supervisor that starts main.ts and waits, as a shell does.
  const supervisor = spawn("sh", ["-c", '"$@" & wait', "supervisor", ...commandLine(["--stop-with-parent"])], { stdio: "ignore" });
  started.push(supervisor);
  await engineReady();
  const engine = await enginePid();
  supervisor.kill("SIGKILL");
  while (isRunning(engine)) await sleep(20);
});

test("names the option that is wrong and answers 2", async () => {
  for (const [wrong, message] of [
    [[], "dataDirectory"],
    [["--data", dataDirectory], "httpPort"],
    [["--data", dataDirectory, "--http-port", "eight"], "httpPort"],
    [["--data", dataDirectory, "--http-port", "1", "--nonsense"], "--nonsense"],
  ] as const) {
    const main = observe(spawn(process.execPath, [MAIN, ...wrong]));
    expect(await main.ended()).toEqual([2, null]);
    expect(main.errors()).toContain(message);
    expect(main.output()).toBe("");
  }
});

test("says that the port is taken and answers 1", async () => {
  const first = start();
  await first.ready();
  const second = observe(spawn(process.execPath, [MAIN, "--data", join(dataDirectory, "other"), "--http-port", String(httpPort)]));
  expect(await second.ended()).toEqual([1, null]);
  expect(second.errors()).toContain(`Port ${httpPort} on 127.0.0.1 is taken`);
});

const commandLine = (more: string[] = []): string[] => [process.execPath, MAIN, "--data", dataDirectory, "--http-port", String(httpPort), ...more];

function start() {
  const [node = "", ...rest] = commandLine();
  return observe(spawn(node, rest));
}

function observe(child: ChildProcess) {
  started.push(child);
  let output = "";
  let errors = "";
  child.stdout?.on("data", (chunk) => (output += chunk));
  child.stderr?.on("data", (chunk) => (errors += chunk));
  const closed = once(child, "close");
  return {
    child,
    output: () => output,
    errors: () => errors,
    ended: () => closed,
    async ready() {
      while (!output.includes("ready")) {
        if (child.exitCode !== null) throw new Error(`ended with ${child.exitCode}: ${errors}`);
        await sleep(10);
      }
    },
  };
}

async function password(): Promise<string> {
  return (await readFile(join(dataDirectory, "password"), "utf8")).trim();
}

async function connected<Answer>(use: (client: ReturnType<typeof createClient>) => Promise<Answer>): Promise<Answer> {
  const client = createClient({ url: `http://127.0.0.1:${httpPort}`, username: "waggle", password: await password() });
  try {
    return await use(client);
  } finally {
    await client.close();
  }
}

const command = (query: string) => connected((client) => client.command({ query }));
const rows = (query: string) => connected(async (client) => (await client.query({ query, format: "JSONEachRow" })).json());

async function engineReady(): Promise<void> {
  for (;;) {
    const response = await fetch(`http://127.0.0.1:${httpPort}/ping`).catch(() => undefined);
    if (response?.ok) return;
    await sleep(20);
  }
}

async function enginePid(): Promise<number> {
  return Number(/^PID: (\d+)/m.exec(await readFile(join(dataDirectory, "engine/status"), "utf8"))?.[1]);
}

async function engineGone(): Promise<void> {
  const pid = await enginePid().catch(() => undefined);
  while (pid !== undefined && isRunning(pid)) await sleep(20);
}

/** Whether the process is there and is still the engine; a zombie is gone. */
function isRunning(pid: number): boolean {
  try {
    const [, state] = /^State:\s+(\w)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? [];
    return state !== "Z" && readFileSync(`/proc/${pid}/comm`, "utf8") === "clickhouse-host\n";
  } catch {
    return false;
  }
}
