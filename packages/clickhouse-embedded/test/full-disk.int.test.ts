// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from "node:child_process";
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { ClickHouseError } from "@clickhouse/client";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type TestClickHouse, withTestClickHouse } from "../src/testing.ts";

const DISK_BYTES = 400 * 1024 * 1024;
const BALLAST = Buffer.alloc(64 * 1024, 0xa5);
const TABLES = 6;
const ROWS = 300;
const FILLINGS = 24;
const NOT_ENOUGH_SPACE = "243";
const canMount = process.getuid?.() === 0;

let disk: string;

beforeEach(() => {
  if (!canMount) return;
  disk = mkdtempSync(join(tmpdir(), "waggle-full-disk-"));
  execFileSync("mount", ["-t", "tmpfs", "-o", `size=${DISK_BYTES},mode=0700`, "waggle-full-disk", disk]);
});
afterEach(() => {
  if (!canMount) return;
  execFileSync("umount", ["--lazy", disk]);
  rmSync(disk, { recursive: true, force: true });
});

function fill(): void {
  const file = openSync(join(disk, "ballast"), "w");
  try {
    for (;;) writeSync(file, BALLAST);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
  } finally {
    closeSync(file);
  }
}

const free = (): void => rmSync(join(disk, "ballast"), { force: true });

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

// Only root can make a disk that is full.
describe.skipIf(!canMount && process.env["CI"] !== "true")("a disk that is full again and again", () => {
  test("costs no row that was acknowledged, and no part becomes unreadable", async () => {
    await using clickhouse = await withTestClickHouse({ dataDirectory: join(disk, "clickhouse") });
    const tables = Array.from({ length: TABLES }, (_, index) => `rows_${index}`);
    for (const table of tables) {
      await clickhouse.client.command({
        query: `CREATE TABLE ${table} (id UInt64, host LowCardinality(String), buckets Array(UInt16), text String) ENGINE = ReplacingMergeTree ORDER BY (host, id)`,
      });
    }
    let isOver = false;
    const inserting = Promise.all(tables.map((table) => insertInto(clickhouse, table, () => isOver)));
    for (let filling = 0; filling < FILLINGS; filling++) {
      fill();
      await sleep(50 + (filling % 5) * 60);
      free();
      await sleep(100 + (filling % 3) * 100);
    }
    isOver = true;
    const acknowledged = await inserting;
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
    const dataDirectory = join(disk, "clickhouse");
    const count = "SELECT toUInt32(count()) AS rows FROM days";
    const dropped = async (): Promise<void> => {
      await using clickhouse = await withTestClickHouse({ dataDirectory, database: "kept" });
      await clickhouse.client.command({ query: "CREATE TABLE days (day UInt8, id UInt64) ENGINE = MergeTree PARTITION BY day ORDER BY id" });
      await clickhouse.client.command({ query: "INSERT INTO days SELECT number % 2, number FROM numbers(2000)" });
      fill();
      expect(await rowsOf(clickhouse, count)).toEqual([{ rows: 2000 }]);
      await expect(clickhouse.client.command({ query: "INSERT INTO days SELECT 0, number FROM numbers(10)" })).rejects.toMatchObject({
        code: NOT_ENOUGH_SPACE,
      });
      // Room that the server keeps from inserts.
      execFileSync("truncate", ["-s", "-32M", join(disk, "ballast")]);
      await expect(clickhouse.client.command({ query: "INSERT INTO days SELECT 0, number FROM numbers(10)" })).rejects.toMatchObject({
        code: NOT_ENOUGH_SPACE,
      });
      await clickhouse.client.command({ query: "ALTER TABLE days DROP PARTITION 0" });
      expect(await rowsOf(clickhouse, count)).toEqual([{ rows: 1000 }]);
      fill();
    };
    await dropped();
    await using clickhouse = await withTestClickHouse({ dataDirectory, database: "kept" });
    expect(await rowsOf(clickhouse, count)).toEqual([{ rows: 1000 }]);
    free();
    await clickhouse.client.command({ query: "INSERT INTO days SELECT 0, number FROM numbers(10)" });
    expect(await rowsOf(clickhouse, count)).toEqual([{ rows: 1010 }]);
  }, 120_000);
});
