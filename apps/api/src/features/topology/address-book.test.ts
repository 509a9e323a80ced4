// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { addressBook } from "./address-book.ts";

const said = (addresses: string, inRange: readonly string[], before: readonly string[] = []) => ({ addresses, inRange, before });
/** As of one statement each. */
const bookOf = (...all: readonly ReturnType<typeof said>[]) =>
  addressBook(all.map(({ addresses, inRange, before }) => ({ addresses: [addresses], in_range: [inRange], before: [before] })));

describe("the address book", () => {
  it("knows a host by each of its addresses, however often it said so", () => {
    const book = bookOf(said("10.0.0.1 2001:db8::1", ["a"]), said("10.0.0.1", ["a"], ["a"]));
    expect([...book]).toEqual([
      ["10.0.0.1", { kind: "host", host: "a" }],
      ["2001:db8::1", { kind: "host", host: "a" }],
    ]);
  });

  it("guesses nothing about an address that two hosts had in the range", () => {
    const book = bookOf(said("172.17.0.1", ["b", "a"]), said("10.0.0.1", ["a"]));
    expect(book.get("172.17.0.1")).toEqual({ kind: "ambiguous", hosts: ["a", "b"] });
    expect(book.get("10.0.0.1")).toEqual({ kind: "host", host: "a" });
  });

  it("takes what was said before the range only where nobody said anything in it", () => {
    const book = bookOf(said("10.0.0.1 10.0.0.2", [], ["old"]), said("10.0.0.1", ["new"]));
    expect(book.get("10.0.0.1")).toEqual({ kind: "host", host: "new" });
    expect(book.get("10.0.0.2")).toEqual({ kind: "host", host: "old" });
    expect(bookOf(said("10.0.0.1", [], ["a", "b"])).get("10.0.0.1")?.kind).toBe("ambiguous");
  });
});
