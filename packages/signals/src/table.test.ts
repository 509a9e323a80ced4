// SPDX-License-Identifier: Apache-2.0
import { expect, it } from "vitest";
import { catalogue, getSignalOrThrow } from "./catalogue.ts";
import { rollupLevels } from "./levels.ts";
import { signalTable } from "./storage.ts";
import { tableStatements } from "./table.ts";

const columns = [
  "  `tenant` LowCardinality(String) CODEC(ZSTD(1)),",
  "  `ts` DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),",
  "  `window_ms` UInt64 CODEC(T64, ZSTD(1)),",
  "  `covered_windows` UInt64 CODEC(T64, ZSTD(1)),",
  "  `version` UInt64 CODEC(T64, ZSTD(1)),",
  "  `hosts` UInt32 CODEC(T64, ZSTD(1)),",
  "  `process` LowCardinality(String) CODEC(ZSTD(1)),",
  "  `syscall` LowCardinality(String) CODEC(ZSTD(1)),",
  "  `count` UInt64 CODEC(T64, ZSTD(1)),",
  "  `sum` UInt64 CODEC(GCD, T64('bit'), ZSTD(3)),",
  "  `min` UInt64 CODEC(GCD, T64, ZSTD(1)),",
  "  `max` UInt64 CODEC(GCD, T64, ZSTD(1)),",
  "  `k` Array(UInt16) CODEC(Delta(2), ZSTD(3)),",
  "  `c` Array(UInt64) CODEC(T64, ZSTD(3))",
];
const rest = [
  "PARTITION BY toStartOfMonth(ts)",
  "ORDER BY (`tenant`, toDate(ts), `process`, `syscall`, toUnixTimestamp64Milli(ts))",
  "TTL toDateTime(ts) + toIntervalDay(400)",
];
const table = signalTable(getSignalOrThrow("syscall_latency"), "1h", "fleet", 400);

it("a table on one server is itself", () => {
  expect(tableStatements(table, { database: "waggle", cluster: null })).toEqual([
    [
      "CREATE TABLE IF NOT EXISTS `waggle`.`syscall_latency_fleet_1h` (",
      ...columns,
      ")",
      "ENGINE = ReplacingMergeTree(version)",
      ...rest,
      "SETTINGS index_granularity = 1024, ttl_only_drop_parts = 1, materialize_ttl_recalculate_only = 1",
    ].join("\n"),
  ]);
});

it("a table on a cluster of single servers is a local table on each, and one that stands for all, cut by what names its rows", () => {
  const statements = tableStatements(table, { database: "waggle", cluster: { name: "fleet", replicated: false, onCluster: false } });
  expect(statements).toEqual([
    [
      "CREATE TABLE IF NOT EXISTS `waggle`.`syscall_latency_fleet_1h_local` (",
      ...columns,
      ")",
      "ENGINE = ReplacingMergeTree(version)",
      ...rest,
      "SETTINGS index_granularity = 1024, ttl_only_drop_parts = 1, materialize_ttl_recalculate_only = 1",
    ].join("\n"),
    "CREATE TABLE IF NOT EXISTS `waggle`.`syscall_latency_fleet_1h` AS `waggle`.`syscall_latency_fleet_1h_local`\n" +
      "ENGINE = Distributed('fleet', 'waggle', 'syscall_latency_fleet_1h_local', cityHash64(tenant))",
  ]);
});

it("a table on a cluster with replicas is replicated, and servers hand its statements on where they can", () => {
  const [local, distributed] = tableStatements(table, { database: "waggle", cluster: { name: "fleet", replicated: true, onCluster: true } });
  expect(local).toBe(
    [
      "CREATE TABLE IF NOT EXISTS `waggle`.`syscall_latency_fleet_1h_local` ON CLUSTER `fleet` (",
      ...columns,
      ")",
      "ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/{database}/{table}', '{replica}', version)",
      ...rest,
      "SETTINGS index_granularity = 1024, ttl_only_drop_parts = 1, materialize_ttl_recalculate_only = 1, replicated_deduplication_window = 0, replicated_deduplication_window_for_async_inserts = 0",
    ].join("\n"),
  );
  expect(distributed).toContain("CREATE TABLE IF NOT EXISTS `waggle`.`syscall_latency_fleet_1h` ON CLUSTER `fleet` AS");
});

it("rows of one host lie on one shard", () => {
  const raw = signalTable(getSignalOrThrow("tcp_rtt"), "raw");
  const [, distributed] = tableStatements(raw, { database: "waggle", cluster: { name: "fleet", replicated: false, onCluster: false } });
  expect(distributed).toContain("cityHash64(tenant, host)");
});

it.each(catalogue.map((signal) => [signal.name, signal] as const))("no table of %s has two columns of one name", (_name, signal) => {
  const tables = [
    signalTable(signal, "raw", "host", 1),
    ...rollupLevels.flatMap((level) => [signalTable(signal, level, "host", 1), signalTable(signal, level, "fleet", 1)]),
  ];
  for (const { columns: all } of tables) {
    const names = all.map(({ name }) => name);
    expect(names).toEqual([...new Set(names)]);
  }
});
