// SPDX-License-Identifier: Apache-2.0
/**
 * Runs the embedded ClickHouse server in the foreground until SIGINT or SIGTERM.
 *
 *   node packages/clickhouse-embedded/src/main.ts --data DIR --http-port N [--tcp-port N] [--max-memory BYTES] [--stop-with-parent]
 *
 * Prints one line when it is ready. Exit status: 0 stopped by a signal or with its parent, 1 could not start, 2 bad command line,
 * 3 the server ended by itself (so that a supervisor starts it again).
 */
import { once } from "node:events";
import { parseArgs } from "node:util";
import { ClickHouseServerError, startClickHouseServer } from "./index.ts";

const USAGE = `usage: main.ts --data DIR --http-port N [--tcp-port N] [--max-memory BYTES] [--stop-with-parent]

  --data DIR           where the data, the configuration, the password and the logs are
  --http-port N        HTTP port on 127.0.0.1
  --tcp-port N         native protocol port on 127.0.0.1; none by default
  --max-memory BYTES   memory the engine may use in all; default: a quarter of the machine's, within 1..4 GiB
  --stop-with-parent   stop when the process that started this one ends, however it ended
`;

const EXIT_START = 1;
const EXIT_USAGE = 2;
const EXIT_ENDED = 3;
const PARENT_POLL_MS = 500;

process.title = "waggle-clickhouse";
process.exitCode = await main(process.argv.slice(2));

async function main(commandLine: string[]): Promise<number> {
  // First of all, so that a parent that goes while the server starts is noticed too.
  const parent = process.ppid;
  let values: ReturnType<typeof parse>;
  try {
    values = parse(commandLine);
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n\n${USAGE}`);
    return EXIT_USAGE;
  }
  if (values.help) {
    process.stdout.write(USAGE);
    return 0;
  }

  const stopping = new AbortController();
  const stopRequested = once(stopping.signal, "abort").then(() => "stop" as const);
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => stopping.abort());
  if (values["stop-with-parent"]) {
    // A parent killed with SIGKILL says nothing, and its children are handed to another process: that is the sign.
    const timer = setInterval(() => process.ppid !== parent && stopping.abort(), PARENT_POLL_MS);
    timer.unref();
  }

  try {
    const server = await startClickHouseServer({
      dataDirectory: values.data ?? "",
      httpPort: integer(values["http-port"]),
      ...(values["tcp-port"] === undefined ? {} : { tcpPort: integer(values["tcp-port"]) }),
      ...(values["max-memory"] === undefined ? {} : { maxMemoryBytes: integer(values["max-memory"]) }),
      signal: stopping.signal,
    });
    process.stdout.write(`ClickHouse is ready at ${server.url} (pid ${server.pid}, data in ${values.data})\n`);

    if ((await Promise.race([stopRequested, server.exited.then(() => "ended" as const)])) === "stop") {
      await server.stop();
      return 0;
    }
    const { code, signal } = await server.exited;
    process.stderr.write(`ClickHouse ended by itself: ${signal ? `killed by ${signal}` : `status ${code}`}. ${server.lastWords()}\n`);
    return EXIT_ENDED;
  } catch (error) {
    if (stopping.signal.aborted) return 0;
    if (!(error instanceof ClickHouseServerError)) throw error;
    process.stderr.write(`${error.message}\n`);
    return error.code === "invalid-option" ? EXIT_USAGE : EXIT_START;
  }
}

function parse(commandLine: string[]) {
  const { values } = parseArgs({
    args: commandLine,
    options: {
      data: { type: "string" },
      "http-port": { type: "string" },
      "tcp-port": { type: "string" },
      "max-memory": { type: "string" },
      "stop-with-parent": { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  return values;
}

/** NaN for what is not a plain number: `startClickHouseServer` then names the option. */
function integer(text: string | undefined): number {
  return text !== undefined && /^\d+$/.test(text) ? Number(text) : Number.NaN;
}
