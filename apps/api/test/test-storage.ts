// SPDX-License-Identifier: Apache-2.0
import { type TestClickHouse, withTestClickHouse, withTestCluster } from "@waggle/clickhouse-embedded/testing";
import { type Config, readConfig } from "../src/config/config.ts";

/** Values of WAGGLE_TEST_LAYOUT: one embedded server, two of them as the shards of a cluster, or the official image in Docker. */
export const layouts = ["one-server", "two-shards", "container"] as const;
export type TestLayout = (typeof layouts)[number];
/** Values of WAGGLE_TEST_DATABASE. */
export const databases = ["pglite", "postgres"] as const;

export interface TestStorage {
  readonly clickhouse: TestClickHouse;
  /** The variables by which an API finds it. */
  readonly environment: Readonly<Record<string, string>>;
}

function oneOf<T extends string>(variable: string, values: readonly T[], value: string): T {
  const found = values.find((each) => each === value);
  if (found === undefined) throw new Error(`${variable} is "${value}"; there are ${values.join(", ")}`);
  return found;
}
export const layoutOf = (value = "one-server"): TestLayout => oneOf("WAGGLE_TEST_LAYOUT", layouts, value);
export const databaseOf = (value = "pglite"): (typeof databases)[number] => oneOf("WAGGLE_TEST_DATABASE", databases, value);

/**
 * The settings of an API of a test: free ports, no log.
 * @param environment variables as the API reads them
 */
export function testConfig(environment: Readonly<Record<string, string>>): Config {
  return readConfig({ WAGGLE_API_HTTP_PORT: "0", WAGGLE_API_GRPC_PORT: "0", WAGGLE_API_LOG_LEVEL: "silent", ...environment }).config;
}

export interface StorageOptions {
  /** Of the servers; the caller removes them. Left out: temporary ones. */
  readonly dataDirectories?: readonly string[];
  /** Data directories of stopped servers of the same layout, whose tables these begin with. */
  readonly copiesOf?: readonly string[];
}

/** Databases are every file's own, as the servers are; so they may all have one name, which tables that are copied know each other by. */
const DATABASE = "waggle_test";

/** Starts the servers of a layout, with an empty database or a copy. */
export async function openStorage(layout: TestLayout, { dataDirectories, copiesOf }: StorageOptions = {}): Promise<TestStorage> {
  const credentials = ({ server, database }: TestClickHouse) => ({
    WAGGLE_CLICKHOUSE_URL: server.url,
    WAGGLE_CLICKHOUSE_USERNAME: server.username,
    WAGGLE_CLICKHOUSE_PASSWORD: server.password,
    WAGGLE_CLICKHOUSE_DATABASE: database,
  });
  if (layout === "one-server") {
    const clickhouse = await withTestClickHouse({ dataDirectory: dataDirectories?.[0], copyOf: copiesOf?.[0], database: DATABASE });
    return { clickhouse, environment: credentials(clickhouse) };
  }
  if (layout === "container") {
    // Loaded only here: everybody else does without Docker's client.
    const { startContainerClickHouse } = await import("./test-container.ts");
    const clickhouse = await startContainerClickHouse();
    return { clickhouse, environment: credentials(clickhouse) };
  }
  const cluster = await withTestCluster({ dataDirectories, copiesOf, database: DATABASE });
  return {
    clickhouse: cluster,
    environment: {
      ...credentials(cluster),
      WAGGLE_CLICKHOUSE_CLUSTER: cluster.cluster,
      WAGGLE_CLICKHOUSE_NODE_URLS: cluster.shards.map((shard) => shard.server.url).join(","),
    },
  };
}
