// SPDX-License-Identifier: Apache-2.0
import { execFileSync, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { chownSync, existsSync, readdirSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { freePort, makeScratch } from "@waggle/clickhouse-embedded/testing";
import pg from "pg";

/** Debian keeps the server's programs out of PATH, one folder per version. */
function postgresPrograms(): string | undefined {
  const root = "/usr/lib/postgresql";
  const versions = existsSync(root) ? readdirSync(root).sort((a, b) => Number(b) - Number(a)) : [];
  return versions.map((version) => join(root, version, "bin")).find((folder) => existsSync(join(folder, "initdb")));
}
const programs = postgresPrograms();

/** Whether this machine has a Postgres server to start. */
export const hasPostgres = programs !== undefined;

/** An empty database of a test's own. */
export interface TestPostgres {
  /** The value of WAGGLE_DATABASE_URL that leads here. */
  readonly url: string;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Files of tests that share a server have up to three API nodes each, and a node has ten connections. */
const CONNECTIONS_MAX = 400;
const START_TIMEOUT_MS = 30_000;

/** Starts a server on a free port of 127.0.0.1. It may still be starting when this returns, as a real one may. */
export async function startTestPostgres(): Promise<TestPostgres> {
  if (programs === undefined) throw new Error("there is no Postgres server here; install Debian's package postgresql");
  const directory = await makeScratch("waggle-postgres-");
  // The server refuses to run as root; its package brings a user.
  const ids = process.getuid?.() === 0 ? { uid: userId("-u"), gid: userId("-g") } : {};
  if (ids.uid !== undefined) chownSync(directory, ids.uid, ids.gid as number);
  const data = join(directory, "data");
  execFileSync(join(programs, "initdb"), ["-D", data, "-A", "trust", "-U", "waggle", "--no-sync"], { ...ids, cwd: "/", stdio: "ignore" });
  const port = await freePort();
  const settings = ["listen_addresses=127.0.0.1", `max_connections=${CONNECTIONS_MAX}`];
  const words = [
    join(programs, "postgres"),
    "-D",
    data,
    "-p",
    String(port),
    ...settings.flatMap((setting) => ["-c", setting]),
    "-k",
    directory,
    "-F",
  ];
  // Ends with whoever started it, also when that is killed.
  const server = spawn("setpriv", ["--pdeathsig", "INT", ...words], { ...ids, cwd: "/", stdio: "ignore" });
  const exited = new Promise((resolve) => server.once("exit", resolve));
  return {
    url: `postgres://waggle@127.0.0.1:${port}/postgres`,
    async [Symbol.asyncDispose]() {
      if (server.kill("SIGINT")) await exited;
      await rm(directory, { recursive: true, force: true });
    },
  };
}

/** A server that several files use, and the database on it after which each makes its own. */
export interface SharedPostgres {
  readonly serverUrl: string;
  readonly template: string;
}

/** @param fill what every database shall begin with */
export async function sharePostgres(serverUrl: string, fill: (url: string) => Promise<void>): Promise<SharedPostgres> {
  const template = "test_template";
  await onServer(serverUrl, `CREATE DATABASE ${template}`);
  await fill(urlOf(serverUrl, template));
  return { serverUrl, template };
}

export async function createTestDatabase({ serverUrl, template }: SharedPostgres): Promise<TestPostgres> {
  const name = `test_${randomBytes(6).toString("hex")}`;
  await onServer(serverUrl, `CREATE DATABASE ${name} TEMPLATE ${template}`);
  return {
    url: urlOf(serverUrl, name),
    [Symbol.asyncDispose]: () => onServer(serverUrl, `DROP DATABASE ${name} WITH (FORCE)`),
  };
}

function urlOf(serverUrl: string, database: string): string {
  const url = new URL(serverUrl);
  url.pathname = `/${database}`;
  return url.href;
}

/** Runs a statement when the server has started. */
async function onServer(url: string, statement: string): Promise<void> {
  for (const deadline = Date.now() + START_TIMEOUT_MS; ; await sleep(50)) {
    const client = new pg.Client({ connectionString: url });
    try {
      await client.connect();
    } catch (error) {
      const isStarting = ["ECONNREFUSED", "57P03"].includes((error as { code?: string }).code ?? "");
      if (isStarting && Date.now() < deadline) continue;
      throw error;
    }
    try {
      await client.query(statement);
      return;
    } finally {
      await client.end();
    }
  }
}

function userId(flag: "-u" | "-g"): number {
  return Number(execFileSync("id", [flag, "postgres"], { encoding: "utf8" }).trim());
}
