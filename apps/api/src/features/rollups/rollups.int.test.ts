// SPDX-License-Identifier: Apache-2.0
import { catalogue, gaugesOf, getSignalOrThrow, hasLastEnd, localTableName, OTHER, type Signal, sumsOf, tableName } from "@waggle/signals";
import { eq } from "drizzle-orm";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { startTestApi, type TestApi, TestOrganisation } from "../../../test/test-api.ts";
import { ClickHouseService } from "../../clickhouse/clickhouse.service.ts";
import { Clock } from "../../common/clock.ts";
import { Log } from "../../common/log.ts";
import { Config } from "../../config/config.ts";
import { Database } from "../../postgres/database.ts";
import { LeasesRepository } from "../../postgres/leases.repository.ts";
import { leases, rollupProgress, storageFloors } from "../../postgres/schema.ts";
import { FrameWriter } from "../ingest/frame-writer.service.ts";
import { ServerStorageService } from "../storage/server-storage.service.ts";
import { verifyLevels } from "./level-equation.ts";
import { RollupProgress } from "./rollup-progress.service.ts";
import { RollupsMetrics } from "./rollups.metrics.ts";
import { RollupsRepository } from "./rollups.repository.ts";
import { RollupsService } from "./rollups.service.ts";
import { rollupSteps, stepShapes } from "./steps.ts";

const MINUTE = 60_000;
const HOUR = 3_600_000;

interface Frame {
  readonly host: string;
  readonly ts: number;
  readonly window_ms: number;
  readonly rows: ReadonlyMap<Signal, readonly Row[]>;
}
type Row = Record<string, string | number | number[]>;

let api: TestApi;
let clickhouse: ClickHouseService;
let rollups: RollupsService;
let org: TestOrganisation;
/** Start of an hour that is over. */
let hour: number;

beforeAll(async () => {
  api = await startTestApi();
  clickhouse = api.app.get(ClickHouseService);
  rollups = api.app.get(RollupsService);
  await rollups.stop();
  // Its minutes, one an organisation, would be among the buckets that are counted here.
  await api.app.get(ServerStorageService).onApplicationShutdown();
});
afterAll(() => api?.[Symbol.asyncDispose]());
beforeEach(async () => {
  org = await TestOrganisation.create(api);
  hour = Math.floor(Date.now() / HOUR) * HOUR - 3 * HOUR;
});

/** The same numbers for the same seed, so that a failure can be repeated. */
function randomOf(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

function randomRow(signal: Signal, random: (below: number) => number): Row {
  // Few values each, so that keys come back; the overflow row among them.
  const isOther = random(6) === 0;
  const row: Row = Object.fromEntries(signal.dimensions.map((name) => [name, isOther ? OTHER : `${name}-${random(2)}`]));
  if (signal.kind === "histogram") {
    // One in eight was counted and not measured.
    const k = random(8) === 0 ? [] : [...new Set(Array.from({ length: 1 + random(6) }, () => random(40)))].sort((a, b) => a - b);
    const c = k.map(() => 1 + random(9));
    const isEmpty = k.length === 0;
    const count = c.reduce((sum, value) => sum + value, 0);
    return { ...row, k, c, count, sum: count * 1_000, min: isEmpty ? 0 : 1 + random(500), max: isEmpty ? 0 : 1_000 + random(9_000) };
  }
  return { ...row, ...Object.fromEntries(signal.measures.map(({ name }) => [name, random(1_000)])) };
}

/** One of each shape: sums and a gauge, a histogram, sums alone, what every window has, and no dimensions at all. */
const shapes = ["tcp_connections", "tcp_rtt", "syscalls", "agent_coverage", "host_load"].map(getSignalOrThrow);

function makeFrame(host: string, ts: number, random: (below: number) => number, window_ms = 10_000, signals: readonly Signal[] = shapes): Frame {
  const rows = new Map(
    signals.map((signal) => {
      const made = Array.from({ length: random(4) }, () => randomRow(signal, random));
      const named = new Map(made.map((row) => [signal.dimensions.map((name) => row[name]).join("/"), row]));
      return [signal, [...named.values()]] as const;
    }),
  );
  return { host, ts, window_ms, rows };
}

async function store(frames: readonly Frame[]): Promise<void> {
  for (const signal of catalogue) {
    const rows = frames.flatMap(({ host, ts, window_ms, rows }) => (rows.get(signal) ?? []).map((row) => ({ host, ts, window_ms, ...row })));
    if (rows.length > 0) await org.store(signal, rows);
  }
  await org.storeWindows(frames.map(({ host, ts, window_ms }) => ({ host, ts, window_ms })));
}

/** Three hosts, the last minutes of an hour and the first of the next. */
function manyFrames(seed: number, signals: readonly Signal[] = shapes): Frame[] {
  const random = randomOf(seed);
  const times = Array.from({ length: 72 }, (_, index) => hour + 54 * MINUTE + index * 10_000);
  return ["host-a", "host-b", "host-c"].flatMap((host) => times.map((ts) => makeFrame(host, ts, random, 10_000, signals)));
}

const equation = (signals: readonly Signal[] = shapes) => verifyLevels(clickhouse, org.id, hour - 24 * HOUR, hour + 3 * HOUR, { signals });

async function expectEqual(signals: readonly Signal[] = shapes): Promise<void> {
  const { compared, differences } = await equation(signals);
  expect(differences).toEqual([]);
  expect(compared).toBeGreaterThan(0);
}

async function stored<T>(table: string, columns: string, order = "ALL"): Promise<T[]> {
  const { rows } = await clickhouse.query<T>(`SELECT ${columns} FROM ${table} FINAL WHERE tenant = {tenant:String} ORDER BY ${order}`, {
    tenant: org.id,
  });
  return rows;
}

const count = async (table: string): Promise<number> =>
  (await clickhouse.query<{ n: number }>(`SELECT count() AS n FROM ${table} WHERE tenant = {tenant:String}`, { tenant: org.id })).rows[0]?.n ?? 0;

/** What a level should hold, made in the plainest way out of the frames. Numbers of a row by its key. */
function reference(frames: readonly Frame[], signal: Signal, lengthMs: number): Map<string, Row> {
  const levels = new Map<string, Row>();
  for (const { host, ts, window_ms, rows } of [...frames].sort((a, b) => a.ts - b.ts)) {
    const at = Math.floor(ts / lengthMs) * lengthMs;
    for (const row of rows.get(signal) ?? []) {
      const key = [host, at, ...signal.dimensions.map((name) => row[name])].join("/");
      const sum = levels.get(key) ?? { window_ms: 0, covered_windows: 0 };
      levels.set(key, sum);
      const number = (name: string): number => (sum[name] as number | undefined) ?? 0;
      sum["window_ms"] = number("window_ms") + window_ms;
      sum["covered_windows"] = number("covered_windows") + 1;
      if (hasLastEnd(signal)) sum["last_end_ms"] = ts + window_ms;
      for (const { name } of sumsOf(signal)) sum[name] = number(name) + (row[name] as number);
      for (const { name } of gaugesOf(signal)) {
        const value = row[name] as number;
        sum[`${name}_min`] = Math.min((sum[`${name}_min`] as number | undefined) ?? value, value);
        sum[`${name}_max`] = Math.max(number(`${name}_max`), value);
        sum[`${name}_time`] = number(`${name}_time`) + value * window_ms;
        sum[name] = value;
      }
      if (signal.kind !== "histogram") continue;
      const buckets = new Map(((sum["k"] as number[] | undefined) ?? []).map((k, index) => [k, (sum["c"] as number[])[index] as number]));
      for (const [index, k] of (row["k"] as number[]).entries()) buckets.set(k, (buckets.get(k) ?? 0) + ((row["c"] as number[])[index] as number));
      sum["k"] = [...buckets.keys()].sort((a, b) => a - b);
      sum["c"] = sum["k"].map((k) => buckets.get(k) as number);
      const isFirst = number("count") === 0;
      if ((row["count"] as number) > 0) {
        sum["min"] = isFirst ? (row["min"] as number) : Math.min(number("min"), row["min"] as number);
        sum["max"] = Math.max(number("max"), row["max"] as number);
      } else if (isFirst) {
        sum["min"] = 0;
        sum["max"] = 0;
      }
      sum["count"] = number("count") + (row["count"] as number);
      sum["sum"] = number("sum") + (row["sum"] as number);
    }
  }
  return levels;
}

describe("rows of a frame that was not accepted", () => {
  it("are in no level, whenever the bucket is rolled up, until the frame comes again", async () => {
    const frames = manyFrames(11);
    const [half, ...accepted] = frames as [Frame, ...Frame[]];
    const first = getSignalOrThrow("syscalls");
    const partial: Frame = { ...half, rows: new Map([[first, [{ process: "p", unit: "u", syscall: "read", count: 5_000 }]]]) };
    const counted = async (level: "1m" | "1h", scope?: "fleet") =>
      (await stored<{ n: number }>(tableName(first, level, scope), "toFloat64(sum(count)) AS n"))[0]?.n;
    const expected = (all: readonly Frame[]) =>
      all.reduce((sum, frame) => sum + (frame.rows.get(first) ?? []).reduce((rows, row) => rows + (row["count"] as number), 0), 0);
    const storeRows = async ({ host, ts, window_ms, rows }: Frame) =>
      org.store(
        first,
        (rows.get(first) ?? []).map((row) => ({ host, ts, window_ms, ...row })),
      );
    await storeRows(partial);
    await store(accepted);
    await rollups.runPass(Date.now());
    for (const scope of [undefined, "fleet"] as const)
      expect([await counted("1m", scope), await counted("1h", scope)]).toEqual([expected(accepted), expected(accepted)]);
    await expectEqual();

    await store([partial]);
    await rollups.runPass(Date.now());
    for (const scope of [undefined, "fleet"] as const)
      expect([await counted("1m", scope), await counted("1h", scope)]).toEqual([expected([...accepted, partial]), expected([...accepted, partial])]);
    await expectEqual();
  });
});

describe("what a level holds", () => {
  it.each(["tcp_connections", "tcp_rtt", "agent_coverage"])("minutes and hours of %s are what adding up the windows by hand gives", async (name) => {
    const signal = getSignalOrThrow(name);
    const frames = manyFrames(7);
    await store(frames);
    await rollups.runPass(Date.now());
    for (const [level, lengthMs] of [["1m", MINUTE] as const, ["1h", HOUR] as const]) {
      const time = hasLastEnd(signal) ? "toUnixTimestamp64Milli(last_end) AS last_end_ms, " : "";
      const rows = await stored<Row>(tableName(signal, level), `${time}* EXCEPT (tenant, version), toUnixTimestamp64Milli(ts) AS at`);
      const found = new Map(
        rows.map(({ at, ts: _ts, last_end: _end, host, ...values }) => {
          const names = signal.dimensions.map((dimension) => values[dimension]);
          for (const dimension of signal.dimensions) delete values[dimension];
          return [[host, at, ...names].join("/"), values] as const;
        }),
      );
      const expected = reference(frames, signal, lengthMs);
      expect(found.size).toBe(expected.size);
      for (const [key, values] of expected) expect(found.get(key), key).toEqual(values);
    }
  });

  it("fleet rows leave out host and what is its own, and say how many hosts had a row", async () => {
    const frames = manyFrames(3);
    await store(frames);
    await rollups.runPass(Date.now());
    const signal = getSignalOrThrow("syscalls");
    for (const [level, lengthMs] of [["1m", MINUTE] as const, ["1h", HOUR] as const]) {
      const expected = new Map<string, { hosts: Set<string>; count: number }>();
      for (const { host, ts, rows } of frames)
        for (const row of rows.get(signal) ?? []) {
          const key = [Math.floor(ts / lengthMs) * lengthMs, row["process"], row["syscall"]].join("/");
          const sum = expected.get(key) ?? { hosts: new Set(), count: 0 };
          expected.set(key, { hosts: sum.hosts.add(host), count: sum.count + (row["count"] as number) });
        }
      const rows = await stored<{ key: string; hosts: number; count: number }>(
        tableName(signal, level, "fleet"),
        "concat(toString(toUnixTimestamp64Milli(ts)), '/', process, '/', syscall) AS key, hosts, count",
      );
      expect(Object.fromEntries(rows.map((row) => [row.key, [row.hosts, row.count]]))).toEqual(
        Object.fromEntries([...expected].map(([key, sum]) => [key, [sum.hosts.size, sum.count]])),
      );
    }
  });

  it("raw = 1 m = 1 h = fleet for every signal, value, key and bucket, and one changed number is found", async () => {
    await store(manyFrames(1, catalogue));
    const report = await rollups.runPass(Date.now());
    expect(report.steps["1m"]).toMatchObject({ buckets: 4, hosts: 12 });
    expect(report.steps["1h"]).toMatchObject({ buckets: 2, hosts: 6 });
    expect(report.steps.fleet_1m.buckets).toBe(4);
    expect(report.steps.fleet_1h.buckets).toBe(2);
    await expectEqual(catalogue);
    await clickhouse.command(
      `INSERT INTO syscalls_1m SELECT * REPLACE (count + 1 AS count, version + 1 AS version) FROM syscalls_1m FINAL WHERE tenant = '${org.id}' LIMIT 1`,
    );
    const { differences } = await equation();
    expect(new Set(differences.map(({ signal, value }) => `${signal} ${value}`))).toEqual(new Set(["syscalls count", "syscalls count by key"]));
    expect(new Set(differences.map(({ step }) => step))).toEqual(new Set(["1m", "1h", "fleet_1m"]));
  }, 180_000);

  it("a window longer than a minute counts in the minute it starts in", async () => {
    const frame = makeFrame("host-a", hour + 2 * MINUTE + 30_000, randomOf(5), 150_000);
    await store([frame]);
    await rollups.runPass(Date.now());
    const rows = await stored<{ at: number; window_ms: number; windows: number }>(
      "agent_coverage_1m",
      "DISTINCT toUnixTimestamp64Milli(ts) AS at, window_ms, covered_windows AS windows",
    );
    if ((frame.rows.get(getSignalOrThrow("agent_coverage")) ?? []).length > 0)
      expect(rows).toEqual([{ at: hour + 2 * MINUTE, window_ms: 150_000, windows: 1 }]);
    await expectEqual();
  });
});

describe("frames that come when they like", () => {
  it("a late frame is added at every level", async () => {
    const frames = manyFrames(11);
    const late = frames.filter(({ host, ts }) => host === "host-b" && ts === hour + 57 * MINUTE);
    expect(late).toHaveLength(1);
    await store(frames.filter((frame) => !late.includes(frame)));
    await rollups.runPass(Date.now());
    await store(late);
    expect((await equation()).differences).not.toEqual([]);
    const report = await rollups.runPass(Date.now());
    expect(report.steps["1m"]).toMatchObject({ buckets: 1, hosts: 1 });
    expect(report.steps["1h"]).toMatchObject({ buckets: 1, hosts: 1 });
    await expectEqual();
  });

  it("a frame sent again changes nothing and costs nothing", async () => {
    const frames = manyFrames(13);
    await store(frames);
    await rollups.runPass(Date.now());
    const before = await Promise.all(["syscalls_1m", "syscalls_1h", "syscalls_fleet_1m", "rollups"].map(count));
    await store(frames.slice(0, 20));
    const report = await rollups.runPass(Date.now());
    expect(rollupSteps.map((step) => report.steps[step].rowsWritten)).toEqual([0, 0, 0, 0]);
    expect(await Promise.all(["syscalls_1m", "syscalls_1h", "syscalls_fleet_1m", "rollups"].map(count))).toEqual(before);
    await expectEqual();
  });

  it("a day that is sent afterwards is rolled up, and what was complete before stays so", async () => {
    await store(manyFrames(17));
    const before = await rollups.runPass(Date.now());
    const random = randomOf(19);
    await store(Array.from({ length: 10 }, (_, index) => makeFrame("host-z", hour - 20 * HOUR + index * 7 * MINUTE, random)));
    const after = await rollups.runPass(Date.now());
    for (const step of rollupSteps) expect(after.completeUntilMs[step]).toBeGreaterThanOrEqual(before.completeUntilMs[step]);
    await expectEqual();
  });

  it("a bucket is left alone until it is over, and everything before it can be read", async () => {
    const now = hour + 7 * MINUTE;
    await store([hour + MINUTE, hour + 6 * MINUTE].map((ts) => makeFrame("host-a", ts, randomOf(ts))));
    const early = await rollups.runPass(now);
    expect(early.steps["1m"].buckets).toBe(1);
    const noted = await stored<{ step: string; at: number; frames: number }>("rollups", "step, toUnixTimestamp64Milli(ts) AS at, frames");
    expect(noted.filter(({ step }) => step === "1m")).toEqual([{ step: "1m", at: hour, frames: 1 }]);
    // The clock of this pass is hours behind those of other tests' passes, and progress never goes back.
    expect(api.app.get(RollupProgress).completeUntilMs("1m")).toBeGreaterThanOrEqual(hour + 5 * MINUTE);
    expect((await rollups.runPass(hour + 2 * HOUR)).steps["1m"].buckets).toBe(1);
    await expectEqual();
  });

  it("what may have lost raw rows is not rolled up again", async () => {
    const frames = manyFrames(23);
    await store(frames);
    await rollups.runPass(Date.now());
    const { db } = api.app.get(Database);
    await db.insert(storageFloors).values({ level: "raw", droppedBefore: new Date(hour + 2 * HOUR), reason: "test" });
    try {
      await store([makeFrame("host-d", hour + 58 * MINUTE, randomOf(1))]);
      expect((await rollups.runPass(Date.now())).steps["1m"].buckets).toBe(0);
    } finally {
      await db.delete(storageFloors);
    }
  });
});

/** A second node's roller over the same databases. */
function otherRoller(): RollupsService {
  const get = api.app.get.bind(api.app);
  return new RollupsService(
    get(RollupsRepository),
    get(RollupProgress),
    get(LeasesRepository),
    clickhouse,
    get(FrameWriter),
    get(RollupsMetrics),
    get(Config),
    get(Clock),
    get(Log),
  );
}

describe("rollers that die, stop or meet", () => {
  it("rows that were written and not noted are written again, and are right", async () => {
    await store(manyFrames(29));
    const repository = api.app.get(RollupsRepository);
    const { signal } = new AbortController();
    const bucketMs = hour + 55 * MINUTE;
    const { behind, version } = await repository.behind("1m", org.id, bucketMs, signal);
    expect(version).toBe(90);
    const hosts = behind.map(({ host }) => host);
    for (const name of ["syscalls", "tcp_rtt"])
      await repository.roll(getSignalOrThrow(name), "1m", { tenant: org.id, bucketMs, hosts, version }, signal);
    expect(await count("rollups")).toBe(0);
    await rollups.runPass(Date.now());
    await expectEqual();
  });

  it("two rollers at once, with frames coming in between, leave every level right", async () => {
    const frames = manyFrames(31);
    const other = otherRoller();
    for (let start = 0; start < frames.length; start += 72) {
      await Promise.all([store(frames.slice(start, start + 72)), rollups.runPass(Date.now()), other.runPass(Date.now())]);
    }
    await Promise.all([rollups.runPass(Date.now()), other.runPass(Date.now())]);
    await expectEqual();
  }, 180_000);

  it("without stored progress everything is checked again and nothing is written twice", async () => {
    await store(manyFrames(37));
    await rollups.runPass(Date.now());
    const before = await count("rollups");
    await api.app.get(Database).db.delete(rollupProgress);
    const report = await rollups.runPass(Date.now());
    expect(rollupSteps.map((step) => report.steps[step].rowsWritten)).toEqual([0, 0, 0, 0]);
    expect(await count("rollups")).toBe(before);
    for (const step of rollupSteps) {
      const { bucketMs } = stepShapes[step];
      expect(report.completeUntilMs[step] % bucketMs).toBe(0);
      expect(Date.now() - report.completeUntilMs[step]).toBeLessThan(2 * bucketMs + MINUTE);
      expect(api.app.get(RollupProgress).completeUntilMs(step)).toBe(report.completeUntilMs[step]);
    }
  });

  it("a stop in the middle of a statement ends it in ClickHouse too, and the next pass does the work", async () => {
    // Enough rows that the statement takes longer than the test needs to see it.
    await clickhouse.command(`INSERT INTO syscall_latency (tenant, host, ts, window_ms, process, unit, syscall, count, sum, min, max, k, c)
      SELECT '${org.id}', 'host-a', fromUnixTimestamp64Milli(toInt64(${hour} + (number % 30) * 10000), 'UTC'), 10000, toString(intDiv(number, 30)), '', 'read', 30, 3000, 1, 200,
        range(30), arrayMap(i -> toUInt64(1), range(30)) FROM numbers(600000)`);
    await org.storeWindows(Array.from({ length: 30 }, (_, index) => ({ host: "host-a", ts: hour + index * 10_000, window_ms: 10_000 })));
    const running = async () =>
      (
        await clickhouse.query(
          "SELECT query_id FROM system.processes WHERE query LIKE '%INSERT INTO syscall_latency_1m %' AND query NOT LIKE '%system.processes%'",
        )
      ).rows.length;
    const pass = rollups.runPass(Date.now());
    const outcome = expect(pass).rejects.toThrow("the roller was stopped");
    await expect.poll(running, { timeout: 60_000, interval: 20 }).toBe(1);
    await rollups.stop();
    await outcome;
    await expect.poll(running, { timeout: 5_000 }).toBe(0);
    expect(await count("rollups")).toBe(0);
    await rollups.runPass(Date.now());
    await expectEqual([getSignalOrThrow("syscall_latency")]);
  });

  it("a table that is gone fails the pass and not the loop, which brings it back", async () => {
    await store(manyFrames(41).slice(0, 30));
    await clickhouse.command(`DROP TABLE ${clickhouse.database}.${localTableName("syscalls_1h", clickhouse.layout)} SYNC`);
    const other = otherRoller();
    await expect(other.runPass(Date.now())).rejects.toMatchObject({ code: "STORAGE_UNAVAILABLE" });
    other.onApplicationBootstrap();
    try {
      await expect
        .poll(
          () =>
            count("syscalls_1h").then(
              () => "there",
              () => "gone",
            ),
          { timeout: 90_000 },
        )
        .toBe("there");
    } finally {
      await other.stop();
    }
    await rollups.runPass(Date.now());
    await expectEqual();
  });

  it("of two nodes one rolls up by itself; when it stops the other does", async () => {
    const [first, second] = [otherRoller(), otherRoller()];
    const holder = async () => (await api.app.get(Database).db.select().from(leases).where(eq(leases.name, "rollups")))[0]?.holder;
    first.onApplicationBootstrap();
    try {
      await expect.poll(holder, { timeout: 60_000 }).toBeDefined();
      const held = await holder();
      second.onApplicationBootstrap();
      await store(manyFrames(43));
      await expect.poll(async () => (await equation()).differenceCount, { timeout: 90_000, interval: 500 }).toBe(0);
      expect(await holder()).toBe(held);
      await first.stop();
      await store([makeFrame("host-late", hour + 58 * MINUTE, randomOf(2))]);
      await expect.poll(holder, { timeout: 60_000 }).toSatisfy((now: string | undefined) => now !== undefined && now !== held);
      await expect.poll(async () => (await equation()).differenceCount, { timeout: 90_000, interval: 500 }).toBe(0);
    } finally {
      await first.stop();
      await second.stop();
    }
    expect(await holder()).toBeUndefined();
  }, 240_000);

  it("a lease is one holder's until it lets go or dies", async () => {
    const repository = api.app.get(LeasesRepository);
    expect(await repository.take("work", "a", 60_000)).toBe(true);
    expect(await repository.take("work", "b", 60_000)).toBe(false);
    expect(await repository.take("work", "a", 0)).toBe(true);
    await expect.poll(() => repository.take("work", "b", 60_000)).toBe(true);
    await repository.release("work", "a");
    expect(await repository.take("work", "a", 60_000)).toBe(false);
    await repository.release("work", "b");
    expect(await repository.take("work", "a", 60_000)).toBe(true);
  });
});
