// SPDX-License-Identifier: Apache-2.0
import { randomBytes } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ClickHouseClient, ClickHouseLogLevel, createClient } from "@clickhouse/client";
import { USERNAME } from "./config.ts";
import { ClickHouseServerError } from "./errors.ts";
import { freePort } from "./ports.ts";
import { type ClickHouseServer, type ClickHouseServerOptions, startClickHouseServer } from "./server.ts";

export { freePort } from "./ports.ts";

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
 * The server also ends with the test process, so an aborted run leaves at most a directory in the system's temporary one.
 */
export async function withTestClickHouse(options: Partial<ClickHouseServerOptions> = {}): Promise<TestClickHouse> {
  const dataDirectory = options.dataDirectory ?? (await mkdtemp(join(tmpdir(), "waggle-clickhouse-")));
  const removeDirectory = async (): Promise<void> => {
    if (options.dataDirectory === undefined) await rm(dataDirectory, { recursive: true, force: true });
  };
  const clients: ClickHouseClient[] = [];
  let server: ClickHouseServer;
  try {
    server = await startOnFreePort({ maxMemoryBytes: TEST_MEMORY_BYTES, ...options, dataDirectory });
  } catch (error) {
    await removeDirectory();
    throw error;
  }

  const freshDatabase = async (): Promise<{ database: string; client: ClickHouseClient }> => {
    const database = `test_${randomBytes(6).toString("hex")}`;
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
    await admin.command({ query: `CREATE DATABASE ${database} ENGINE = Atomic` });
    await admin.close();
    return { database, client };
  };
  const dispose = async (): Promise<void> => {
    await Promise.all(clients.map((client) => client.close()));
    await server.stop();
    await removeDirectory();
  };

  try {
    const { database, client } = await freshDatabase();
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

/** Like {@link withTestClickHouse}, with two servers. The fresh database is on the first only. */
export async function withTestCluster(): Promise<TestCluster> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await startCluster();
    } catch (error) {
      // Their native ports are in each other's configuration, so a port taken meanwhile means to begin again.
      if (!(error instanceof ClickHouseServerError && error.code === "port-in-use") || attempt === PORT_ATTEMPTS_MAX) throw error;
    }
  }
}

async function startCluster(): Promise<TestCluster> {
  const directories = await Promise.all([0, 1].map(() => mkdtemp(join(tmpdir(), "waggle-clickhouse-"))));
  const started: TestClickHouse[] = [];
  const dispose = async (): Promise<void> => {
    for (const shard of started) await shard[Symbol.asyncDispose]();
    for (const directory of directories) await rm(directory, { recursive: true, force: true });
  };
  try {
    // Each has to know the other's password before it starts.
    const password = randomBytes(24).toString("base64url");
    const tcpPorts = [await freePort(), await freePort()];
    const servers = tcpPorts.map((tcpPort) => ({ host: "127.0.0.1", tcpPort, username: USERNAME, password }));
    for (const [index, dataDirectory] of directories.entries()) {
      await writeFile(join(dataDirectory, "password"), `${password}\n`, { mode: 0o600 });
      started.push(await withTestClickHouse({ dataDirectory, tcpPort: tcpPorts[index] as number, clusters: { [TEST_CLUSTER]: servers } }));
    }
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
