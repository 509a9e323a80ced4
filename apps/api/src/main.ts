// SPDX-License-Identifier: Apache-2.0
import { setFlagsFromString } from "node:v8";
import { createApp } from "./app.ts";
import { createLog } from "./common/log.ts";
import { ConfigError, readConfig } from "./config/config.ts";

/** A stop that takes longer has hung; what was not acknowledged is still with the agents. */
const STOP_TIMEOUT_MS = 5_000;

/**
 * How far V8's heap may grow beyond what lived at the last collection before the next, %. By itself V8 lets it grow up to fourfold: over minutes of an outage,
 * when frames are sent away again and again, the process became 140 MB larger for nothing. Buffers count in it, so that with half as much room, what they go up and
 * down at full ingest sufficed for another walk through the heap, and again. NODE_OPTIONS does not take this flag.
 */
const HEAP_GROWTH_PERCENT = 100;

async function main(): Promise<void> {
  setFlagsFromString(`--heap-growing-percent=${HEAP_GROWTH_PERCENT}`);
  process.title = "waggle-api";
  const { config, warnings } = readConfig(process.env);
  const log = createLog(config.logLevel);
  for (const warning of warnings) log.warn({ warning }, "configuration");

  const app = await createApp(config, log);
  await app.listen(config.http.port, config.http.host);
  log.info(
    { http: await app.getUrl(), clickhouse: new URL(config.clickhouse.url).host, postgres: config.databaseUrl === undefined ? "embedded" : "server" },
    "listening",
  );

  let isStopping = false;
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.on(signal, () => {
      if (isStopping) return;
      isStopping = true;
      log.info({ signal }, "stopping");
      setTimeout(() => {
        log.error({ timeoutMs: STOP_TIMEOUT_MS }, "the stop hung");
        process.exit(1);
      }, STOP_TIMEOUT_MS).unref();
      app.close().then(
        () => {
          log.info({}, "stopped");
          process.exit(0);
        },
        (error) => {
          log.error({ err: error }, "the stop failed");
          process.exit(1);
        },
      );
    });
  }
}

main().catch((error: unknown) => {
  console.error(error instanceof ConfigError ? `waggle-api: ${error.message}` : error);
  process.exit(1);
});
