// SPDX-License-Identifier: Apache-2.0
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { makeScratch } from "@waggle/clickhouse-embedded/testing";
import type { TestProject } from "vitest/node";
import { ClickHouseService } from "../src/clickhouse/clickhouse.service.ts";
import { createLog } from "../src/common/log.ts";
import { Database } from "../src/postgres/database.ts";
import { hasPostgres, type SharedPostgres, sharePostgres, startTestPostgres } from "./test-postgres.ts";
import { databaseOf, layoutOf, openStorage, type TestLayout, testConfig } from "./test-storage.ts";

/** Stores as the API makes them at its first start, for the files of a run to begin with. What a file does to its copy is its own. */
export interface PreparedStores {
  /** Data directories of stopped ClickHouse servers, one a shard, with all tables and no row; none of a container. */
  readonly clickhouse: readonly string[] | undefined;
  /** Data directory of an API with an embedded Postgres, migrated and closed. */
  readonly pglite: string | undefined;
  readonly postgres: SharedPostgres | undefined;
}

declare module "vitest" {
  export interface ProvidedContext {
    /** undefined: each file makes what it needs. */
    stores: PreparedStores | undefined;
  }
}

/** Makes the stores of the project's layout once, by the code that makes them everywhere: a copy costs a file a fraction of that. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const variable = (name: string): string | undefined => project.config.env?.[name] ?? process.env[name];
  const layout = layoutOf(variable("WAGGLE_TEST_LAYOUT"));
  const root = await makeScratch("waggle-prepared-");
  const closing: (() => Promise<void>)[] = [async () => rmSync(root, { recursive: true, force: true })];
  const close = async (): Promise<void> => {
    for (const each of closing.toReversed()) await each();
  };
  try {
    // One after the other: while the embedded Postgres starts, this process hears nobody.
    const clickhouse = layout === "container" ? undefined : await prepareClickHouse(layout, root);
    const isEmbedded = databaseOf(variable("WAGGLE_TEST_DATABASE")) === "pglite";
    project.provide("stores", {
      clickhouse,
      pglite: isEmbedded ? await preparePglite(join(root, "api")) : undefined,
      postgres: isEmbedded ? undefined : await preparePostgres(closing),
    });
    return close;
  } catch (error) {
    await close();
    throw error;
  }
}

async function prepareClickHouse(layout: TestLayout, root: string): Promise<readonly string[]> {
  const dataDirectories = (layout === "two-shards" ? ["shard-1", "shard-2"] : ["server"]).map((name) => join(root, name));
  for (const directory of dataDirectories) mkdirSync(directory, { mode: 0o700 });
  const { clickhouse, environment } = await openStorage(layout, { dataDirectories });
  try {
    const service = new ClickHouseService(testConfig(environment), createLog("silent"));
    await service.prepare();
    await service.onApplicationShutdown();
  } finally {
    await clickhouse[Symbol.asyncDispose]();
  }
  return dataDirectories;
}

async function preparePglite(directory: string): Promise<string> {
  const database = await Database.open(undefined, directory);
  await database.close();
  return directory;
}

async function preparePostgres(closing: (() => Promise<void>)[]): Promise<SharedPostgres | undefined> {
  // Every file that asks for one says then what is missing.
  if (!hasPostgres) return undefined;
  const server = await startTestPostgres();
  closing.push(() => server[Symbol.asyncDispose]());
  const fill = async (url: string): Promise<void> => (await Database.open(url, undefined)).close();
  return sharePostgres(server.url, fill);
}
