// SPDX-License-Identifier: Apache-2.0
import { randomBytes, randomUUID } from "node:crypto";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { NestFastifyApplication } from "@nestjs/platform-fastify";
import { copyInto, makeScratch, type TestClickHouse } from "@waggle/clickhouse-embedded/testing";
import { type Signal, storageColumns } from "@waggle/signals";
import { inject } from "vitest";
import { createApp } from "../src/app.ts";
import { ClickHouseService } from "../src/clickhouse/clickhouse.service.ts";
import { createLog } from "../src/common/log.ts";
import type { Config } from "../src/config/config.ts";
import { TokensService } from "../src/features/tokens/tokens.service.ts";
import { Database } from "../src/postgres/database.ts";
import { hosts } from "../src/postgres/schema.ts";
import { createTestDatabase, startTestPostgres, type TestPostgres } from "./test-postgres.ts";
import { databaseOf, layoutOf, openStorage, type TestStorage, testConfig } from "./test-storage.ts";

export { testConfig } from "./test-storage.ts";

/** The whole API on free ports, over a real ClickHouse and the embedded Postgres, all of it thrown away afterwards. */
export interface TestApi {
  readonly app: NestFastifyApplication;
  readonly clickhouse: TestClickHouse;
  readonly config: Config;
  /** Of the REST server, such as `http://127.0.0.1:43210`. */
  readonly url: string;
  [Symbol.asyncDispose](): Promise<void>;
}

/** A ClickHouse as WAGGLE_TEST_LAYOUT asks; with its tables made already, where the run has prepared them. */
export function startTestStorage(): Promise<TestStorage> {
  return openStorage(layoutOf(process.env["WAGGLE_TEST_LAYOUT"]), { copiesOf: inject("stores")?.clickhouse });
}

/** A Postgres as WAGGLE_TEST_DATABASE asks: undefined = the embedded one, in memory or in the data directory. */
export async function startTestDatabase(): Promise<TestPostgres | undefined> {
  if (databaseOf(process.env["WAGGLE_TEST_DATABASE"]) === "pglite") return undefined;
  const prepared = inject("stores")?.postgres;
  return prepared === undefined ? startTestPostgres() : createTestDatabase(prepared);
}

/** A data directory for an API; what the embedded Postgres has of the start is there, where the run has prepared it. */
async function makeDataDirectory(): Promise<string> {
  const directory = await makeScratch("waggle-api-");
  const prepared = inject("stores")?.pglite;
  if (prepared !== undefined) await copyInto(join(prepared, "postgres"), directory);
  return directory;
}

/** @param environment more variables of the API, such as `WAGGLE_API_RETENTION` */
export async function startTestApi(environment: Readonly<Record<string, string>> = {}): Promise<TestApi> {
  const [storage, postgres] = await Promise.all([startTestStorage(), startTestDatabase()]);
  const { clickhouse } = storage;
  const dataDirectory = await makeDataDirectory();
  const config = testConfig({
    WAGGLE_API_DATA_DIRECTORY: dataDirectory,
    ...storage.environment,
    ...(postgres === undefined ? {} : { WAGGLE_DATABASE_URL: postgres.url }),
    ...environment,
  });
  const app = await createApp(config, createLog("silent"));
  await app.get(ClickHouseService).prepare();
  await app.listen(0, "127.0.0.1");
  return {
    app,
    clickhouse,
    config,
    url: await app.getUrl(),
    async [Symbol.asyncDispose]() {
      await app.close();
      await clickhouse[Symbol.asyncDispose]();
      await postgres?.[Symbol.asyncDispose]();
      await rm(dataDirectory, { recursive: true, force: true });
    },
  };
}

/** An organisation of one test: what it stores and asks never meets another test's. */
export class TestOrganisation {
  readonly id: string;
  readonly adminToken: string;
  readonly enrolmentToken: string;
  private readonly api: TestApi;

  private constructor(api: TestApi, id: string, adminToken: string, enrolmentToken: string) {
    this.api = api;
    this.id = id;
    this.adminToken = adminToken;
    this.enrolmentToken = enrolmentToken;
  }

  static async create(api: TestApi, name = `org-${randomBytes(3).toString("hex")}`): Promise<TestOrganisation> {
    const { organisation, adminToken, enrolmentToken } = await api.app.get(TokensService).createOrganisation(name);
    return new TestOrganisation(api, organisation.id, adminToken, enrolmentToken);
  }

  /** A host as if it had been enrolled an hour ago. */
  async addHost(name: string, values: Partial<typeof hosts.$inferInsert> = {}): Promise<string> {
    const id = randomUUID();
    await this.api.app
      .get(Database)
      .db.insert(hosts)
      .values({
        id,
        organisationId: this.id,
        machineKey: randomBytes(32).toString("hex"),
        name,
        enrolledAt: new Date(Date.now() - 3_600_000),
        ...values,
      });
    return id;
  }

  /** Many hosts at once, enrolled an hour ago. */
  async addHosts(names: readonly string[]): Promise<void> {
    const enrolledAt = new Date(Date.now() - 3_600_000);
    const rows = names.map((name) => ({ id: randomUUID(), organisationId: this.id, machineKey: randomBytes(32).toString("hex"), name, enrolledAt }));
    const { db } = this.api.app.get(Database);
    for (let at = 0; at < rows.length; at += 1_000) await db.insert(hosts).values(rows.slice(at, at + 1_000));
  }

  /** Rows of a signal as ingest would have stored them. */
  async store(signal: Signal, rows: readonly Record<string, unknown>[]): Promise<void> {
    if (rows.length === 0) return;
    const known = new Set(storageColumns(signal).map((column) => column.name));
    for (const row of rows) for (const name of Object.keys(row)) if (!known.has(name)) throw new TypeError(`${signal.name} has no column ${name}`);
    await this.api.clickhouse.client.insert({
      table: signal.name,
      values: rows.map((row) => ({ ...row, tenant: this.id })),
      format: "JSONEachRow",
    });
  }

  /** Rows of the `windows` table. */
  async storeWindows(rows: readonly { host: string; ts: number; window_ms: number }[]): Promise<void> {
    if (rows.length === 0) return;
    const values = rows.map((row, index) => ({ sequence: index + 1, boot_id: "boot", clock_offset_ms: 0, ...row, tenant: this.id }));
    await this.api.clickhouse.client.insert({ table: "windows", values, format: "JSONEachRow" });
  }

  /** A request with this organisation's token. */
  async request(
    path: string,
    init: { method?: string; body?: unknown; headers?: Record<string, string>; signal?: AbortSignal } = {},
  ): Promise<Response> {
    return fetch(`${this.api.url}/api/v1${path}`, {
      method: init.method ?? (init.body === undefined ? "GET" : "POST"),
      headers: {
        authorization: `Bearer ${this.adminToken}`,
        ...(init.body === undefined ? {} : { "content-type": "application/json" }),
        ...init.headers,
      },
      ...(init.body === undefined ? {} : { body: JSON.stringify(init.body) }),
      ...(init.signal === undefined ? {} : { signal: init.signal }),
    });
  }
}
