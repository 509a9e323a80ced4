// SPDX-License-Identifier: Apache-2.0
import { afterAll, beforeAll, expect, it } from "vitest";
import { startTestApi, type TestApi } from "../../test/test-api.ts";
import { createLog } from "../common/log.ts";
import { Retention } from "../config/retention.ts";
import { ClickHouseService } from "./clickhouse.service.ts";

let api: TestApi;
let clickhouse: ClickHouseService;

beforeAll(async () => {
  api = await startTestApi();
  clickhouse = api.app.get(ClickHouseService);
});
afterAll(() => api?.[Symbol.asyncDispose]());

/** Per server: engine and keys of a table's rows, as ClickHouse writes them back. */
const enginesOf = async (table: string): Promise<string[]> => {
  const { from, node } = clickhouse.systemTable("tables");
  const local = clickhouse.layout.cluster === null ? table : `${table}_local`;
  const { rows } = await clickhouse.query<{ engine: string }>(
    `SELECT ${node} AS node, engine_full AS engine FROM ${from} WHERE database = {database:String} AND name = {local:String} ORDER BY node`,
    { database: clickhouse.database, local },
  );
  return rows.map((row) => row.engine);
};

it("changes how long rows are kept on every server when the configuration does, and only then", async () => {
  const before = await enginesOf("tcp_rtt_1m");
  expect(before).toHaveLength(clickhouse.layout.cluster === null ? 1 : 2);
  const other = new ClickHouseService({ ...api.config, retention: Retention.parse("raw=2d,1m=3d,tcp_rtt.1m=5d") }, createLog("silent"));
  try {
    await other.prepare();
    for (const engine of await enginesOf("tcp_rtt_1m")) expect(engine).toContain("TTL toDateTime(ts) + toIntervalDay(5) SETTINGS");
    for (const engine of await enginesOf("windows")) expect(engine).toContain("TTL toDateTime(ts) + toIntervalDay(2) SETTINGS");
    await clickhouse.prepare();
    expect(await enginesOf("tcp_rtt_1m")).toEqual(before);
  } finally {
    await other.onApplicationShutdown();
  }
});

it("adds a measure that an older version's table lacks, where its rows are and where it is read", async () => {
  await clickhouse.onEveryNode("agent_accounting", (table) => `ALTER TABLE ${table} DROP COLUMN kernel`);
  if (clickhouse.layout.cluster !== null) await clickhouse.command("ALTER TABLE agent_accounting DROP COLUMN kernel");
  await clickhouse.prepare();
  const { rows } = await clickhouse.query<{ n: number }>("SELECT count(kernel) AS n FROM agent_accounting");
  expect(rows).toEqual([{ n: 0 }]);
});

it("adds up over all shards what INSERT … SELECT stores", async () => {
  const ts = Math.floor(Date.now() / 60_000) * 60_000;
  const hosts = Array.from({ length: 20 }, (_, index) => `host-${index}`);
  await api.clickhouse.client.insert({
    table: "tcp_retransmits_1m",
    values: hosts.map((host) => ({
      tenant: "t",
      host,
      ts,
      window_ms: 60_000,
      covered_windows: 6,
      version: 1,
      segments: 5,
    })),
    format: "JSONEachRow",
  });
  await clickhouse.insertSelect(
    "INSERT INTO tcp_retransmits_fleet_1m (tenant, ts, segments, version) SELECT tenant, any(ts), sum(segments), 1 FROM tcp_retransmits_1m FINAL WHERE tenant = {tenant:String} GROUP BY tenant",
    { tenant: "t" },
  );
  const { rows } = await clickhouse.query<{ n: number; total: number }>(
    "SELECT count() AS n, sum(segments) AS total FROM tcp_retransmits_fleet_1m FINAL WHERE tenant = {tenant:String}",
    { tenant: "t" },
  );
  expect(rows).toEqual([{ n: 1, total: 100 }]);
});
