// SPDX-License-Identifier: Apache-2.0
import { BUCKET_COUNT, encodeBlock, getSignalOrThrow, type Signal, type WireRow } from "@waggle/signals";
import { describe, expect, it } from "vitest";
import { retransmits } from "../../../test/test-agent.ts";
import { checkRows } from "./row-check.ts";

const rtt = getSignalOrThrow("tcp_rtt");
const counter = getSignalOrThrow("tcp_retransmits");
const row = (k: number[], c: (number | bigint)[], changes: WireRow = {}): WireRow => ({
  process: "p",
  unit: "",
  role: "client",
  peer: "192.0.2.1",
  peer_port: "1",
  port: "ephemeral",
  count: c.reduce<bigint>((sum, value) => sum + BigInt(value), 0n),
  sum: 1,
  min: 1,
  max: 1,
  k,
  c: c.map(BigInt),
  ...changes,
});
const check = (signal: Signal, rows: readonly WireRow[]) => {
  const block = encodeBlock(signal, rows);
  return checkRows(signal, block.rows, block.columns);
};

describe("checkRows of a histogram", () => {
  it("takes every bucket of the grid, rows without buckets, and buffers at odd addresses", () => {
    const rows = [row([0, 7, BUCKET_COUNT - 1], [1, 2, 3]), row([], [], { process: "q" }), row([3], [9], { process: "r" })];
    expect(check(rtt, rows)).toBeUndefined();
    const { columns } = encodeBlock(rtt, rows);
    const odd = columns.map((column) => Buffer.concat([Buffer.alloc(1), column]).subarray(1));
    expect(checkRows(rtt, rows.length, odd)).toBeUndefined();
  });

  it.each([
    ["a bucket beyond the grid", row([BUCKET_COUNT], [1]), "tcp_rtt.k: bucket 512 is beyond the grid of 512"],
    ["buckets out of order", row([7, 6], [1, 1]), "tcp_rtt.k: row 1 has bucket 6 behind 7; buckets ascend"],
    ["one bucket twice", row([7, 7], [1, 1]), "tcp_rtt.k: row 1 has bucket 7 behind 7; buckets ascend"],
    ["a count that is not the buckets' sum", row([7], [1], { count: 2 }), "tcp_rtt.c: the buckets of row 1 hold 1, its count is 2"],
    ["a count without buckets", row([], [], { count: 2 }), "tcp_rtt.c: the buckets of row 1 hold 0, its count is 2"],
    ["a sum that fits only modulo 2^64", row([7, 8], [2n ** 64n - 1n, 4n], { count: 3 }), "its count is 3"],
    ["a min above the max", row([7], [1], { min: 3, max: 2 }), "tcp_rtt.min: row 1 has a min above its max"],
  ])("refuses %s, naming the row", (_, bad, problem) => {
    expect(check(rtt, [row([1], [1], { process: "first" }), bad])).toContain(problem);
  });
});

describe("checkRows of names", () => {
  it("refuses two rows of one name anywhere in a block, which storage would make one", () => {
    const rows = Array.from({ length: 5_000 }, (_, index) => retransmits(1, `p${index}`));
    expect(check(counter, rows)).toBeUndefined();
    expect(check(counter, rows.with(4_321, retransmits(7, "p12")))).toBe(
      "tcp_retransmits: rows 12 and 4321 have the same dimensions; each may stand there once",
    );
  });

  it("refuses two states of one signal, whose time would count twice", () => {
    const states = ["exact", "failed"].map((state) => ({ signal: "tcp_rtt", state, reason: "", windows: 1 }));
    expect(check(getSignalOrThrow("agent_coverage"), states)).toBe("agent_coverage: rows 0 and 1 have the same signal; each may stand there once");
  });

  it("tells names apart whose texts are alike only when strung together", () => {
    expect(
      check(counter, [
        { ...retransmits(1, "ab"), unit: "c" },
        { ...retransmits(1, "a"), unit: "bc" },
        { ...retransmits(1, "x".repeat(200)), unit: "" },
      ]),
    ).toBeUndefined();
  });

  it("takes a full block of names that share most of their text", () => {
    const rows = Array.from({ length: 20_000 }, (_, index) => ({ ...retransmits(1, String(index % 100)), unit: String(Math.floor(index / 100)) }));
    expect(check(counter, rows)).toBeUndefined();
  });
});
