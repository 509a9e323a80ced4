// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { KeyTable } from "./key-table.ts";

const mask = Buffer.from("ffffffff00ffff0000000000ffffffff", "hex");
const wordsOf = (...keys: readonly string[]): Uint32Array => new Uint32Array(Uint8Array.from(Buffer.from(keys.join(""), "hex")).buffer);

describe("KeyTable", () => {
  it("numbers keys in the order they come, whatever the bytes hold that do not matter", () => {
    const table = new KeyTable(mask);
    const keys = wordsOf("00000001ee1122ee99999999000000ff", "00000001ee1123ee99999999000000ff", "00000001dd1122dd77777777000000ff");
    expect(table.find(keys, 0)).toBe(-1);
    expect([table.add(keys, 0), table.add(keys, 4)]).toEqual([0, 1]);
    expect([table.find(keys, 0), table.find(keys, 4), table.find(keys, 8)]).toEqual([0, 1, 0]);
  });

  it("finds each of many keys again, and none that was not added, until it is cleared", () => {
    const table = new KeyTable(mask);
    const count = 5_000;
    const words = new Uint32Array(count * 4);
    for (let key = 0; key < count; key++) {
      words[key * 4] = key % 71;
      words[key * 4 + 1] = (key % 13) << 8;
      words[key * 4 + 3] = Math.imul(key, 0x10001);
    }
    for (let key = 0; key < count; key += 2) expect(table.add(words, key * 4)).toBe(key / 2);
    for (let key = 0; key < count; key++) expect(table.find(words, key * 4)).toBe(key % 2 === 0 ? key / 2 : -1);
    expect(table.size).toBe(count / 2);
    table.clear();
    expect([table.size, table.find(words, 0), table.add(words, 4), table.find(words, 4)]).toEqual([0, -1, 0, 0]);
  });

  it("refuses keys that are no whole words", () => {
    expect(() => new KeyTable(Buffer.alloc(6))).toThrow("6 bytes");
  });
});
