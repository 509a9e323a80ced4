// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { catalogue, getSignalOrThrow } from "./catalogue.ts";
import { checkBlock, decodeBlock, encodeBlock, schemaHash, type WireRow, wireColumns } from "./wire.ts";

const retransmits = getSignalOrThrow("tcp_retransmits");
const rtt = getSignalOrThrow("tcp_rtt");

function sampleRow(signal = retransmits): WireRow {
  const row: Record<string, WireRow[string]> = {};
  for (const column of wireColumns(signal)) {
    row[column.name] = column.type === "String" ? `ü-${column.name}` : column.type === "UInt64" ? 7n : [3, 9];
  }
  return row;
}

describe("encodeBlock and checkBlock", () => {
  it("accepts what it encodes, for every signal of the catalogue", () => {
    for (const signal of catalogue) {
      const block = encodeBlock(signal, [sampleRow(signal), sampleRow(signal), sampleRow(signal)]);
      expect(checkBlock(signal, block)).toBeUndefined();
    }
  });

  it("accepts an empty block", () => {
    expect(checkBlock(rtt, encodeBlock(rtt, []))).toBeUndefined();
  });

  it("refuses a buffer cut anywhere", () => {
    const block = encodeBlock(rtt, [sampleRow(rtt), sampleRow(rtt)]);
    block.columns.forEach((column, index) => {
      const cut = { ...block, columns: block.columns.with(index, column.subarray(0, column.length - 1)) };
      expect(checkBlock(rtt, cut)).toContain(`tcp_rtt.${wireColumns(rtt)[index]?.name}`);
    });
  });

  it("refuses text that is no UTF-8, and lengths written in more bytes than they need", () => {
    const block = encodeBlock(retransmits, [sampleRow()]);
    const withProcess = (...bytes: number[]) => checkBlock(retransmits, { ...block, columns: block.columns.with(0, Uint8Array.from(bytes)) });
    expect(withProcess(2, 0xc3, 0xbc)).toBeUndefined();
    expect(withProcess(2, 0xff, 0x41)).toBe("tcp_retransmits.process: row 0 is not UTF-8");
    expect(withProcess(1, 0xc3)).toBe("tcp_retransmits.process: row 0 is not UTF-8");
    expect(withProcess(0x81, 0x00, 0x41)).toContain("shortest form");
  });

  it("refuses bytes left over, which would shift the next host's rows", () => {
    const block = encodeBlock(retransmits, [sampleRow()]);
    block.columns.forEach((column, index) => {
      const longer = { ...block, columns: block.columns.with(index, Buffer.concat([column, Buffer.from([0])])) };
      expect(checkBlock(retransmits, longer)).toBeDefined();
    });
  });

  it("refuses a row count that does not match the buffers", () => {
    const block = encodeBlock(retransmits, [sampleRow()]);
    expect(checkBlock(retransmits, { ...block, rows: 2 })).toBeDefined();
    expect(checkBlock(retransmits, { ...block, rows: 0 })).toBeDefined();
    expect(checkBlock(retransmits, { ...block, rows: 2 ** 40 })).toContain("allowed");
  });

  it("refuses array offsets that run backwards and k without its c", () => {
    const block = encodeBlock(rtt, [sampleRow(rtt), sampleRow(rtt)]);
    const at = wireColumns(rtt).findIndex((column) => column.name === "k");
    const k = Uint8Array.from(block.columns[at] as Uint8Array);
    k[0] = 200;
    expect(checkBlock(rtt, { ...block, columns: block.columns.with(at, k) })).toContain("backwards");
    const uneven = encodeBlock(rtt, [{ ...sampleRow(rtt), c: [1n] }]);
    expect(checkBlock(rtt, uneven)).toContain("k and c");
  });

  it("names column and row of a value it cannot encode", () => {
    expect(() => encodeBlock(retransmits, [sampleRow(), { ...sampleRow(), segments: -1 }])).toThrow("tcp_retransmits.segments, row 1");
  });
});

describe("decodeBlock", () => {
  it("gives back what was encoded, for every signal of the catalogue", () => {
    for (const signal of catalogue) {
      const rows = [0, 1, 200].map((size) =>
        Object.fromEntries(
          wireColumns(signal).map(({ name, type }): [string, WireRow[string]] => {
            if (type === "String") return [name, "ü€𝄞a".repeat(Math.min(size, 50))];
            if (type === "UInt64") return [name, (1n << 64n) - 1n - BigInt(size)];
            const items = Array.from({ length: size }, (_, index) => index);
            return [name, type === "Array(UInt16)" ? items : items.map((item) => BigInt(item) << 40n)];
          }),
        ),
      );
      // At an odd position of a larger buffer, as columns lie in a message.
      const { columns } = encodeBlock(signal, rows);
      const shifted = columns.map((column) => Buffer.concat([Buffer.from([1, 2, 3]), column]).subarray(3));
      expect(decodeBlock(signal, { rows: rows.length, columns: shifted })).toEqual(rows);
      expect(decodeBlock(signal, encodeBlock(signal, []))).toEqual([]);
    }
  });

  it("says what is wrong with a block that is cut", () => {
    const { rows, columns } = encodeBlock(rtt, [sampleRow(rtt)]);
    expect(() => decodeBlock(rtt, { rows, columns: columns.with(0, new Uint8Array(0)) })).toThrow("tcp_rtt.process: ends inside row 0");
  });
});

describe("schemaHash", () => {
  it("differs between signals with different columns", () => {
    expect(new Set(catalogue.map(schemaHash)).size).toBe(catalogue.length);
  });
});
