// SPDX-License-Identifier: Apache-2.0
import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes, randomUUID } from "node:crypto";
import { closeSync, constants, existsSync, fstatSync, openSync, readSync } from "node:fs";
import { access, chmod, link, readFile, rename, rm, stat, truncate, writeFile } from "node:fs/promises";
import { totalmem } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { makeDirectory } from "@waggle/directory";
import { buildHost } from "./build.ts";
import { type Clusters, configXml, USERNAME, usersXml } from "./config.ts";
import { ClickHouseServerError } from "./errors.ts";
import { findLibrary } from "./library.ts";

export interface ClickHouseServerOptions {
  /** Directory for data, configuration, password and logs. Made if missing, mode 0700. One server at a time. */
  readonly dataDirectory: string;
  /** HTTP port on 127.0.0.1, 1..65535. */
  readonly httpPort: number;
  /** Native protocol port on 127.0.0.1. Left out: no native listener. */
  readonly tcpPort?: number;
  /** Memory the engine may use in all, bytes, at least 512 MiB. Default: a quarter of the machine's, within 1..4 GiB. */
  readonly maxMemoryBytes?: number;
  /** Queries at a time; one more is refused at once with TOO_MANY_SIMULTANEOUS_QUERIES. Default 100. */
  readonly maxConcurrentQueries?: number;
  /** Clusters that `Distributed` tables and `cluster()` of this server may name. Their passwords go into config.xml, mode 0600. */
  readonly clusters?: Clusters;
  /** Stop the server when this process ends in any way, SIGKILL included (Linux; elsewhere it has no effect). Default true. */
  readonly stopWithParent?: boolean;
  /** How long to wait for readiness, ms. Loading the parts of a large directory takes a while, hence the default 120,000. */
  readonly startTimeoutMs?: number;
  /** Gives up a start that is still under way; the promise then rejects with the signal's reason. Has no effect on a server that is up. */
  readonly signal?: AbortSignal;
  /** How long an orderly stop may take before the process is killed, ms, 1,000..3,600,000. Default 10,000. */
  readonly stopTimeoutMs?: number;
}

/** How the server process ended: `code` as `clickhouse-host` documents it, or the signal that killed it. */
export interface ClickHouseServerExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface ClickHouseServer {
  /** `http://127.0.0.1:<httpPort>`, without credentials. */
  readonly url: string;
  readonly username: string;
  readonly password: string;
  /** The database made for the product, engine Atomic: `waggle`. */
  readonly database: string;
  readonly pid: number;
  /** Resolves when the process has ended, asked or not. Never rejects. */
  readonly exited: Promise<ClickHouseServerExit>;
  /** What the engine last said on stderr and in its error log, at most a few KiB: for the message of whoever found it dead. */
  lastWords(): string;
  /** Orderly stop; SIGKILL after `stopTimeoutMs`. Resolves when the process has ended; may be called twice. */
  stop(): Promise<void>;
}

export const DATABASE = "waggle";

const MEBIBYTE = 1024 * 1024;
const READY_POLL_MS = 20;
const READY_QUERY_TIMEOUT_MS = 5_000;
const LOCK_POLL_MS = 100;
const STDERR_BYTES_MAX = MEBIBYTE;
const LAST_WORDS_BYTES_MAX = 4096;
/** What the engine says on stderr when all is well. */
const CHATTER = /^Logging \w+ to /;

/** Exit statuses of host.c. */
const EXIT_LIBRARY = 3;
const EXIT_LOCKED = 6;

interface Files {
  readonly root: string;
  readonly engine: string;
  readonly logs: string;
  readonly config: string;
  readonly users: string;
  readonly password: string;
  readonly stderr: string;
  readonly errorLog: string;
}

/**
 * Starts a ClickHouse server on 127.0.0.1 and waits until it answers a query with the password.
 *
 * @throws ClickHouseServerError; nothing is left running then
 */
export async function startClickHouseServer(options: ClickHouseServerOptions): Promise<ClickHouseServer> {
  const settings = validate(options);
  const library = findLibrary();
  const host = await buildHost();
  const files = filesIn(settings.dataDirectory);
  const password = await prepareDirectory(files, settings);

  const lockDeadline = Date.now() + settings.stopTimeoutMs;
  for (;;) {
    const engine = new Engine(host, library, files, password, settings);
    try {
      await engine.ready();
      return engine;
    } catch (error) {
      await engine.kill();
      // After a crash of the process that started it, the old engine is still writing out what it has: that takes a moment, and is no conflict.
      const retry = isInUse(error) && Date.now() < lockDeadline && (await holderIsOrphan(files));
      if (!retry) throw error;
      await sleep(LOCK_POLL_MS);
      settings.signal?.throwIfAborted();
    }
  }
}

class Engine implements ClickHouseServer {
  readonly url: string;
  readonly username = USERNAME;
  readonly database = DATABASE;
  readonly exited: Promise<ClickHouseServerExit>;
  /** Private with a getter, so that printing a server doesn't print its password. */
  readonly #password: string;
  readonly #child: ChildProcess;
  readonly #files: Files;
  readonly #settings: Settings;
  /** Marks the query that holds this very process up, so that readiness cannot be mistaken for another server on the same port. */
  readonly #token = randomUUID();
  readonly #startedAt = Date.now();
  readonly #stderrOffset: number;
  #exit: ClickHouseServerExit | undefined;

  constructor(host: string, library: string, files: Files, password: string, settings: Settings) {
    this.url = `http://127.0.0.1:${settings.httpPort}`;
    this.#password = password;
    this.#files = files;
    this.#settings = settings;

    const stderr = openSync(files.stderr, "a", 0o600);
    try {
      this.#stderrOffset = fstatSync(stderr).size;
      this.#child = spawn(host, this.#arguments(library), {
        cwd: files.root,
        // Its own session: Ctrl-C in the terminal is for us to handle, and `SYSTEM SHUTDOWN` signals the engine's whole process group.
        detached: true,
        stdio: ["ignore", "ignore", stderr],
        // Nothing of our environment: it may hold secrets, and libraries inside the engine read variables of their own (AWS_, OTEL_, …).
        // Without HOME the engine also finds no place for a history of commands, so it ends at once when its last query has.
        env: { TZ: "UTC", LC_ALL: "C.UTF-8" },
      });
    } finally {
      closeSync(stderr);
    }
    this.exited = new Promise((resolveExit) => {
      const ended = (exit: ClickHouseServerExit): void => {
        this.#exit = exit;
        resolveExit(exit);
      };
      this.#child.once("exit", (code, signal) => ended({ code, signal }));
      this.#child.once("error", (error) => {
        this.#spawnError = error;
        ended({ code: null, signal: null });
      });
    });
  }

  #spawnError: Error | undefined;

  get password(): string {
    return this.#password;
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  #arguments(library: string): string[] {
    const { httpPort, tcpPort, stopWithParent, stopTimeoutMs } = this.#settings;
    const listen = ["SYSTEM START LISTEN HTTP", ...(tcpPort ? ["SYSTEM START LISTEN TCP"] : [])];
    // The engine serves for as long as its last query runs; this one waits, at no cost, for host.c to close the FIFO.
    const hold =
      `SELECT * FROM file('${HOLD_FIFO}', 'LineAsString', 'line String') ` +
      `SETTINGS log_comment = '${this.#token}', max_threads = 1, storage_file_read_method = 'read' FORMAT Null`;
    return [
      library,
      this.#files.engine,
      HOLD_FIFO,
      String(Math.ceil(stopTimeoutMs / 1000)),
      String(stopWithParent ? process.pid : 0),
      "--config-file",
      this.#files.config,
      "--path",
      this.#files.engine,
      "--listen_host",
      "127.0.0.1",
      "--http_port",
      String(httpPort),
      ...(tcpPort ? ["--tcp_port", String(tcpPort)] : []),
      // Not for anybody to interact with: see take_terminal in host.c. The rest keeps that mode quiet.
      "--interactive",
      "--disable_suggestion",
      "--progress",
      "off",
      "--progress-table",
      "off",
      "--query",
      [...listen, hold].join("; "),
    ];
  }

  /** @throws ClickHouseServerError if the process ends first, or in `startTimeoutMs` */
  async ready(): Promise<void> {
    const deadline = this.#startedAt + this.#settings.startTimeoutMs;
    let lastAnswer = "no answer yet";
    while (this.#exit === undefined) {
      this.#settings.signal?.throwIfAborted();
      try {
        const holding = await this.#query(`SELECT count() FROM system.processes WHERE Settings['log_comment'] = '${this.#token}'`);
        if (holding.trim() === "1") return await this.#createDatabase();
        lastAnswer = `another server answered on port ${this.#settings.httpPort}`;
      } catch (error) {
        if (error instanceof ClickHouseServerError) throw error;
        lastAnswer = error instanceof Error ? error.message : String(error);
      }
      if (Date.now() > deadline) {
        throw new ClickHouseServerError(
          "start-timeout",
          `ClickHouse in ${this.#files.root} was not ready after ${this.#settings.startTimeoutMs} ms (${lastAnswer}). ` +
            `Its log is in ${this.#files.logs}. ${this.lastWords()}`.trim(),
        );
      }
      await Promise.race([this.exited, sleep(READY_POLL_MS)]);
    }
    throw await this.#startFailure(this.#exit);
  }

  async #createDatabase(): Promise<void> {
    try {
      await this.#query(`CREATE DATABASE IF NOT EXISTS ${DATABASE} ENGINE = Atomic`);
    } catch (cause) {
      throw new ClickHouseServerError(
        "start-failed",
        `ClickHouse in ${this.#files.root} answers, but cannot create the database ${DATABASE}: ${(cause as Error).message}`,
        { cause },
      );
    }
  }

  async #query(query: string): Promise<string> {
    const response = await fetch(this.url, {
      method: "POST",
      body: query,
      headers: {
        authorization: `Basic ${Buffer.from(`${this.username}:${this.password}`).toString("base64")}`,
        // A connection kept alive would make a stop soon after the start wait for it.
        connection: "close",
      },
      signal: AbortSignal.timeout(READY_QUERY_TIMEOUT_MS),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(text.slice(0, LAST_WORDS_BYTES_MAX));
    return text;
  }

  async #startFailure(exit: ClickHouseServerExit): Promise<ClickHouseServerError> {
    const { root, logs, engine } = this.#files;
    const words = this.lastWords();
    const { httpPort, tcpPort } = this.#settings;
    if (this.#spawnError) {
      return new ClickHouseServerError("start-failed", `Cannot run the ClickHouse host program: ${this.#spawnError.message}`, {
        cause: this.#spawnError,
      });
    }
    if (exit.code === EXIT_LOCKED || words.includes("Another server instance in same directory is already running")) {
      const holder = await holderPid(this.#files);
      return new ClickHouseServerError(
        "data-directory-in-use",
        `Another ClickHouse server${holder ? ` (pid ${holder})` : ""} already uses ${root}. ` +
          "Stop it first, or give this one a data directory of its own.",
      );
    }
    if (/Address already in use|EADDRINUSE/.test(words)) {
      const port = tcpPort !== undefined && words.includes(`:${tcpPort}`) && !words.includes(`:${httpPort}`) ? tcpPort : httpPort;
      return new ClickHouseServerError(
        "port-in-use",
        `Port ${port} on 127.0.0.1 is taken, ClickHouse cannot listen there. ` +
          `See who has it with \`ss -ltnp 'sport = :${port}'\` and stop it, or choose another port.`,
      );
    }
    if (/Permission denied|Read-only file system|No space left on device/.test(words)) {
      return new ClickHouseServerError("data-directory-unusable", `ClickHouse cannot use its data directory ${engine}: ${words}`);
    }
    const how = exit.signal ? `was killed by ${exit.signal}` : `ended with status ${exit.code}`;
    return new ClickHouseServerError(
      exit.code === EXIT_LIBRARY ? "library-missing" : "start-failed",
      `ClickHouse ${how} before it was ready. It said: ${words || "nothing"}. More may be in ${logs}.`,
    );
  }

  lastWords(): string {
    return readTail(this.#files.stderr, this.#stderrOffset)
      .split("\n")
      .filter((line) => line.trim() !== "" && !CHATTER.test(line))
      .join("\n");
  }

  async stop(): Promise<void> {
    if (this.#exit) return;
    this.#child.kill("SIGTERM");
    const timer = new AbortController();
    // host.c ends itself by alarm after the same time; one second more lets that be the one to act.
    const timeout = sleep(this.#settings.stopTimeoutMs + 1_000, "timeout", { signal: timer.signal }).catch(() => "ended");
    const outcome = await Promise.race([this.exited, timeout]);
    timer.abort();
    if (outcome === "timeout") await this.kill();
  }

  /** Ends the process without its shutdown. What was acknowledged is on disk already. */
  async kill(): Promise<void> {
    if (this.#exit === undefined) this.#child.kill("SIGKILL");
    await this.exited;
  }
}

/** Relative to the data directory, which is the working directory of the engine: so no character of that path meets SQL or a glob. */
const HOLD_FIFO = "hold.fifo";

interface Settings extends Required<Omit<ClickHouseServerOptions, "tcpPort" | "signal">> {
  readonly tcpPort: number | undefined;
  readonly signal: AbortSignal | undefined;
}

function validate(options: ClickHouseServerOptions): Settings {
  const maxMemoryDefault = Math.min(Math.max(Math.floor(totalmem() / 4), 1024 * MEBIBYTE), 4096 * MEBIBYTE);
  if (!options.dataDirectory) throw invalid("dataDirectory", options.dataDirectory, "a path");
  // The engine takes braces in its own working directory for a pattern, and turns a backslash into a slash.
  if (/[{}\\]/.test(resolve(options.dataDirectory))) throw invalid("dataDirectory", options.dataDirectory, "a path without { } or \\");
  return {
    dataDirectory: resolve(options.dataDirectory),
    httpPort: within("httpPort", options.httpPort, 1, 65_535),
    tcpPort: options.tcpPort === undefined ? undefined : within("tcpPort", options.tcpPort, 1, 65_535),
    maxMemoryBytes: within("maxMemoryBytes", options.maxMemoryBytes ?? maxMemoryDefault, 512 * MEBIBYTE, Number.MAX_SAFE_INTEGER),
    maxConcurrentQueries: within("maxConcurrentQueries", options.maxConcurrentQueries ?? 100, 4, 10_000),
    stopWithParent: options.stopWithParent ?? true,
    startTimeoutMs: within("startTimeoutMs", options.startTimeoutMs ?? 120_000, 1, 86_400_000),
    clusters: clustersNamed(options.clusters ?? {}),
    signal: options.signal,
    stopTimeoutMs: within("stopTimeoutMs", options.stopTimeoutMs ?? 10_000, 1_000, 3_600_000),
  };
}

/** A name becomes the name of an XML element. */
function clustersNamed(clusters: Clusters): Clusters {
  for (const name of Object.keys(clusters)) {
    if (!/^[A-Za-z_]\w*$/.test(name)) throw invalid("clusters", name, "named by identifiers (letters, digits, underscore)");
  }
  return clusters;
}

function within(name: string, value: number, minimum: number, maximum: number): number {
  if (!Number.isSafeInteger(value) || value < minimum || value > maximum) {
    throw invalid(name, value, `an integer within ${minimum}..${maximum}`);
  }
  return value;
}

const invalid = (name: string, value: unknown, wanted: string): ClickHouseServerError =>
  new ClickHouseServerError("invalid-option", `Embedded ClickHouse: ${name} must be ${wanted}, got ${String(value)}.`);

const isInUse = (error: unknown): boolean => error instanceof ClickHouseServerError && error.code === "data-directory-in-use";

/** Where the engine keeps its databases within a data directory. */
export const engineDirectory = (dataDirectory: string): string => join(dataDirectory, "engine");

function filesIn(root: string): Files {
  const logs = join(root, "log");
  return {
    root,
    engine: engineDirectory(root),
    logs,
    config: join(root, "config.xml"),
    users: join(root, "users.xml"),
    password: join(root, "password"),
    stderr: join(logs, "stderr.log"),
    errorLog: join(logs, "clickhouse.error.log"),
  };
}

/** Makes the directory and what the engine reads from it; answers the password. */
async function prepareDirectory(files: Files, settings: Settings): Promise<string> {
  try {
    for (const directory of [files.root, files.engine, files.logs]) makeDirectory(directory, 0o700);
    await access(files.root, constants.R_OK | constants.W_OK | constants.X_OK);
    const password = await keptPassword(files.password);
    await writeSecret(files.users, usersXml(password));
    await writeSecret(
      files.config,
      configXml({
        clusters: settings.clusters,
        usersConfigPath: files.users,
        logDirectory: files.logs,
        maxMemoryBytes: settings.maxMemoryBytes,
        maxConcurrentQueries: settings.maxConcurrentQueries,
      }),
    );
    const { size } = await stat(files.stderr).catch(() => ({ size: 0 }));
    if (size > STDERR_BYTES_MAX) await truncate(files.stderr);
    return password;
  } catch (cause) {
    if (cause instanceof ClickHouseServerError) throw cause;
    throw new ClickHouseServerError(
      "data-directory-unusable",
      `The ClickHouse data directory ${files.root} cannot be used: ${(cause as Error).message}. ` +
        "It must be a directory this user can write to, with free space.",
      { cause },
    );
  }
}

async function keptPassword(path: string): Promise<string> {
  const kept = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return "";
    throw error;
  });
  if (kept.trim() !== "") {
    await chmod(path, 0o600);
    return kept.trim();
  }
  // Left empty by a full disk or a careless hand.
  if (existsSync(path)) await rm(path);
  const temporary = `${path}.${randomUUID()}.tmp`;
  await writeFile(temporary, `${randomBytes(24).toString("base64url")}\n`, { mode: 0o600, flush: true });
  try {
    // Unlike a rename, a link doesn't replace what another server starting here at the same time has just written.
    await link(temporary, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  } finally {
    await rm(temporary);
  }
  return (await readFile(path, "utf8")).trim();
}

/** Never visible half-written, nor with a wider mode. */
async function writeSecret(path: string, text: string): Promise<void> {
  const temporary = `${path}.${randomUUID()}.tmp`;
  await writeFile(temporary, text, { mode: 0o600, flush: true });
  await rename(temporary, path);
}

async function holderPid(files: Files): Promise<number | undefined> {
  const status = await readFile(join(files.engine, "status"), "utf8").catch(() => "");
  const pid = /^PID: (\d+)/m.exec(status)?.[1];
  return pid === undefined ? undefined : Number(pid);
}

/** Whether the server that holds the directory was told to stop with a parent that is gone, so that it is stopping now. */
async function holderIsOrphan(files: Files): Promise<boolean> {
  const pid = await holderPid(files);
  if (pid === undefined) return true;
  const [commandLine, status] = await Promise.all([
    readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => ""),
    readFile(`/proc/${pid}/status`, "utf8").catch(() => ""),
  ]);
  const startedBy = commandLine.split("\0")[4];
  const parent = /^PPid:\s+(\d+)/m.exec(status)?.[1];
  // Gone between the refusal and now: then the next attempt gets the lock.
  if (parent === undefined) return true;
  return startedBy !== "0" && startedBy !== parent;
}

function readTail(path: string, from: number): string {
  let descriptor: number;
  try {
    descriptor = openSync(path, "r");
  } catch {
    return "";
  }
  try {
    const { size } = fstatSync(descriptor);
    const start = Math.max(Math.min(from, size), size - LAST_WORDS_BYTES_MAX);
    const buffer = Buffer.alloc(size - start);
    return buffer.toString("utf8", 0, readSync(descriptor, buffer, 0, buffer.length, start));
  } finally {
    closeSync(descriptor);
  }
}
