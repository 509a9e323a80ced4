// SPDX-License-Identifier: Apache-2.0
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { launchEnvironment } from "../apps/api/src/launch.ts";
import { freePort, type TestClickHouse } from "../packages/clickhouse-embedded/src/testing.ts";

const root = resolve(import.meta.dirname, "..");

/** The built API as a process of its own, in front of a ClickHouse of the benchmark's own. */
export interface ApiProcess extends AsyncDisposable {
  readonly pid: number;
  readonly restUrl: string;
  readonly ingestAddress: string;
  readonly adminToken: string;
  readonly enrolmentToken: string;
}

/**
 * @param keptDirectory of the embedded Postgres and the tokens; left out: a temporary one
 * @param databaseUrl a Postgres server instead of the embedded one
 */
export async function startApi(
  clickhouse: Pick<TestClickHouse, "url" | "database">,
  { keptDirectory, databaseUrl = "" }: { keptDirectory?: string; databaseUrl?: string | undefined } = {},
): Promise<ApiProcess> {
  const directory = keptDirectory ?? mkdtempSync(join(tmpdir(), "waggle-bench-"));
  const [httpPort, grpcPort] = [await freePort(), await freePort()];
  const url = new URL(clickhouse.url);
  // Profilers and heap limits go in the way Node has for it.
  const nodeOptions = process.env["WAGGLE_BENCH_API_NODE_OPTIONS"]?.split(" ") ?? [];
  const child = spawn(process.execPath, [...nodeOptions, join(root, "apps/api/dist/main.js")], {
    cwd: join(root, "apps/api"),
    env: {
      PATH: process.env["PATH"],
      WAGGLE_API_HTTP_PORT: String(httpPort),
      WAGGLE_API_GRPC_PORT: String(grpcPort),
      WAGGLE_API_DATA_DIRECTORY: directory,
      ...launchEnvironment,
      WAGGLE_DATABASE_URL: databaseUrl,
      WAGGLE_API_LOG_LEVEL: "warn",
      WAGGLE_CLICKHOUSE_URL: url.origin,
      WAGGLE_CLICKHOUSE_USERNAME: url.username,
      WAGGLE_CLICKHOUSE_PASSWORD: url.password,
      WAGGLE_CLICKHOUSE_DATABASE: clickhouse.database,
    },
    stdio: ["ignore", process.env["WAGGLE_BENCH_API_NODE_OPTIONS"] === undefined ? "ignore" : 2, "inherit"],
  });
  const exited = once(child, "exit");
  const stop = async (): Promise<void> => {
    child.kill("SIGTERM");
    await exited;
    if (keptDirectory === undefined) rmSync(directory, { recursive: true });
  };
  const restUrl = `http://127.0.0.1:${httpPort}`;
  try {
    await untilReady(`${restUrl}/readyz`);
    const token = (name: string): string => readFileSync(join(directory, name), "utf8").trim();
    return {
      pid: child.pid as number,
      restUrl,
      ingestAddress: `127.0.0.1:${grpcPort}`,
      adminToken: token("admin-token"),
      enrolmentToken: token("enrolment-token"),
      [Symbol.asyncDispose]: stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function untilReady(url: string): Promise<void> {
  const deadline = performance.now() + 60_000;
  for (;;) {
    const ready = await fetch(url).then(
      (response) => response.ok,
      () => false,
    );
    if (ready) return;
    if (performance.now() > deadline) throw new Error(`${url} was not ready after 60 s`);
    await sleep(100);
  }
}
