// SPDX-License-Identifier: Apache-2.0
import { execFileSync, spawn } from "node:child_process";
import { chownSync, existsSync, mkdtempSync, readdirSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "@waggle/clickhouse-embedded/testing";

/** Debian keeps the server's programs out of PATH, one folder per version. */
function postgresPrograms(): string | undefined {
  const root = "/usr/lib/postgresql";
  const versions = existsSync(root) ? readdirSync(root).sort((a, b) => Number(b) - Number(a)) : [];
  return versions.map((version) => join(root, version, "bin")).find((folder) => existsSync(join(folder, "initdb")));
}
const programs = postgresPrograms();

/** Whether this machine has a Postgres server to start. */
export const hasPostgres = programs !== undefined;

/** A Postgres server of a test's own, with an empty database. */
export interface TestPostgres {
  /** The value of WAGGLE_DATABASE_URL that leads here. */
  readonly url: string;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Starts a server on a free port of 127.0.0.1. It may still be starting when this returns, as a real one may. */
export async function startTestPostgres(): Promise<TestPostgres> {
  if (programs === undefined) throw new Error("there is no Postgres server here; install Debian's package postgresql");
  const directory = mkdtempSync(join(tmpdir(), "waggle-postgres-"));
  // The server refuses to run as root; its package brings a user.
  const ids = process.getuid?.() === 0 ? { uid: userId("-u"), gid: userId("-g") } : {};
  if (ids.uid !== undefined) chownSync(directory, ids.uid, ids.gid as number);
  const data = join(directory, "data");
  execFileSync(join(programs, "initdb"), ["-D", data, "-A", "trust", "-U", "waggle", "--no-sync"], { ...ids, cwd: "/", stdio: "ignore" });
  const port = await freePort();
  const server = spawn(join(programs, "postgres"), ["-D", data, "-p", String(port), "-c", "listen_addresses=127.0.0.1", "-k", directory, "-F"], {
    ...ids,
    cwd: "/",
    stdio: "ignore",
  });
  const exited = new Promise((resolve) => server.once("exit", resolve));
  return {
    url: `postgres://waggle@127.0.0.1:${port}/postgres`,
    async [Symbol.asyncDispose]() {
      if (server.kill("SIGINT")) await exited;
      await rm(directory, { recursive: true, force: true });
    },
  };
}

function userId(flag: "-u" | "-g"): number {
  return Number(execFileSync("id", [flag, "postgres"], { encoding: "utf8" }).trim());
}
