// SPDX-License-Identifier: Apache-2.0
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { ClickHouseError } from "@clickhouse/client";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { SmallDisk, type TestClickHouse, withTestClickHouse } from "../src/testing.ts";

const DISK_BYTES = 400 * 1024 * 1024;
const TABLES = 6;
const ROWS = 3_000;
const FILLINGS = 24;
const NOT_ENOUGH_SPACE = "243";
const canMount = process.getuid?.() === 0;

let directory: string;
let disk: SmallDisk;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "waggle-full-disk-"));
  disk = new SmallDisk(join(directory, "disk"), DISK_BYTES);
});
afterEach(() => {
  disk.unmount();
  rmSync(directory, { recursive: true, force: true });
});

const rowsOf = async <Row>(clickhouse: TestClickHouse, query: string): Promise<Row[]> =>
  (await clickhouse.client.query({ query, format: "JSONEachRow" })).json<Row>();

/** Inserts until told to stop; a refused insert is made again. Returns how many rows of a table were acknowledged. */
async function insertInto(clickhouse: TestClickHouse, table: string, isOver: () => boolean): Promise<number> {
  let acknowledged = 0;
  while (!isOver()) {
    try {
      await clickhouse.client.command({
        query: `INSERT INTO ${table} SELECT number + ${acknowledged}, concat('host-', toString(number % 7)), range(number % 9), toString(rand64()) FROM numbers(${ROWS})`,
      });
      acknowledged += ROWS;
    } catch (error) {
      if (!(error instanceof ClickHouseError) || error.code !== NOT_ENOUGH_SPACE) throw error;
    }
    await sleep(15);
  }
  return acknowledged;
}

/** Merges a table again and again, so that as a rule one is being written. */
async function merge(clickhouse: TestClickHouse, table: string, isOver: () => boolean): Promise<void> {
  while (!isOver()) {
    await clickhouse.client.command({ query: `OPTIMIZE TABLE ${table} FINAL` }).catch((error: unknown) => {
      if (!(error instanceof ClickHouseError)) throw error;
    });
  }
}

// Only root can make a disk that is full.
describe.skipIf(!canMount && process.env["CI"] !== "true")("a disk that is full again and again", () => {
  test("costs no row that was acknowledged, and no part becomes unreadable", async () => {
    await using clickhouse = await withTestClickHouse({ dataDirectory: join(disk.directory, "clickhouse") });
    const tables = Array.from({ length: TABLES }, (_, index) => `rows_${index}`);
    // Inserts are not kept away from the full disk here: it is what they meet there that is tried.
    for (const table of tables) {
      await clickhouse.client.command({
        query: `CREATE TABLE ${table} (id UInt64, host LowCardinality(String), buckets Array(UInt16), text String) ENGINE = ReplacingMergeTree ORDER BY (host, id) SETTINGS min_free_disk_bytes_to_perform_insert = 0, old_parts_lifetime = 3`,
      });
    }
    let isOver = false;
    const inserting = Promise.all(tables.map((table) => insertInto(clickhouse, table, () => isOver)));
    const merging = Promise.all(tables.map((table) => merge(clickhouse, table, () => isOver)));
    for (let filling = 0; filling < FILLINGS; filling++) {
      disk.fill();
      await sleep(50 + (filling % 5) * 60);
      disk.free();
      await sleep(100 + (filling % 3) * 100);
    }
    isOver = true;
    const acknowledged = await inserting;
    await merging;
    for (const [index, table] of tables.entries()) {
      expect(acknowledged[index]).toBeGreaterThan(0);
      const [stored] = await rowsOf<{ rows: number; bytes: number }>(
        clickhouse,
        `SELECT toUInt32(count()) AS rows, toUInt32(sum(length(text))) AS bytes FROM ${table} FINAL`,
      );
      expect(stored?.rows, table).toBe(acknowledged[index]);
      const parts = await rowsOf<{ is_passed: number }>(clickhouse, `CHECK TABLE ${table} SETTINGS check_query_single_value_result = 0`);
      expect(
        parts.filter((part) => part.is_passed !== 1),
        table,
      ).toEqual([]);
    }
  }, 120_000);

  test("answers questions and drops what is old while it is nearly full, and starts when it is full", async () => {
    const dataDirectory = join(disk.directory, "clickhouse");
    const count = "SELECT toUInt32(count()) AS rows FROM days";
    const dropped = async (): Promise<void> => {
      await using clickhouse = await withTestClickHouse({ dataDirectory, database: "kept" });
      await clickhouse.client.command({ query: "CREATE TABLE days (day UInt8, id UInt64) ENGINE = MergeTree PARTITION BY day ORDER BY id" });
      await clickhouse.client.command({ query: "INSERT INTO days SELECT number % 2, number FROM numbers(2000)" });
      disk.fill();
      expect(await rowsOf(clickhouse, count)).toEqual([{ rows: 2000 }]);
      await expect(clickhouse.client.command({ query: "INSERT INTO days SELECT 0, number FROM numbers(10)" })).rejects.toMatchObject({
        code: NOT_ENOUGH_SPACE,
      });
      // Room that the server keeps from inserts.
      disk.free(32 * 1024 * 1024);
      await expect(clickhouse.client.command({ query: "INSERT INTO days SELECT 0, number FROM numbers(10)" })).rejects.toMatchObject({
        code: NOT_ENOUGH_SPACE,
      });
      await clickhouse.client.command({ query: "ALTER TABLE days DROP PARTITION 0" });
      expect(await rowsOf(clickhouse, count)).toEqual([{ rows: 1000 }]);
      disk.fill();
    };
    await dropped();
    await using clickhouse = await withTestClickHouse({ dataDirectory, database: "kept" });
    expect(await rowsOf(clickhouse, count)).toEqual([{ rows: 1000 }]);
    disk.free();
    await clickhouse.client.command({ query: "INSERT INTO days SELECT 0, number FROM numbers(10)" });
    expect(await rowsOf(clickhouse, count)).toEqual([{ rows: 1010 }]);
  }, 120_000);
});
