// SPDX-License-Identifier: Apache-2.0
import { BUCKET_COUNT, encodeBlock, getSignalOrThrow, packColumns, type Signal, type WireRow } from "@waggle/signals";
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
  return checkColumns(signal, block.rows, block.columns);
};
/** @param before of every column, bytes that belong to something else */
const checkColumns = (signal: Signal, rows: number, columns: readonly Uint8Array[], before = 0) => {
  const { memory, spans } = packColumns(columns.map((column) => Buffer.concat([Buffer.alloc(before, 0xff), column])));
  const view = new DataView(memory.buffer, memory.byteOffset, memory.byteLength);
  return checkRows(
    signal,
    rows,
    memory,
    view,
    spans.map((at, index) => (index % 2 === 0 ? at + before : at)),
  );
};

describe("checkRows of a histogram", () => {
  it("takes every bucket of the grid, rows without buckets, and buffers at odd addresses", () => {
    const rows = [row([0, 7, BUCKET_COUNT - 1], [1, 2, 3]), row([], [], { process: "q" }), row([3], [9], { process: "r" })];
    expect(check(rtt, rows)).toBeUndefined();
    expect(checkColumns(rtt, rows.length, encodeBlock(rtt, rows).columns, 1)).toBeUndefined();
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

/** The rules of `checkRows` over rows as values: is there anything wrong with them? */
function isWrong(
  rows: readonly {
    readonly names: readonly string[];
    readonly k: number[];
    readonly c: bigint[];
    readonly count: bigint;
    readonly min: bigint;
    readonly max: bigint;
  }[],
) {
  const seen = new Set(rows.map(({ names }) => JSON.stringify(names)));
  return (
    seen.size < rows.length ||
    rows.some(
      ({ k, c, count, min, max }) =>
        k.some((bucket, index) => bucket >= BUCKET_COUNT || bucket <= (k[index - 1] ?? -1)) ||
        c.reduce((sum, value) => sum + value, 0n) !== count ||
        (count > 0n && min > max),
    )
  );
}

it("checkRows says of 3,000 blocks at random what the same rules over plain values say", () => {
  let seed = 7;
  const random = (below: number): number => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
    return Math.floor((seed / 2 ** 32) * below);
  };
  // Around the borders of 32 and 64 bits, where halves are added and compared.
  const big = (): bigint => [0n, 1n, 2n ** 32n - 1n, 2n ** 32n, 2n ** 53n + 1n, 2n ** 63n][random(6)] as bigint;
  const texts = ["", "a", "ab", "abcd", "abcde", "ä".repeat(63), "ä".repeat(64), "x".repeat(127), "x".repeat(128), "x".repeat(512)];
  let wrong = 0;
  for (let block = 0; block < 3_000; block++) {
    const rows = Array.from({ length: 1 + random(6) }, () => {
      const k = Array.from({ length: random(4) }, (_, index) => index * 100 + random(99) + (random(200) === 0 ? BUCKET_COUNT : 0));
      if (random(20) === 0) k.reverse();
      const c = k.map(() => (random(2) === 0 ? BigInt(random(9)) : big() / 4n));
      const count = c.reduce((sum, value) => sum + value, 0n) + (random(20) === 0 ? 2n ** 32n : 0n);
      const [min, max] = [big(), big()].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0)) as [bigint, bigint];
      const isSwapped = random(20) === 0;
      const names = rtt.dimensions.map(() => texts[random(texts.length)] as string);
      if (random(2) === 0) names.fill("", 1 + random(names.length - 1));
      return { names, k, c, count, min: isSwapped ? max : min, max: isSwapped ? min : max };
    });
    const encoded = encodeBlock(
      rtt,
      rows.map(({ names, ...values }) => ({
        ...Object.fromEntries(rtt.dimensions.map((name, index) => [name, names[index] as string])),
        ...values,
        sum: 1,
      })),
    );
    const expected = isWrong(rows);
    if (expected) wrong++;
    expect(
      checkColumns(rtt, rows.length, encoded.columns, random(9)) !== undefined,
      JSON.stringify(rows, (_, value) => (typeof value === "bigint" ? String(value) : value)),
    ).toBe(expected);
  }
  // Both answers are asked for often.
  expect(wrong).toBeGreaterThan(500);
  expect(wrong).toBeLessThan(2_500);
});
