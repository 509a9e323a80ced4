// SPDX-License-Identifier: Apache-2.0
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { access } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { allTables } from "../apps/api/src/clickhouse/schema.ts";
import { BufferPool } from "../apps/api/src/common/buffer-pool.ts";
import { Retention } from "../apps/api/src/config/retention.ts";
import type { Frame } from "../apps/api/src/features/ingest/frame.ts";
import { frameOf } from "../apps/api/src/features/ingest/frame.ts";
import { buildInserts, buildWindowsInsert } from "../apps/api/src/features/ingest/native-body.ts";
import { rollupStatement } from "../apps/api/src/features/rollups/statements.ts";
import { rollupSteps, stepShapes } from "../apps/api/src/features/rollups/steps.ts";
import { kindOf } from "../apps/api/src/features/storage/partitions.ts";
import { makeFleet } from "../apps/simulator/src/fleet.ts";
import { flowsAndCalls, signalsOf } from "../apps/simulator/src/workload/selection.ts";
import { Workload } from "../apps/simulator/src/workload.ts";
import { type TestClickHouse, withTestClickHouse } from "../packages/clickhouse-embedded/src/testing.ts";
import { catalogue, getSignal, type Level, levels, type Scope, type TableDefinition, tableStatements } from "../packages/signals/src/index.ts";
import { noiseBytesPerRow } from "./histogram-noise.ts";
import type { BenchOptions, BenchResult, Measurement } from "./report.ts";

const HOSTS = 20;
const HOURS = 2;
const WINDOW_MS = 10_000;
/** A busy host, as in the sizing of the design. */
const ROWS_PER_WINDOW = 300;
const FRAMES_PER_INSERT = 400;
const POOL_BYTES_MAX = 64 * 1_024 * 1_024;
const HOUR_MS = 3_600_000;
const DAY_MS = 86_400_000;
/** Of yesterday, UTC: when simulated hosts do what they do on a day's average, give or take 3 %. The answer must not depend on when it is asked for. */
const FROM_HOUR = 7;
/** What the default retention is made for. */
const SIZED_HOSTS = 100;
const SIZED_BYTES = 50e9;
/** Of a histogram row, set by the project itself. */
const HISTOGRAM_ROW_BYTES_MAX = 16;

interface TableSize {
  readonly table: string;
  readonly rows: number;
  readonly bytes: number;
  /** Compressed, without marks; by column, the largest first. */
  readonly columnBytesPerRow: Readonly<Record<string, number>>;
  /** Bytes per row that no codec can take out; null: no histogram, or none with values. */
  readonly noiseBytesPerRow: number | null;
}

/** Whose rows were measured. */
interface Observed {
  readonly hosts: number;
  /** Summed over the hosts. */
  readonly hostHours: number;
  readonly rowsPerWindow: number;
}

/**
 * Bytes on disk per row of every table, and what the default retention takes of a fleet.
 * @param options.dataDirectory of a `./waggle up` that is stopped: its rows are measured, as the tables of today would store them; undefined: simulated ones
 * @throws Error when that directory has no rows
 */
export async function run({ dataDirectory }: Pick<BenchOptions, "dataDirectory">): Promise<BenchResult> {
  if (dataDirectory !== undefined) await access(join(dataDirectory, "clickhouse", "engine"));
  await using clickhouse = await withTestClickHouse(dataDirectory === undefined ? {} : { dataDirectory: join(dataDirectory, "clickhouse") });
  try {
    return await measure(clickhouse, dataDirectory !== undefined);
  } finally {
    // The server's own directory goes with it, somebody's data stay.
    await clickhouse.client.command({ query: `DROP DATABASE ${clickhouse.database} SYNC` });
  }
}

async function measure(clickhouse: TestClickHouse, isReal: boolean): Promise<BenchResult> {
  const retention = Retention.default;
  const layout = { database: clickhouse.database, cluster: null };
  const tables = allTables(retention);
  for (const table of tables) for (const statement of tableStatements(table, layout)) await clickhouse.client.command({ query: statement });
  if (isReal) await copy(clickhouse, tables);
  else await simulate(clickhouse);
  const observed = await observe(clickhouse);
  for (const { name } of tables) {
    // As the parts of a table with a day in it are; a sample's would be small enough to be kept in one file each, which is longer.
    await clickhouse.client.command({ query: `ALTER TABLE ${name} MODIFY SETTING min_bytes_for_wide_part = 0` });
    await clickhouse.client.command({ query: `OPTIMIZE TABLE ${name} FINAL` });
  }
  const sizes = await sizesOf(clickhouse);
  const measurements: Measurement[] = sizes
    .filter(({ table }) => kindOf(table).scope === "host" && kindOf(table).level !== "1h")
    .flatMap(({ table, rows, bytes, noiseBytesPerRow: noise }) => {
      const against = isHistogram(table) ? { against: { what: "the limit of a histogram row", value: HISTOGRAM_ROW_BYTES_MAX } } : {};
      return [
        { what: table, value: bytes / rows, unit: "B/row", ...against },
        ...(noise === null ? [] : [{ what: "  of which no codec can take out", value: noise, unit: "B/row" }]),
      ];
    });
  measurements.push(...meanHistogramRows(sizes));
  const projected = isReal ? undefined : project(sizes, retention);
  for (const { level, scope, bytesPerDay } of projected?.levels ?? []) {
    measurements.push({ what: `${level} ${scope}, ${SIZED_HOSTS} hosts`, value: bytesPerDay / 1e6, unit: "MB/day" });
  }
  if (projected !== undefined) {
    measurements.push({
      what: `${SIZED_HOSTS} hosts with the default retention`,
      value: projected.bytes / 1e9,
      unit: "GB",
      against: { what: "the disk it is made for", value: SIZED_BYTES / 1e9 },
    });
  }
  return {
    title: "Storage",
    method: `${observed.hosts} ${isReal ? "real hosts" : "simulated hosts that report TCP flows and system calls"}, ${observed.hostHours.toFixed(1)} h in all, ${Math.round(observed.rowsPerWindow)} rows per ${WINDOW_MS / 1_000} s, rolled up and merged; index and marks included. A day more than the retention is counted, partitions go as a whole.`,
    measurements,
    json: {
      real: isReal,
      ...observed,
      tables: sizes.map((size) => ({
        ...size,
        bytesPerRow: hundredths(size.bytes / size.rows),
        noiseBytesPerRow: size.noiseBytesPerRow === null ? null : hundredths(size.noiseBytesPerRow),
      })),
      // A short sample of one host says what its rows take, not what a day of a hundred hosts does.
      ...(projected === undefined ? {} : { retention: projected }),
    },
  };
}

/** Bytes of a histogram row of any signal: what they take together, by how many of each there are. */
function meanHistogramRows(sizes: readonly TableSize[]): Measurement[] {
  return (["raw", "1m"] as const).flatMap((level) => {
    const tables = sizes.filter(
      ({ table, rows }) => isHistogram(table) && kindOf(table).level === level && kindOf(table).scope === "host" && rows > 0,
    );
    const rows = tables.reduce((sum, table) => sum + table.rows, 0);
    if (rows === 0) return [];
    const bytes = tables.reduce((sum, table) => sum + table.bytes, 0);
    return [
      {
        what: `histogram rows of all signals, ${level}`,
        value: bytes / rows,
        unit: "B/row",
        against: { what: "the limit of a histogram row", value: HISTOGRAM_ROW_BYTES_MAX },
      },
    ];
  });
}

async function sizesOf({ client, database }: TestClickHouse): Promise<TableSize[]> {
  const rowsOf = async <Row>(query: string): Promise<Row[]> =>
    (await client.query({ query, query_params: { database }, format: "JSONEachRow" })).json<Row>();
  const parts = await rowsOf<{ table: string; row_count: number; bytes: number }>(
    "SELECT table, toFloat64(sum(rows)) AS row_count, toFloat64(sum(bytes_on_disk)) AS bytes FROM system.parts WHERE database = {database:String} AND active GROUP BY table ORDER BY table",
  );
  const columns = await rowsOf<{ table: string; column: string; bytes: number }>(
    "SELECT table, column, toFloat64(sum(column_data_compressed_bytes)) AS bytes FROM system.parts_columns WHERE database = {database:String} AND active GROUP BY table, column ORDER BY bytes DESC",
  );
  const sizes: TableSize[] = [];
  for (const { table, row_count: rows, bytes } of parts) {
    const columnBytesPerRow = Object.fromEntries(
      columns.filter((column) => column.table === table).map((row) => [row.column, hundredths(row.bytes / rows)]),
    );
    sizes.push({ table, rows, bytes, columnBytesPerRow, noiseBytesPerRow: isHistogram(table) ? await noiseBytesPerRow(client, table) : null });
  }
  return sizes;
}

interface Projection {
  readonly hosts: number;
  readonly levels: readonly {
    readonly level: Level;
    readonly scope: Scope;
    readonly bytesPerDay: number;
    readonly days: number;
    readonly bytes: number;
  }[];
  readonly bytes: number;
}

/** What the simulated hosts' tables grow to. A host's rows grow with the hosts; the fleet's with the kinds of hosts, which the sample has all of. */
function project(sizes: readonly TableSize[], retention: Retention): Projection {
  const stored = levels.flatMap((level) =>
    (level === "raw" ? (["host"] as const) : (["host", "fleet"] as const)).map((scope) => {
      const ofSample = sizes
        .filter(({ table }) => kindOf(table).level === level && kindOf(table).scope === scope)
        .reduce((sum, { bytes }) => sum + bytes, 0);
      const bytesPerDay = ofSample * (24 / HOURS) * (scope === "host" ? SIZED_HOSTS / HOSTS : 1);
      const days = retention.longestDays(level) + 1;
      return { level, scope, bytesPerDay: Math.round(bytesPerDay), days, bytes: Math.round(bytesPerDay * days) };
    }),
  );
  return { hosts: SIZED_HOSTS, levels: stored, bytes: stored.reduce((sum, { bytes }) => sum + bytes, 0) };
}

const hundredths = (value: number): number => Math.round(value * 100) / 100;

function isHistogram(table: string): boolean {
  return getSignal(kindOf(table).signal ?? "")?.kind === "histogram";
}

async function simulate(clickhouse: TestClickHouse): Promise<void> {
  const fromMs = Math.floor(Date.now() / DAY_MS) * DAY_MS - DAY_MS + FROM_HOUR * HOUR_MS;
  const tenant = randomUUID();
  await fill(clickhouse, tenant, fromMs);
  await rollUp(clickhouse, tenant, fromMs);
}

/** Takes over the product's own rows. A table or column that its version did not have yet stays empty. */
async function copy({ client, server }: TestClickHouse, tables: readonly TableDefinition[]): Promise<void> {
  const answer = await client.query({
    query: "SELECT table, groupArray(name) AS names FROM system.columns WHERE database = {database:String} GROUP BY table",
    query_params: { database: server.database },
    format: "JSONEachRow",
  });
  const existing = new Map((await answer.json<{ table: string; names: string[] }>()).map(({ table, names }) => [table, new Set(names)]));
  for (const { name, columns } of tables) {
    const known = existing.get(name);
    if (known === undefined) continue;
    const shared = columns.filter((column) => known.has(column.name)).map((column) => `\`${column.name}\``);
    await client.command({
      query: `INSERT INTO ${name} (${shared.join(", ")}) SELECT ${shared.join(", ")} FROM \`${server.database}\`.\`${name}\` FINAL`,
    });
  }
}

async function observe({ client }: TestClickHouse): Promise<Observed> {
  const answer = await client.query({
    // The API writes windows about its own storage; an agent's tell what it costs.
    query: `SELECT uniqExact(host) AS hosts, sum(window_ms) / ${HOUR_MS} AS hours, sum(rows) / sum(window_ms) * ${WINDOW_MS} AS rows_per_window FROM windows FINAL WHERE host IN (SELECT host FROM agent_cost)`,
    format: "JSONEachRow",
  });
  const [row] = await answer.json<{ hosts: string; hours: number; rows_per_window: number }>();
  if (row === undefined || Number(row.hosts) === 0) throw new Error("there are no windows to measure");
  return { hosts: Number(row.hosts), hostHours: row.hours, rowsPerWindow: row.rows_per_window };
}

async function fill({ client }: TestClickHouse, tenant: string, fromMs: number): Promise<void> {
  const fleet = makeFleet(1, HOSTS).map((host) => ({ host, id: randomUUID() }));
  const workload = new Workload({ seed: 1, rows: ROWS_PER_WINDOW, windowMs: WINDOW_MS, incidents: [], signals: signalsOf(flowsAndCalls) });
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
        columns: block.columns,
      }));
      const head = {
        tenant,
        host: id,
        sequence: BigInt(tsMs),
        tsMs,
        windowMs: WINDOW_MS,
        clockOffsetMs: 3n,
        bootId: host.bootId,
        windows: 1,
      };
      frames.push(frameOf(head, blocks));
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
