// SPDX-License-Identifier: Apache-2.0
import { Registry } from "prom-client";
import { describe, expect, it } from "vitest";
import { makeSnapshot, retransmits } from "../../../test/test-agent.ts";
import { type ClickHouseService, InsertError } from "../../clickhouse/clickhouse.service.ts";
import { createLog } from "../../common/log.ts";
import { checkSnapshot, type Frame } from "./frame.ts";
import { type FrameOutcome, FrameWriter } from "./frame-writer.service.ts";
import { IngestMetrics } from "./ingest.metrics.ts";

const NOW_MS = 1_800_000_000_000;

function frame(sequence: number, process: string): Frame {
  const check = checkSnapshot(
    makeSnapshot(sequence, NOW_MS - 60_000, { tcp_retransmits: [retransmits(1, process)] }),
    { organisationId: "t", hostId: `h${sequence}` },
    NOW_MS,
  );
  if ("refusal" in check) throw new Error(check.refusal.reason);
  return check.frame;
}

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

function outcomeOf(writer: FrameWriter, taken: Frame): Promise<FrameOutcome> {
  return new Promise((resolve) => writer.add(taken, resolve));
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
    writer.add(frame(1, "p"), () => {
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
    writer.add(frame(1, "p"), (result) => {
      outcome = result;
    });
    await writer.stop(1_000);
    expect(outcome).toBeUndefined();
  });
});
