// SPDX-License-Identifier: Apache-2.0
import { expect, it } from "vitest";
import { chunksOf } from "./chunks.ts";

const behind = (hosts: number, rows: number) => Array.from({ length: hosts }, (_, index) => ({ host: `h${index}`, frames: 30, rows }));

it("every host is in one chunk, and no chunk has more rows or hosts than a statement may take", () => {
  for (const [hosts, rows] of [
    [10_000, 3_000],
    [10_000, 10],
    [3, 9_000_000],
    [1, 0],
  ] as const) {
    const chunks = chunksOf("1m", behind(hosts, rows), 1);
    expect(chunks.flat()).toEqual(behind(hosts, rows));
    for (const chunk of chunks) {
      expect(chunk.length).toBeLessThanOrEqual(2_500);
      if (chunk.length > 1) expect(chunk.length * rows).toBeLessThanOrEqual(2_000_000);
    }
  }
  expect(chunksOf("1m", [], 1)).toEqual([]);
});

it("frames that do not say how many rows they had are taken for large ones, and half the scale gives half the chunk", () => {
  expect(chunksOf("1m", behind(2_000, 0), 1)).toHaveLength(4);
  expect(chunksOf("1m", behind(2_000, 0), 0.5)).toHaveLength(7);
  expect(chunksOf("fleet_1m", [{ host: "", frames: 300_000, rows: 0 }], 1)).toHaveLength(1);
});
