// SPDX-License-Identifier: Apache-2.0
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { Readable } from "node:stream";
import { allTables } from "../apps/api/src/clickhouse/schema.ts";
import { Retention } from "../apps/api/src/config/retention.ts";
import { BufferPool } from "../apps/api/src/features/ingest/buffer-pool.ts";
import type { Frame } from "../apps/api/src/features/ingest/frame.ts";
import { buildInserts, buildWindowsInsert } from "../apps/api/src/features/ingest/native-body.ts";
import { rollupStatement } from "../apps/api/src/features/rollups/statements.ts";
import { rollupSteps, stepShapes } from "../apps/api/src/features/rollups/steps.ts";
import { kindOf } from "../apps/api/src/features/storage/partitions.ts";
import { makeFleet } from "../apps/simulator/src/fleet.ts";
import { Workload } from "../apps/simulator/src/workload.ts";
import { type TestClickHouse, withTestClickHouse } from "../packages/clickhouse-embedded/src/testing.ts";
import { catalogue, getSignal, type Level, levels, tableStatements } from "../packages/signals/src/index.ts";
import type { BenchResult, Measurement } from "./report.ts";

const HOSTS = 20;
const HOURS = 2;
const WINDOW_MS = 10_000;
/** A busy host, as in the sizing of the design. */
const ROWS_PER_WINDOW = 300;
const FRAMES_PER_INSERT = 400;
const POOL_BYTES_MAX = 64 * 1_024 * 1_024;
const HOUR_MS = 3_600_000;
/** What the default retention is made for. */
const SIZED_HOSTS = 100;
const SIZED_BYTES = 50e9;
/** Of a histogram row, set by the project itself. */
const HISTOGRAM_ROW_BYTES_MAX = 16;

interface TableSize {
  readonly table: string;
  readonly rows: number;
  readonly bytes: number;
}

/** Bytes on disk per row of every table, and what the default retention takes of a fleet. */
export async function run(): Promise<BenchResult> {
  await using clickhouse = await withTestClickHouse();
  const retention = Retention.default;
  const layout = { database: clickhouse.database, cluster: null };
  const tables = allTables(retention);
  for (const table of tables) for (const statement of tableStatements(table, layout)) await clickhouse.client.command({ query: statement });
  const fromMs = Math.floor(Date.now() / HOUR_MS) * HOUR_MS - HOURS * HOUR_MS;
  const tenant = randomUUID();
  await fill(clickhouse, tenant, fromMs);
  await rollUp(clickhouse, tenant, fromMs);
  for (const { name } of tables) {
    // As the parts of a table with a day in it are; a sample's would be small enough to be kept in one file each, which is longer.
    await clickhouse.client.command({ query: `ALTER TABLE ${name} MODIFY SETTING min_bytes_for_wide_part = 0` });
    await clickhouse.client.command({ query: `OPTIMIZE TABLE ${name} FINAL` });
  }
  const answer = await clickhouse.client.query({
    query: `SELECT table, toFloat64(sum(rows)) AS row_count, toFloat64(sum(bytes_on_disk)) AS bytes FROM system.parts WHERE database = '${clickhouse.database}' AND active GROUP BY table ORDER BY table`,
    format: "JSONEachRow",
  });
  const sizes: TableSize[] = (await answer.json<{ table: string; row_count: number; bytes: number }>()).map((row) => ({
    table: row.table,
    rows: row.row_count,
    bytes: row.bytes,
  }));

  const measurements: Measurement[] = sizes
    .filter(({ table }) => kindOf(table).scope === "host" && kindOf(table).level !== "1h")
    .map(({ table, rows, bytes }) => {
      const isHistogram = getSignal(kindOf(table).signal ?? "")?.kind === "histogram";
      const against = isHistogram ? { against: { what: "the limit of a histogram row", value: HISTOGRAM_ROW_BYTES_MAX } } : {};
      return { what: table, value: bytes / rows, unit: "B/row", ...against };
    });
  // A host's rows grow with the hosts; the fleet's with the kinds of hosts, which the sample has all of.
  const bytesPerDay = (level: Level, scope: "host" | "fleet"): number =>
    sizes.filter(({ table }) => kindOf(table).level === level && kindOf(table).scope === scope).reduce((sum, { bytes }) => sum + bytes, 0) *
    (24 / HOURS);
  const stored = levels.flatMap((level) =>
    (level === "raw" ? (["host"] as const) : (["host", "fleet"] as const)).map((scope) => {
      const perDay = scope === "host" ? (bytesPerDay(level, scope) / HOSTS) * SIZED_HOSTS : bytesPerDay(level, scope);
      const days = retention.longestDays(level) + 1;
      return { level, scope, bytesPerDay: Math.round(perDay), days, bytes: Math.round(perDay * days) };
    }),
  );
  const total = stored.reduce((sum, { bytes }) => sum + bytes, 0);
  for (const { level, scope, bytesPerDay: perDay } of stored) {
    measurements.push({ what: `${level} ${scope}, ${SIZED_HOSTS} hosts`, value: perDay / 1e6, unit: "MB/day" });
  }
  measurements.push({
    what: `${SIZED_HOSTS} hosts with the default retention`,
    value: total / 1e9,
    unit: "GB",
    against: { what: "the disk it is made for", value: SIZED_BYTES / 1e9 },
  });
  return {
    title: "Storage",
    method: `${HOSTS} simulated hosts × ${HOURS} h × ${ROWS_PER_WINDOW} rows per ${WINDOW_MS / 1_000} s, rolled up and merged; index and marks included. A day more than the retention is counted, partitions go as a whole.`,
    measurements,
    json: {
      hosts: HOSTS,
      hours: HOURS,
      rowsPerWindow: ROWS_PER_WINDOW,
      tables: sizes.map((size) => ({ ...size, bytesPerRow: Math.round((size.bytes / size.rows) * 100) / 100 })),
      retention: { hosts: SIZED_HOSTS, levels: stored, bytes: total },
    },
  };
}

async function fill({ client }: TestClickHouse, tenant: string, fromMs: number): Promise<void> {
  const fleet = makeFleet(1, HOSTS).map((host) => ({ host, id: randomUUID() }));
  const workload = new Workload({ seed: 1, rows: ROWS_PER_WINDOW, windowMs: WINDOW_MS, incidents: [] });
  const bodies = new BufferPool(POOL_BYTES_MAX);
  let frames: Frame[] = [];
  const flush = async (): Promise<void> => {
    for (const insert of [...buildInserts(frames, bodies), buildWindowsInsert(frames, bodies)]) {
      const columns = insert.columns.map((column) => `\`${column}\``).join(", ");
      const { stream } = await client.exec({
        query: `INSERT INTO ${insert.table} (${columns}) FORMAT Native`,
        values: Readable.from([insert.body], { objectMode: false }),
      });
      stream.resume();
      await once(stream, "close");
      bodies.give(insert.body);
    }
    frames = [];
  };
  for (let tsMs = fromMs; tsMs < fromMs + HOURS * HOUR_MS; tsMs += WINDOW_MS) {
    for (const { host, id } of fleet) {
      const blocks = workload.window(host, tsMs).map(({ signal, block }) => ({
        signal,
        rows: block.rows,
        // The next window is made in the same memory.
        columns: block.columns.map((column) => Buffer.from(column)),
      }));
      frames.push({
        tenant,
        host: id,
        sequence: BigInt(tsMs),
        tsMs,
        windowMs: WINDOW_MS,
        clockOffsetMs: 3n,
        bootId: host.bootId,
        windows: 1,
        blocks,
        rows: blocks.reduce((sum, block) => sum + block.rows, 0),
        bytes: 0,
      });
      if (frames.length >= FRAMES_PER_INSERT) await flush();
    }
  }
  if (frames.length > 0) await flush();
}

async function rollUp({ client }: TestClickHouse, tenant: string, fromMs: number): Promise<void> {
  const answer = await client.query({ query: "SELECT DISTINCT host FROM windows", format: "JSONEachRow" });
  const hosts = (await answer.json<{ host: string }>()).map((row) => row.host);
  for (const step of rollupSteps) {
    const { bucketMs: lengthMs } = stepShapes[step];
    for (let bucketMs = fromMs; bucketMs < fromMs + HOURS * HOUR_MS; bucketMs += lengthMs) {
      for (const signal of catalogue) {
        const { sql, params, settings } = rollupStatement(signal, step, { tenant, bucketMs, hosts, version: Math.round(lengthMs / WINDOW_MS) });
        const result = await client.query({ query: sql, query_params: { ...params }, format: "JSONEachRow", clickhouse_settings: { ...settings } });
        await result.text();
      }
    }
  }
}
