// SPDX-License-Identifier: Apache-2.0
import { Registry } from "prom-client";
import { describe, expect, it, vi } from "vitest";
import { makeSnapshot, retransmits } from "../../../test/test-agent.ts";
import { type ClickHouseService, InsertError } from "../../clickhouse/clickhouse.service.ts";
import { createLog } from "../../common/log.ts";
import { checkSnapshot, type Frame } from "./frame.ts";
import type { FrameOutcome } from "./frame-queue.ts";
import { BACKLOG_BYTES_MAX, FrameWriter, IN_FLIGHT_BYTES_MAX, PAUSED_STREAMS_MAX, STALL_MS, TENANT_BYTES_MAX } from "./frame-writer.service.ts";
import { IngestMetrics } from "./ingest.metrics.ts";
import { packSnapshot } from "./snapshot-reader.ts";

const NOW_MS = 1_800_000_000_000;

function frame(sequence: number, process: string, tenant = "t"): Frame {
  const check = checkSnapshot(
    packSnapshot(makeSnapshot(sequence, NOW_MS - 60_000, { tcp_retransmits: [retransmits(1, process)] })),
    { organisationId: tenant, hostId: `h${sequence}` },
    NOW_MS,
    { rawFloorMs: () => 0, reason: () => "" },
  );
  if ("refusal" in check) throw new Error(check.refusal.reason);
  return check.frame;
}

/** The frame in a memory of that size. */
const large = (small: Frame, bytes: number): Frame => ({ ...small, memory: Buffer.concat([small.memory], bytes) });

/** A store that takes everything except what `fails` says, and remembers in which order tables were written. */
class FakeStore {
  isPrepared = true;
  readonly inserts: { table: string; text: string }[] = [];
  fails: (table: string, text: string) => InsertError | undefined = () => undefined;

  async insertNative(table: string, _: readonly string[], body: readonly Uint8Array[]): Promise<void> {
    const text = Buffer.concat(body).toString("latin1");
    const error = this.fails(table, text);
    if (error !== undefined) throw error;
    this.inserts.push({ table, text });
  }
}

const dataError = (table: string) => new InsertError(table, "data", new Error("Cannot read all data"));

function writerOver(store: FakeStore): FrameWriter {
  return new FrameWriter(store as unknown as ClickHouseService, new IngestMetrics(new Registry()), createLog("silent"));
}

function outcomeOf(writer: FrameWriter, taken: Frame, isLive = true): Promise<FrameOutcome> {
  return new Promise((resolve) => writer.add(taken, isLive, resolve));
}

describe("FrameWriter", () => {
  it("writes frames of many hosts with one insert per table, windows last", async () => {
    const store = new FakeStore();
    const writer = writerOver(store);
    const outcomes = await Promise.all([1, 2, 3].map((sequence) => outcomeOf(writer, frame(sequence, "p"))));
    expect(outcomes).toEqual([{ result: "stored" }, { result: "stored" }, { result: "stored" }]);
    expect(store.inserts.map((insert) => insert.table).sort()).toEqual(["agent_coverage", "tcp_retransmits", "windows"]);
    expect(store.inserts.at(-1)?.table).toBe("windows");
  });

  it("answers the rest of a batch when one stream cannot take its answer", async () => {
    const writer = writerOver(new FakeStore());
    writer.add(frame(1, "p"), true, () => {
      throw new Error("the stream is gone");
    });
    expect(await outcomeOf(writer, frame(2, "p"))).toEqual({ result: "stored" });
    expect(await outcomeOf(writer, frame(3, "p"))).toEqual({ result: "stored" });
  });

  it("refuses only the frame that ClickHouse cannot read, wherever it stands in the batch", async () => {
    for (const poisonous of [1, 4, 7]) {
      const store = new FakeStore();
      store.fails = (table, text) => (table === "tcp_retransmits" && text.includes("poison") ? dataError(table) : undefined);
      const writer = writerOver(store);
      const outcomes = await Promise.all(
        [1, 2, 3, 4, 5, 6, 7].map((sequence) => outcomeOf(writer, frame(sequence, sequence === poisonous ? "poison" : "p"))),
      );
      expect(outcomes.map((outcome) => outcome.result)).toEqual(
        [1, 2, 3, 4, 5, 6, 7].map((sequence) => (sequence === poisonous ? "refused" : "stored")),
      );
    }
  });

  it("never blames a frame for an error it does not know: it holds the frame until the storage takes it", async () => {
    const store = new FakeStore();
    let failures = 0;
    store.fails = (table) => (failures++ < 3 ? new InsertError(table, "storage", new Error("Not enough privileges")) : undefined);
    expect(await outcomeOf(writerOver(store), frame(1, "p"))).toEqual({ result: "stored" });
    expect(failures).toBeGreaterThan(3);
  });

  it("does not say a frame is stored when only `windows` failed", async () => {
    const store = new FakeStore();
    let windowsFailures = 1;
    store.fails = (table) =>
      table === "windows" && windowsFailures-- > 0 ? new InsertError(table, "storage", new Error("socket hang up")) : undefined;
    expect(await outcomeOf(writerOver(store), frame(1, "p"))).toEqual({ result: "stored" });
    expect(store.inserts.filter((insert) => insert.table === "tcp_retransmits")).toHaveLength(2);
    expect(store.inserts.filter((insert) => insert.table === "windows")).toHaveLength(1);
  });

  it("writes what is queued when it stops", async () => {
    const store = new FakeStore();
    const writer = writerOver(store);
    const outcome = outcomeOf(writer, frame(1, "p"));
    await writer.stop(3_000);
    expect(await outcome).toEqual({ result: "stored" });
  });

  it("stops within its time while the storage fails, without an outcome for what it holds", async () => {
    const store = new FakeStore();
    store.fails = (table) => new InsertError(table, "storage", new Error("connect ECONNREFUSED"));
    const writer = writerOver(store);
    let outcome: FrameOutcome | undefined;
    writer.add(frame(1, "p"), true, (result) => {
      outcome = result;
    });
    await writer.stop(1_000);
    expect(outcome).toBeUndefined();
  });

  it("writes frames of the present before those of the past that came first, and both in the end", async () => {
    const store = new FakeStore();
    const writer = writerOver(store);
    const order: string[] = [];
    const add = (name: string, isLive: boolean) => outcomeOf(writer, large(frame(1, name), 1_024 * 1_024), isLive).then(() => order.push(name));
    // Two full batches leave before there is a choice; then four wait, and more of the present comes than fits into a batch.
    const past = Array.from({ length: 20 }, () => add("past", false));
    const present = Array.from({ length: 8 }, () => add("present", true));
    await Promise.all([...past, ...present]);
    const times = (count: number, name: string): string[] => Array.from({ length: count }, () => name);
    expect(order).toEqual([...times(16, "past"), ...times(7, "present"), "past", "present", ...times(3, "past")]);
  });

  it("defers the past once it holds half of what may be in flight, and takes the present still", () => {
    const writer = writerOver(new FakeStore());
    writer.add(large(frame(1, "p"), BACKLOG_BYTES_MAX), false, () => {});
    expect(writer.deferral("t", false)).toMatchObject({ includesLive: false, reason: expect.stringContaining("past snapshots") });
    expect(writer.deferral("t", true)).toBeUndefined();
    expect(writer.mustPause("t")).toBe(false);
  });

  it("lets one organisation hold all of what may be in flight while it is alone, and half of it beside another", () => {
    const writer = writerOver(new FakeStore());
    writer.join("a");
    writer.add(large(frame(1, "p", "a"), TENANT_BYTES_MAX), true, () => {});
    expect(writer.mustPause("a")).toBe(false);
    const leave = writer.join("b");
    expect(writer.mustPause("a")).toBe(true);
    expect(writer.mustPause("b")).toBe(false);
    leave();
    expect(writer.mustPause("a")).toBe(false);
  });

  it("keeps half of an organisation's own share for its present", () => {
    const writer = writerOver(new FakeStore());
    for (const tenant of ["a", "b"]) writer.join(tenant);
    writer.add(large(frame(1, "p", "a"), TENANT_BYTES_MAX / 2), false, () => {});
    expect(writer.deferral("a", false)).toMatchObject({ includesLive: false });
    expect(writer.deferral("a", true)).toBeUndefined();
    expect(writer.deferral("b", false)).toBeUndefined();
  });

  it("sends frames away instead of leaving streams unread when there are too many of those", () => {
    const writer = writerOver(new FakeStore());
    writer.add(large(frame(1, "p"), IN_FLIGHT_BYTES_MAX), true, () => {});
    for (let stream = 0; stream < PAUSED_STREAMS_MAX; stream++) writer.join("t");
    expect(writer.mustPause("t")).toBe(true);
    expect(writer.deferral("t", true)).toBeUndefined();
    writer.join("t");
    expect(writer.mustPause("t")).toBe(false);
    expect(writer.deferral("t", true)).toMatchObject({ includesLive: true, reason: expect.stringContaining("more slowly than they come") });
  });

  it("counts a storage that hangs as failing, and tells who waits", async () => {
    vi.useFakeTimers();
    try {
      const store = new FakeStore();
      let release = () => {};
      const hanging = new Promise<void>((resolve) => {
        release = resolve;
      });
      const insert = store.insertNative.bind(store);
      store.insertNative = async (...parameters) => {
        await hanging;
        return insert(...parameters);
      };
      const writer = writerOver(store);
      let changes = 0;
      writer.onChange(() => changes++);
      const outcome = outcomeOf(writer, frame(1, "p"));
      await vi.advanceTimersByTimeAsync(STALL_MS);
      expect(writer.isFailing).toBe(false);
      await vi.advanceTimersByTimeAsync(1_000);
      expect(writer.isFailing).toBe(true);
      expect(changes).toBe(1);
      release();
      expect(await outcome).toEqual({ result: "stored" });
      await vi.advanceTimersByTimeAsync(0);
      expect(writer.isFailing).toBe(false);
    } finally {
      vi.useRealTimers();
    }
  });
});
