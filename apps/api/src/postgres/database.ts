// SPDX-License-Identifier: Apache-2.0
import { existsSync, readFileSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { PGlite } from "@electric-sql/pglite";
import { sql } from "drizzle-orm";
import { drizzle as drizzlePostgres } from "drizzle-orm/node-postgres";
import { migrate as migratePostgres } from "drizzle-orm/node-postgres/migrator";
import type { PgDatabase, PgQueryResultHKT } from "drizzle-orm/pg-core";
import { drizzle as drizzlePglite } from "drizzle-orm/pglite";
import { migrate as migratePglite } from "drizzle-orm/pglite/migrator";
import pg from "pg";
import { ConfigError } from "../config/config.ts";
import { prepareDataDirectory, unusable } from "../config/data-directory.ts";
import * as schema from "./schema.ts";

export type Drizzle = PgDatabase<PgQueryResultHKT, typeof schema>;

/** Any number; every API node of one database asks for the same lock. */
const MIGRATION_LOCK = 7_301_000_001;
/** 4 MB of buffers are plenty for a control plane: PGlite's 128 MB cost the process 140 MB resident (375 → 235 MB, measured). */
const embeddedSettings = ["shared_buffers=4MB", "wal_buffers=256kB", "fsync=on"];
const START_TIMEOUT_MS = 30_000;
const ROOM_BYTES_MIN = 1_048_576;

/** The control plane's database, migrated and ready: `database.db.select()…`. */
export class Database {
  readonly db: Drizzle;
  private readonly closeConnection: () => Promise<void>;
  /** Of the embedded one. */
  private readonly directory: string | undefined;

  private constructor(db: Drizzle, closeConnection: () => Promise<void>, directory?: string) {
    this.db = db;
    this.closeConnection = closeConnection;
    this.directory = directory;
  }

  /**
   * Opens and migrates.
   * @param databaseUrl a Postgres server; undefined for the embedded one
   * @param directory of the embedded one; undefined keeps it in memory (tests)
   */
  static async open(databaseUrl: string | undefined, directory: string | undefined): Promise<Database> {
    return databaseUrl === undefined ? Database.openEmbedded(directory) : Database.openServer(databaseUrl);
  }

  private static async openEmbedded(directory: string | undefined): Promise<Database> {
    const release = directory === undefined ? () => {} : lockDirectory(directory);
    try {
      const client = await PGlite.create({
        ...(directory === undefined ? {} : { dataDir: join(directory, "postgres") }),
        startParams: [...PGlite.defaultStartParams, ...embeddedSettings.flatMap((setting) => ["-c", setting])],
      });
      const db = drizzlePglite({ client, schema });
      // No advisory lock: the directory belongs to this process alone.
      await migratePglite(db, { migrationsFolder: migrationsFolder() });
      return new Database(
        db as unknown as Drizzle,
        async () => {
          await client.close();
          release();
        },
        directory,
      );
    } catch (error) {
      release();
      // What the engine says of it is where in its machine code it gave up.
      if (directory !== undefined && isFull(directory))
        throw unusable(directory, Object.assign(new Error("no space left on its disk"), { code: "ENOSPC" }));
      throw error;
    }
  }

  private static async openServer(url: string): Promise<Database> {
    const pool = new pg.Pool({ connectionString: url, max: 10, connectionTimeoutMillis: 5_000, application_name: "waggle-api" });
    // Without a listener an idle connection that the server closes would end the process; the next query opens another.
    pool.on("error", () => {});
    try {
      const connection = await connectWithin(pool, START_TIMEOUT_MS);
      try {
        await connection.query("SELECT pg_advisory_lock($1)", [MIGRATION_LOCK]);
        await migratePostgres(drizzlePostgres(connection), { migrationsFolder: migrationsFolder() });
      } finally {
        await connection.query("SELECT pg_advisory_unlock($1)", [MIGRATION_LOCK]).catch(() => {});
        connection.release();
      }
    } catch (error) {
      await pool.end();
      throw error;
    }
    return new Database(drizzlePostgres({ client: pool, schema }) as unknown as Drizzle, () => pool.end());
  }

  /** undefined when Postgres answers; otherwise what is wrong, in words. */
  async problem(): Promise<string | undefined> {
    const timeout = new Promise<string>((resolve) => setTimeout(() => resolve("Postgres does not answer within 2 s"), 2_000).unref());
    const ask = this.db.execute(sql`SELECT 1`).then(
      () => undefined,
      () => "Postgres does not answer",
    );
    return Promise.race([ask, timeout]);
  }

  /** What is to be said though it answers; a server's disk is not looked at. */
  get note(): string | undefined {
    return this.directory !== undefined && isFull(this.directory) ? "its disk is full: what is there can be read, and nothing be changed" : undefined;
  }

  async close(): Promise<void> {
    await this.closeConnection();
  }
}

async function connectWithin(pool: pg.Pool, timeoutMs: number): Promise<pg.PoolClient> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    try {
      return await pool.connect();
    } catch (error) {
      // A wrong password or database name will not get better; a server that is starting will.
      const code = (error as { code?: string }).code ?? "";
      const isStarting = ["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "ETIMEDOUT", "ECONNRESET", "57P03"].includes(code);
      if (!isStarting || Date.now() > deadline)
        throw new Error(`Postgres at WAGGLE_DATABASE_URL cannot be used (${code || "no answer"})`, { cause: error });
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
  }
}

/** Whether a change may find no room for its pages and its log. */
function isFull(directory: string): boolean {
  const { bavail, bsize } = statfsSync(directory);
  return bavail * bsize < ROOM_BYTES_MIN;
}

/** Two processes on one embedded database would destroy it, and it does not notice by itself. */
function lockDirectory(directory: string): () => void {
  prepareDataDirectory(directory);
  const file = join(directory, "api.pid");
  const other = existsSync(file) ? Number(readFileSync(file, "utf8").trim()) : 0;
  if (other > 0 && other !== process.pid && isApi(other)) {
    throw new ConfigError(
      `the data directory ${directory} is used by another API (pid ${other}); stop it, choose another WAGGLE_API_DATA_DIRECTORY, or set WAGGLE_DATABASE_URL`,
    );
  }
  try {
    writeFileSync(file, `${process.pid}\n`);
  } catch (error) {
    throw unusable(directory, error);
  }
  return () => rmSync(file, { force: true });
}

/** A pid alone may have been given to another program since. */
function isApi(pid: number): boolean {
  try {
    return /waggle-api|main\.js/.test(readFileSync(`/proc/${pid}/cmdline`, "utf8"));
  } catch {
    return false;
  }
}

/** Beside the bundle in dist/, two folders up from the source. */
function migrationsFolder(): string {
  const bundled = join(import.meta.dirname, "migrations");
  return existsSync(join(bundled, "meta")) ? bundled : join(import.meta.dirname, "../../migrations");
}
