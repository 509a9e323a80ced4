// SPDX-License-Identifier: Apache-2.0
import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { type ClickHouseClient, ClickHouseLogLevel, createClient } from "@clickhouse/client";
import { USERNAME } from "./config.ts";
import { ClickHouseServerError } from "./errors.ts";
import { freePort } from "./ports.ts";
import { makeScratch } from "./scratch.ts";
import { type ClickHouseServer, type ClickHouseServerOptions, engineDirectory, startClickHouseServer } from "./server.ts";

export { freePort } from "./ports.ts";
export { makeScratch } from "./scratch.ts";
export { SmallDisk } from "./small-disk.ts";

/** A real server in a directory of its own, and a database that nothing else uses. */
export interface TestClickHouse {
  readonly server: ClickHouseServer;
  readonly dataDirectory: string;
  /** Name of the fresh database, an identifier that needs no quotes. */
  readonly database: string;
  /** A client whose default database is {@link database}. Closed with the rest. */
  readonly client: ClickHouseClient;
  /** The value of WAGGLE_CLICKHOUSE_URL that leads here: with user, password and database. Never log it. */
  readonly url: string;
  /** Another fresh database on the same server, with its client. */
  freshDatabase(): Promise<{ database: string; client: ClickHouseClient }>;
  /** Stops the server and removes its directory. */
  [Symbol.asyncDispose](): Promise<void>;
}

export interface TestClickHouseOptions extends Partial<ClickHouseServerOptions> {
  /** Data directory of a server that was stopped: the new one starts with a copy of its databases. Copying two hundred tables takes a twentieth of making them. */
  readonly copyOf?: string;
  /** Name of the database; of one that is there already by `copyOf`, or to be made. Left out: one that nobody else has. */
  readonly database?: string;
}

/** Copies a directory, with all that is in it, into another one. */
export async function copyInto(source: string, directory: string): Promise<void> {
  await promisify(execFile)("cp", ["-a", source, directory]);
}

/** How often to try another port when somebody took the free one first. */
const PORT_ATTEMPTS_MAX = 5;
const TEST_MEMORY_BYTES = 1024 * 1024 * 1024;

/**
 * Starts a ClickHouse server (about 0.2 s) for the tests of one file and answers a fresh database in it.
 *
 *     let clickhouse: TestClickHouse;
 *     beforeAll(async () => { clickhouse = await withTestClickHouse(); });
 *     afterAll(() => clickhouse?.[Symbol.asyncDispose]());
 *
 * or, in a single test, `await using clickhouse = await withTestClickHouse();`.
 *
 * The server also ends with the test process, so an aborted run leaves at most a directory in /dev/shm or the system's temporary one.
 */
export async function withTestClickHouse({ copyOf, database: givenDatabase, ...options }: TestClickHouseOptions = {}): Promise<TestClickHouse> {
  const dataDirectory = options.dataDirectory ?? (await makeScratch("waggle-clickhouse-"));
  const removeDirectory = async (): Promise<void> => {
    if (options.dataDirectory === undefined) await rm(dataDirectory, { recursive: true, force: true });
  };
  const clients: ClickHouseClient[] = [];
  let server: ClickHouseServer;
  try {
    if (copyOf !== undefined) await copyInto(engineDirectory(copyOf), dataDirectory);
    server = await startOnFreePort({ maxMemoryBytes: TEST_MEMORY_BYTES, ...options, dataDirectory });
  } catch (error) {
    await removeDirectory();
    throw error;
  }

  const openDatabase = async (database: string): Promise<{ database: string; client: ClickHouseClient }> => {
    const client = createClient({
      url: server.url,
      username: server.username,
      password: server.password,
      database,
      // Tests provoke errors on purpose and assert them; a copy of each on the terminal hides the one that matters.
      log: { level: ClickHouseLogLevel.OFF },
      // On a cluster too, what was inserted can be read.
      clickhouse_settings: { distributed_foreground_insert: 1 },
    });
    clients.push(client);
    // Not through that client: a request that names a missing database as its default is refused before it is read.
    const admin = createClient({ url: server.url, username: server.username, password: server.password });
    await admin.command({ query: `CREATE DATABASE IF NOT EXISTS ${database} ENGINE = Atomic` });
    await admin.close();
    return { database, client };
  };
  const freshDatabase = () => openDatabase(`test_${randomBytes(6).toString("hex")}`);
  const dispose = async (): Promise<void> => {
    await Promise.all(clients.map((client) => client.close()));
    await server.stop();
    await removeDirectory();
  };

  try {
    const { database, client } = await (givenDatabase === undefined ? freshDatabase() : openDatabase(givenDatabase));
    const url = new URL(server.url);
    url.username = server.username;
    url.password = server.password;
    url.pathname = `/${database}`;
    return { server, dataDirectory, database, client, url: url.href, freshDatabase, [Symbol.asyncDispose]: dispose };
  } catch (error) {
    await dispose();
    throw error;
  }
}

/** Two real servers that know each other as the two shards of a cluster. The first is the one to talk to. */
export interface TestCluster extends TestClickHouse {
  /** As in the servers' `remote_servers`. */
  readonly cluster: string;
  readonly shards: readonly TestClickHouse[];
}

const TEST_CLUSTER = "test_shards";

export interface TestClusterOptions {
  /** Of the shards, in their order; the caller removes them. Left out: temporary ones. */
  readonly dataDirectories?: readonly string[];
  /** As of {@link TestClickHouseOptions}, by shard. */
  readonly copiesOf?: readonly string[];
  readonly database?: string;
}

/** Like {@link withTestClickHouse}, with two servers. Each has a fresh database, with a name of its own unless one is given. */
export async function withTestCluster(options: TestClusterOptions = {}): Promise<TestCluster> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await startCluster(options);
    } catch (error) {
      // Their native ports are in each other's configuration, so a port taken meanwhile means to begin again.
      if (!(error instanceof ClickHouseServerError && error.code === "port-in-use") || attempt === PORT_ATTEMPTS_MAX) throw error;
    }
  }
}

async function startCluster({ dataDirectories, copiesOf, database }: TestClusterOptions): Promise<TestCluster> {
  const directories = dataDirectories ?? (await Promise.all([0, 1].map(() => makeScratch("waggle-clickhouse-"))));
  const started: TestClickHouse[] = [];
  const dispose = async (): Promise<void> => {
    await Promise.all(started.map((shard) => shard[Symbol.asyncDispose]()));
    if (dataDirectories === undefined) for (const directory of directories) await rm(directory, { recursive: true, force: true });
  };
  try {
    // Each has to know the other's password before it starts.
    const password = randomBytes(24).toString("base64url");
    const tcpPorts = [await freePort(), await freePort()];
    const servers = tcpPorts.map((tcpPort) => ({ host: "127.0.0.1", tcpPort, username: USERNAME, password }));
    for (const dataDirectory of directories) await writeFile(join(dataDirectory, "password"), `${password}\n`, { mode: 0o600 });
    const starts = await Promise.allSettled(
      directories.map((dataDirectory, index) =>
        withTestClickHouse({
          dataDirectory,
          tcpPort: tcpPorts[index] as number,
          clusters: { [TEST_CLUSTER]: servers },
          copyOf: copiesOf?.[index],
          database,
        }),
      ),
    );
    for (const start of starts) if (start.status === "fulfilled") started.push(start.value);
    for (const start of starts) if (start.status === "rejected") throw start.reason;
    const first = started[0] as TestClickHouse;
    return { ...first, cluster: TEST_CLUSTER, shards: started, [Symbol.asyncDispose]: dispose };
  } catch (error) {
    await dispose();
    throw error;
  }
}

async function startOnFreePort(options: Partial<ClickHouseServerOptions> & { dataDirectory: string }): Promise<ClickHouseServer> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await startClickHouseServer({ ...options, httpPort: options.httpPort ?? (await freePort()) });
    } catch (error) {
      const takenMeanwhile = options.httpPort === undefined && error instanceof ClickHouseServerError && error.code === "port-in-use";
      if (!takenMeanwhile || attempt === PORT_ATTEMPTS_MAX) throw error;
    }
  }
}
