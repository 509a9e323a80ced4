// SPDX-License-Identifier: Apache-2.0

import { Registry } from "prom-client";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { startTestApi, type TestApi, TestOrganisation } from "../../../test/test-api.ts";
import { ClickHouseService } from "../../clickhouse/clickhouse.service.ts";
import { Clock } from "../../common/clock.ts";
import { Log } from "../../common/log.ts";
import { Database } from "../../postgres/database.ts";
import { LeasesRepository } from "../../postgres/leases.repository.ts";
import { rollupProgress, storageDrops } from "../../postgres/schema.ts";
import { FrameWriter } from "../ingest/frame-writer.service.ts";
import { DiskGuard } from "./disk-guard.service.ts";
import { RawFloor } from "./raw-floor.service.ts";
import { RetentionService } from "./retention.service.ts";
import { ServerStorageService } from "./server-storage.service.ts";
import { StorageMetrics } from "./storage.metrics.ts";
import { StorageRepository } from "./storage.repository.ts";
import type { StorageReport } from "./storage.schemas.ts";

const DAY_MS = 86_400_000;
const todayMs = Math.floor(Date.now() / DAY_MS) * DAY_MS;

let api: TestApi;
let organisation: TestOrganisation;
let clickhouse: ClickHouseService;

const start = async (environment: Record<string, string>) => {
  api = await startTestApi(environment);
  organisation = await TestOrganisation.create(api);
  clickhouse = api.app.get(ClickHouseService);
  // Looks only when asked to.
  await api.app.get(DiskGuard).onApplicationShutdown();
};
afterEach(() => api?.[Symbol.asyncDispose]());

/** Rows of one raw table and their windows, with names that do not compress: about 60 bytes a row. */
const fill = async (dayMs: number, rows: number): Promise<void> => {
  await api.clickhouse.client.command({
    query: `INSERT INTO tcp_retransmits (tenant, host, ts, window_ms, process, unit, peer, peer_port, port, role, class, segments)
      SELECT '${organisation.id}', 'host-' || toString(number % 7), fromUnixTimestamp64Milli(toInt64(${dayMs} + (number % 8000) * 10000), 'UTC'), 10000,
        '', '', hex(rand64(number)) || hex(rand64(number + 1)) || hex(rand64(number + 2)), '', '', '', 'fast', 1 FROM numbers(${rows})`,
  });
  await organisation.storeWindows(Array.from({ length: 7 }, (_, index) => ({ host: `host-${index}`, ts: dayMs, window_ms: 10_000 })));
};
const daysOf = async (table: string): Promise<string[]> => {
  const { rows } = await clickhouse.query<{ day: string }>(`SELECT DISTINCT toString(toDate(ts)) AS day FROM ${table} ORDER BY day`);
  return rows.map((row) => row.day);
};
const dayName = (ms: number): string => new Date(ms).toISOString().slice(0, 10);
const report = async (): Promise<StorageReport> => (await organisation.request("/storage")).json() as Promise<StorageReport>;
const metric = async (name: string): Promise<number> => {
  const text = await (await fetch(`${api.url}/metrics`)).text();
  const line = text.split("\n").find((each) => each.startsWith(`${name} `));
  return Number(line?.slice(name.length));
};

describe("rows that are past their time", () => {
  beforeEach(() => start({ WAGGLE_API_RETENTION: "raw=2d" }));

  it("and that TTL does not remove are seen and dropped, all others stay", async () => {
    await clickhouse.onEveryNode("tcp_retransmits", (table) => `ALTER TABLE ${table} MODIFY SETTING merge_with_ttl_timeout = 1000000`);
    for (const node of [...new Set([api.clickhouse, ...("shards" in api.clickhouse ? (api.clickhouse.shards as (typeof api.clickhouse)[]) : [])])]) {
      await node.client.command({ query: "SYSTEM STOP TTL MERGES" });
      await node.client.command({ query: "SYSTEM STOP MERGES" });
    }
    const oldMs = todayMs - 5 * DAY_MS;
    for (const dayMs of [oldMs, todayMs - 3 * DAY_MS, todayMs]) await fill(dayMs, 500);
    await api.app.get(DiskGuard).check();
    expect(await metric("waggle_storage_overdue_bytes")).toBeGreaterThan(0);
    const before = await report();
    expect(before.tables.find((table) => table.table === "tcp_retransmits")).toMatchObject({
      rows: 1_500,
      oldest: dayName(oldMs),
      newest: dayName(todayMs),
      retentionDays: 2,
      signal: "tcp_retransmits",
      level: "raw",
      scope: "host",
    });
    expect(before.tables.find((table) => table.table === "tcp_retransmits")?.overdueBytes).toBeGreaterThan(0);

    const { overdue, droppedPartitions } = await api.app.get(RetentionService).check();
    expect(new Set(overdue.map((partition) => `${partition.table} ${partition.partition}`))).toEqual(
      new Set([`tcp_retransmits ${dayName(oldMs)}`, `windows ${dayName(oldMs)}`]),
    );
    expect(droppedPartitions).toBe(2);
    expect(await daysOf("tcp_retransmits")).toEqual([dayName(todayMs - 3 * DAY_MS), dayName(todayMs)]);
    expect(await api.app.get(RetentionService).check()).toEqual({ overdue: [], droppedPartitions: 0 });
  });
});

describe("a store that fills up", () => {
  beforeEach(async () => {
    await start({ WAGGLE_API_STORAGE_BYTES_MAX: "1000000" });
    // How full the disk of this machine is, is not what is tested.
    api.app.get(StorageRepository).listDisks = async () => [];
  });

  it("asks agents for longer windows, then gives up the oldest raw day that is rolled up, says so, and goes on", async () => {
    const guard = api.app.get(DiskGuard);
    guard.noticeMs = 0;
    guard.pauseMs = 0;
    const seen: string[] = [];
    guard.onWindowMsWanted(() => seen.push(guard.state));
    await guard.check();
    expect(guard.state).toBe("ok");
    expect(guard.windowMsWanted()).toBeNull();

    const [first, second] = [todayMs - 2 * DAY_MS, todayMs - DAY_MS];
    for (const dayMs of [first, second]) await fill(dayMs, 50_000);
    await guard.check();
    expect(seen).toEqual(["drop"]);
    expect(guard.windowMsWanted()).toBe(60_000);
    expect(guard.note).toContain(`the raw rows of ${dayName(first)} are not rolled up yet`);
    expect(await daysOf("tcp_retransmits")).toEqual([dayName(first), dayName(second)]);

    const values = { step: "1m", completeUntil: new Date(second), scannedUntil: new Date(second) };
    await api.app.get(Database).db.insert(rollupProgress).values(values).onConflictDoUpdate({ target: rollupProgress.step, set: values });
    // The first look announces, so that nobody takes in a window of that day any more.
    await guard.check();
    expect(await daysOf("tcp_retransmits")).toEqual([dayName(first), dayName(second)]);
    expect(api.app.get(RawFloor).rawFloorMs(Date.now())).toBe(second);
    expect(api.app.get(RawFloor).reason(Date.now())).toMatch(
      /^raw rows before .* were given up: the tables take \d+ % of WAGGLE_API_STORAGE_BYTES_MAX$/,
    );
    await guard.check();
    expect(await daysOf("tcp_retransmits")).toEqual([dayName(second)]);
    expect(await daysOf("windows")).toEqual([dayName(second)]);
    // The next is not rolled up, and stays.
    await guard.check();
    await guard.check();
    expect(await daysOf("tcp_retransmits")).toEqual([dayName(second)]);

    const answer = await report();
    expect(answer).toMatchObject({
      state: "drop",
      windowMsWanted: 60_000,
      bytesMax: 1_000_000,
      dropped: { rawBefore: new Date(second).toISOString() },
    });
    expect(answer.levels.find((level) => level.level === "raw")?.rows).toBe(50_000);
    expect(await (await fetch(`${api.url}/readyz`)).json()).toMatchObject({
      status: "ready",
      checks: { storage: expect.stringContaining("oldest raw rows are dropped") },
    });
    expect(await metric('waggle_storage_dropped_partitions_total{reason="space"}')).toBe(2);

    await clickhouse.onEveryNode("tcp_retransmits", (table) => `TRUNCATE TABLE ${table}`);
    await guard.check();
    expect(guard.state).toBe("ok");
    expect(guard.windowMsWanted()).toBeNull();
  });

  it("never drops today's rows, and says that there is nothing else", async () => {
    const guard = api.app.get(DiskGuard);
    await fill(todayMs, 50_000);
    await guard.check();
    await guard.check();
    expect(await daysOf("tcp_retransmits")).toEqual([dayName(todayMs)]);
    expect(guard.note).toContain("there is nothing older than today to drop");
  });
});

describe("the signal server_storage", () => {
  beforeEach(() => start({ WAGGLE_API_STORAGE_BYTES_MAX: "1000000000" }));

  it("answers queries like any host's, in every organisation, and is no host", async () => {
    const other = await TestOrganisation.create(api);
    await organisation.addHost("web-1");
    await api.app.get(DiskGuard).check();
    const minuteMs = Math.floor(Date.now() / 60_000) * 60_000 - 60_000;
    await api.app.get(ServerStorageService).write(minuteMs);
    for (const each of [organisation, other]) {
      const response = await each.request("/query", {
        body: {
          signal: "server_storage",
          select: [{ measure: "total_bytes", aggregate: "last" }],
          by: ["host", "disk"],
          where: "disk:limit",
          from: minuteMs,
          to: minuteMs + 60_000,
          points: 1,
        },
      });
      expect(response.status).toBe(200);
      const answer = (await response.json()) as { meta: { coverage: { hosts: number; reporting: number } }; series: unknown[] };
      expect(answer.series).toEqual([expect.objectContaining({ labels: { host: "~server", disk: "limit" }, values: [1_000_000_000] })]);
      expect(answer.meta.coverage).toMatchObject({ hosts: 1, reporting: 1 });
    }
    const { data: signals } = (await (await organisation.request("/signals")).json()) as { data: { name: string; coverage: unknown }[] };
    expect(signals.find(({ name }) => name === "server_storage")?.coverage).toEqual({ hosts: 1, reporting: 1, states: { exact: 1 } });
    const { data: hosts } = (await (await organisation.request("/hosts")).json()) as { data: { name: string; signals: { name: string }[] }[] };
    expect(hosts.map(({ name }) => name)).toEqual(["web-1"]);
    expect(hosts[0]?.signals.map(({ name }) => name)).not.toContain("server_storage");
  });
});

describe("what was dropped", () => {
  beforeEach(async () => {
    await start({ WAGGLE_API_STORAGE_BYTES_MAX: "1000000" });
    api.app.get(StorageRepository).listDisks = async () => [];
  });

  it("is reported once in every organisation, whichever node dropped, whichever writes, and whatever dies in between", async () => {
    const { app } = api;
    const other = await TestOrganisation.create(api);
    const guard = app.get(DiskGuard);
    guard.noticeMs = 0;
    await fill(todayMs - DAY_MS, 50_000);
    const values = { step: "1m", completeUntil: new Date(todayMs), scannedUntil: new Date(todayMs) };
    await app.get(Database).db.insert(rollupProgress).values(values).onConflictDoUpdate({ target: rollupProgress.step, set: values });
    for (let look = 0; look < 2; look++) await guard.check();
    expect(await daysOf("tcp_retransmits")).toEqual([]);

    // Another node, which has dropped nothing and knows only what the stores say.
    const log = app.get(Log);
    const [repository, leases, clock] = [app.get(StorageRepository), app.get(LeasesRepository), app.get(Clock)];
    const metrics = new StorageMetrics(new Registry());
    const otherGuard = new DiskGuard(repository, clickhouse, app.get(RawFloor), leases, metrics, api.config, clock, log);
    await otherGuard.check();
    const nodes = [
      app.get(ServerStorageService),
      new ServerStorageService(otherGuard, repository, app.get(FrameWriter), clickhouse, app.get(Database), leases, api.config, clock, log),
    ] as const;
    const firstMs = Math.floor(Date.now() / 60_000) * 60_000 - 10 * 60_000;
    const reported = async () => {
      const { rows } = await clickhouse.query<{ tenant: string; dropped: number }>(
        "SELECT toString(tenant) AS tenant, sum(dropped_partitions) AS dropped FROM server_storage FINAL GROUP BY tenant",
      );
      return new Map(rows.map((row) => [row.tenant, Number(row.dropped)]));
    };
    const all = (dropped: number) =>
      new Map([
        [organisation.id, dropped],
        [other.id, dropped],
      ]);
    const only = async () => new Map([...(await reported())].filter(([tenant]) => tenant === organisation.id || tenant === other.id));

    await nodes[1].write(firstMs);
    expect(await only()).toEqual(all(2));
    await nodes[0].write(firstMs + 60_000);
    expect(await only()).toEqual(all(2));

    // A node dies when all is stored, before it could note that.
    const { db } = app.get(Database);
    await db.update(storageDrops).set({ confirmedAt: null });
    await nodes[0].write(firstMs + 120_000);
    expect(await only()).toEqual(all(2));

    // One dies before it could write the minute that was to count a drop; the day's partition is then dropped again.
    await repository.noteDrop("syscalls", "19700102");
    await repository.assignDrops(firstMs + 180_000);
    await repository.noteDrop("syscalls", "19700102");
    await nodes[1].write(firstMs + 240_000);
    await nodes[0].write(firstMs + 300_000);
    expect(await only()).toEqual(all(3));
  });
});

describe("a ClickHouse that does not answer", () => {
  beforeEach(() => start({}));

  it("is not taken for one with room: the state stays, and the report fails", async () => {
    const guard = api.app.get(DiskGuard);
    await guard.check();
    expect((await organisation.request("/storage")).status).toBe(200);
    await api.clickhouse.server.stop();
    await expect(guard.check()).rejects.toMatchObject({ code: "STORAGE_UNAVAILABLE" });
    expect(guard.note).toContain("is not known");
    const response = await organisation.request("/storage");
    expect(response.status).toBe(503);
  });
});
