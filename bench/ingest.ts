// SPDX-License-Identifier: Apache-2.0
import { once } from "node:events";
import { Readable } from "node:stream";
import type { Frame } from "../apps/api/src/features/ingest/frame.ts";
import { buildInserts } from "../apps/api/src/features/ingest/native-body.ts";
import { connect, enrol, HostStream } from "../apps/simulator/src/connection.ts";
import { makeFleet, type SimulatedHost } from "../apps/simulator/src/fleet.ts";
import { type TestClickHouse, withTestClickHouse } from "../packages/clickhouse-embedded/src/testing.ts";
import { createTableSql, encodeBlock, getSignalOrThrow, type WireRow } from "../packages/signals/src/index.ts";
import type { BenchResult } from "./report.ts";
import { startApi } from "./server.ts";

const HOSTS = 100;
const FRAMES_PER_HOST = 30;
const WINDOW_MS = 10_000;
/** Frames of one bare insert: about what the API gathers in a quarter of a second at full speed. */
const FRAMES_PER_BARE_INSERT = 200;

/** Rows a busy host sends in one window: 300, as in the sizing of the design. */
const ROWS_PER_FRAME: Readonly<Record<string, number>> = {
  tcp_connections: 100,
  tcp_rtt: 60,
  tcp_retransmits: 40,
  syscalls: 60,
  syscall_latency: 40,
};

/**
 * The whole ingest path (gRPC, checks, concatenation, ClickHouse, acknowledgement) beside bare Native inserts of the same rows into
 * the same tables: what the path costs on top of the database.
 */
export async function run(): Promise<BenchResult> {
  await using clickhouse = await withTestClickHouse();
  const rowsPerFrame = Object.values(ROWS_PER_FRAME).reduce((sum, rows) => sum + rows, 0) + 1;
  const totalRows = HOSTS * FRAMES_PER_HOST * rowsPerFrame;
  const endToEndSeconds = await measureEndToEnd(clickhouse);
  const bareSeconds = await measureBareInsert(clickhouse);
  const endToEndRowsPerSecond = totalRows / endToEndSeconds;
  const bareInsertRowsPerSecond = totalRows / bareSeconds;
  const hostsPerCore = endToEndRowsPerSecond / (rowsPerFrame / (WINDOW_MS / 1000));
  return {
    title: "Ingest",
    method: `${HOSTS} streams × ${FRAMES_PER_HOST} frames × ${rowsPerFrame} rows; senders, API and ClickHouse share this machine's cores.`,
    measurements: [
      {
        what: "end to end, acknowledged",
        value: endToEndRowsPerSecond,
        unit: "rows/s",
        against: { what: "bare Native insert of the same rows", value: bareInsertRowsPerSecond },
      },
      { what: "hosts at 10 s windows that is", value: hostsPerCore, unit: "hosts" },
    ],
    json: {
      endToEndRowsPerSecond,
      bareInsertRowsPerSecond,
      ratio: endToEndRowsPerSecond / bareInsertRowsPerSecond,
      rows: totalRows,
      rowsPerFrame,
      hosts: HOSTS,
    },
  };
}

function rowsOf(host: SimulatedHost): Map<string, WireRow[]> {
  const rows = new Map<string, WireRow[]>([["agent_coverage", [{ signal: "tcp_rtt", state: "exact", reason: "", windows: 1 }]]]);
  for (const [name, count] of Object.entries(ROWS_PER_FRAME)) {
    const signal = getSignalOrThrow(name);
    rows.set(
      name,
      Array.from({ length: count }, (_, index) => {
        const row: Record<string, WireRow[string]> = {};
        for (const dimension of signal.dimensions) row[dimension] = `${dimension}-${(host.index + index * 7) % 50}`;
        row["process"] = `process-${index}`;
        for (const measure of signal.measures) row[measure.name] = index * 1_000;
        if (signal.distribution !== null) Object.assign(row, { count: 12, sum: 12e6, min: 9e5, max: 2e6, k: [150, 155, 160, 165], c: [3, 4, 4, 1] });
        return row;
      }),
    );
  }
  return rows;
}

async function measureEndToEnd(clickhouse: TestClickHouse): Promise<number> {
  await using api = await startApi(clickhouse);
  const client = connect(api.ingestAddress);
  const senders: (() => Promise<void>)[] = [];
  for (const host of makeFleet(1, HOSTS)) {
    const stream = new HostStream(client, await enrol(client, api.enrolmentToken, host), host, WINDOW_MS);
    const config = await stream.ready;
    const rows = rowsOf(host);
    const firstMs = Math.floor(Date.now() / WINDOW_MS) * WINDOW_MS - FRAMES_PER_HOST * WINDOW_MS;
    senders.push(async () => {
      const inFlight = new Set<Promise<void>>();
      for (let frame = 0; frame < FRAMES_PER_HOST; frame++) {
        while (inFlight.size >= config.framesInFlightMax) await Promise.race(inFlight);
        const sent = stream.send(firstMs + frame * WINDOW_MS, WINDOW_MS, rows).finally(() => inFlight.delete(sent));
        inFlight.add(sent);
      }
      await Promise.all(inFlight);
    });
  }
  const began = performance.now();
  await Promise.all(senders.map((send) => send()));
  const seconds = (performance.now() - began) / 1000;
  client.close();
  return seconds;
}

async function measureBareInsert(clickhouse: TestClickHouse): Promise<number> {
  const { database, client } = await clickhouse.freshDatabase();
  const signals = [...Object.keys(ROWS_PER_FRAME), "agent_coverage"].map(getSignalOrThrow);
  for (const signal of signals) await client.command({ query: createTableSql(signal, database) });
  const frames: Frame[] = makeFleet(1, HOSTS).flatMap((host) => {
    const rows = rowsOf(host);
    const blocks = signals.map((signal) => ({ signal, ...encodeBlock(signal, rows.get(signal.name) ?? []) }));
    return Array.from({ length: FRAMES_PER_HOST }, (_, index) => ({
      tenant: "bench",
      host: host.name,
      sequence: BigInt(index + 1),
      tsMs: Math.floor(Date.now() / WINDOW_MS) * WINDOW_MS - (FRAMES_PER_HOST - index) * WINDOW_MS,
      windowMs: WINDOW_MS,
      bootId: host.bootId,
      clockOffsetMs: 0n,
      windows: 1,
      blocks,
      rows: blocks.reduce((sum, block) => sum + block.rows, 0),
      bytes: blocks.reduce((sum, block) => sum + block.columns.reduce((bytes, column) => bytes + column.length, 0), 0),
    }));
  });
  let milliseconds = 0;
  for (let at = 0; at < frames.length; at += FRAMES_PER_BARE_INSERT) {
    const inserts = buildInserts(frames.slice(at, at + FRAMES_PER_BARE_INSERT));
    const began = performance.now();
    for (const insert of inserts) {
      const columns = insert.columns.map((column) => `\`${column}\``).join(", ");
      const { stream } = await client.exec({
        query: `INSERT INTO ${insert.table} (${columns}) FORMAT Native`,
        values: Readable.from(insert.body, { objectMode: false }),
      });
      stream.resume();
      await once(stream, "close");
    }
    milliseconds += performance.now() - began;
  }
  return milliseconds / 1000;
}
