// SPDX-License-Identifier: Apache-2.0
import { encodeBlock, getSignalOrThrow, type WireRow, wireColumns } from "@waggle/signals";
import { describe, expect, it } from "vitest";
import { concatenateColumn } from "./native-body.ts";

const rtt = getSignalOrThrow("tcp_rtt");
const row = (process: string, k: number[]): WireRow => ({
  process,
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
  c: k.map((bucket) => bucket * 3),
});

describe("concatenateColumn", () => {
  it("of several blocks equals the encoding of all their rows at once, for every column of a histogram", () => {
    const groups = [[row("a", [1, 2, 3]), row("ü", [])], [], [row("c", [511])], [row("d", [4, 5])]];
    const blocks = groups.map((rows) => encodeBlock(rtt, rows));
    const whole = encodeBlock(rtt, groups.flat());
    wireColumns(rtt).forEach((column, index) => {
      const joined = Buffer.concat(
        concatenateColumn(
          column.type,
          blocks.map((block) => ({ rows: block.rows, bytes: block.columns[index] as Uint8Array })),
        ),
      );
      expect(joined, column.name).toEqual(Buffer.from(whole.columns[index] as Uint8Array));
    });
  });

  it("reads buffers that start at an odd address, as protobuf leaves them", () => {
    const block = encodeBlock(rtt, [row("a", [7, 8])]);
    const at = wireColumns(rtt).findIndex((column) => column.name === "k");
    const shifted = Buffer.concat([Buffer.alloc(3), block.columns[at] as Uint8Array]).subarray(3);
    expect(Buffer.concat(concatenateColumn("Array(UInt16)", [{ rows: 1, bytes: shifted }]))).toEqual(Buffer.from(block.columns[at] as Uint8Array));
  });
});
