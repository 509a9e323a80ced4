// SPDX-License-Identifier: Apache-2.0
import { type Hello, RefusalCode, type Snapshot } from "@waggle/proto";
import { BUCKET_COUNT, hostSignals, schemaHash, type WireRow } from "@waggle/signals";
import { describe, expect, it } from "vitest";
import { makeSnapshot, type Rows, retransmits } from "../../../test/test-agent.ts";
import { checkSnapshot, FRAME_ROWS_MAX, FUTURE_MS_MAX, refusedSignals } from "./frame.ts";
import { packSnapshot } from "./snapshot-reader.ts";

const NOW_MS = 1_800_000_000_000;
const DAY_MS = 86_400_000;
const sender = { organisationId: "organisation", hostId: "host" };

const check = (rows: Rows, changes: Partial<Snapshot> = {}, startMs = NOW_MS - 60_000) =>
  checkSnapshot(packSnapshot(makeSnapshot(1, startMs, rows, changes)), sender, NOW_MS, {
    rawFloorMs: () => NOW_MS - 7 * DAY_MS,
    reason: () => "raw rows are kept for 7 d",
  });
const codeOf = (result: ReturnType<typeof check>) => ("refusal" in result ? result.refusal.code : undefined);
const rtt = (k: number[]): WireRow => ({
  process: "p",
  unit: "",
  role: "client",
  peer: "192.0.2.1",
  peer_port: "1",
  port: "ephemeral",
  count: k.length,
  sum: 1,
  min: 1,
  max: 1,
  k,
  c: k.map(() => 1),
});

describe("checkSnapshot", () => {
  it("takes tenant and host from the credential and the time from the API's side of the offset", () => {
    const result = check({ tcp_retransmits: [retransmits(1)] }, { clockOffsetMs: -500n });
    expect("frame" in result && result.frame).toMatchObject({ tenant: "organisation", host: "host", tsMs: NOW_MS - 60_500, windowMs: 10_000 });
  });

  it("leaves empty blocks out of the frame", () => {
    const result = check({ tcp_retransmits: [] });
    expect("frame" in result && result.frame.blocks.map((block) => block.signal.name)).toEqual(["agent_coverage"]);
  });

  it("lets a window end up to a minute ahead and refuses one millisecond more, telling the API's time", () => {
    expect(codeOf(check({}, {}, NOW_MS + FUTURE_MS_MAX - 10_000))).toBeUndefined();
    const late = check({}, {}, NOW_MS + FUTURE_MS_MAX - 10_000 + 1);
    expect("refusal" in late && late.refusal).toMatchObject({ code: RefusalCode.CLOCK_SKEW, serverTimeMs: BigInt(NOW_MS) });
  });

  it("refuses a window whose neighbours may be deleted already, and says why", () => {
    expect(codeOf(check({}, {}, NOW_MS - 7 * DAY_MS))).toBeUndefined();
    expect(codeOf(check({}, {}, NOW_MS - 7 * DAY_MS - 1))).toBe(RefusalCode.TOO_OLD);
  });

  it("survives times that overflow everything", () => {
    const max = 2n ** 64n - 1n;
    expect(codeOf(check({}, { windowStartMs: max, clockOffsetMs: 2n ** 63n - 1n }))).toBe(RefusalCode.CLOCK_SKEW);
    expect(codeOf(check({}, { windowStartMs: 0n, clockOffsetMs: -(2n ** 63n) }))).toBe(RefusalCode.TOO_OLD);
  });

  it("refuses a bucket beyond the grid, which would read back as an endless duration", () => {
    expect(codeOf(check({ tcp_rtt: [rtt([0, BUCKET_COUNT - 1])] }))).toBeUndefined();
    expect(codeOf(check({ tcp_rtt: [rtt([BUCKET_COUNT])] }))).toBe(RefusalCode.MALFORMED);
  });

  it("refuses more rows in all than a host may send in a window", () => {
    const rows = Array.from({ length: 20_000 }, () => retransmits(1));
    const signals = hostSignals.filter(({ name, kind, dimensions }) => kind === "counter" && name !== "agent_coverage" && dimensions.length > 0);
    const many: Rows = Object.fromEntries(
      signals.map((signal) => [
        signal.name,
        rows.map((_, row) =>
          Object.fromEntries([...signal.dimensions.map((name) => [name, String(row)]), ...signal.measures.map((measure) => [measure.name, 1])]),
        ),
      ]),
    );
    expect(signals.length * 20_000).toBeGreaterThan(FRAME_ROWS_MAX);
    expect(codeOf(check(many))).toBe(RefusalCode.TOO_LARGE);
  });
});

describe("refusedSignals", () => {
  const hello = (signals: Hello["signals"]): Hello => ({
    bootId: "b",
    facts: undefined,
    windowMs: 10_000,
    signals,
    firstUnacknowledgedSequence: 0n,
    hostTimeMs: 0n,
  });

  it("names nothing for an agent of the same version", () => {
    expect(refusedSignals(hello(hostSignals.map((signal) => ({ name: signal.name, schemaHash: schemaHash(signal) }))))).toEqual([]);
  });
});
