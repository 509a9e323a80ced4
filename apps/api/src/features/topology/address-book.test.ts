// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { addressBook } from "./address-book.ts";

const row = (host: string, addresses: string, inRange = true) => ({ host_id: host, addresses, in_range: inRange ? 1 : 0 });

describe("the address book", () => {
  it("knows a host by each of its addresses, however often it said so", () => {
    const book = addressBook([row("a", "10.0.0.1 2001:db8::1"), row("a", "10.0.0.1"), row("a", "10.0.0.1", false)]);
    expect([...book]).toEqual([
      ["10.0.0.1", { kind: "host", host: "a" }],
      ["2001:db8::1", { kind: "host", host: "a" }],
    ]);
  });

  it("guesses nothing about an address that two hosts had in the range", () => {
    const book = addressBook([row("b", "172.17.0.1"), row("a", "172.17.0.1"), row("a", "10.0.0.1")]);
    expect(book.get("172.17.0.1")).toEqual({ kind: "ambiguous", hosts: ["a", "b"] });
    expect(book.get("10.0.0.1")).toEqual({ kind: "host", host: "a" });
  });

  it("takes what was said before the range only where nobody said anything in it", () => {
    const book = addressBook([row("old", "10.0.0.1 10.0.0.2", false), row("new", "10.0.0.1")]);
    expect(book.get("10.0.0.1")).toEqual({ kind: "host", host: "new" });
    expect(book.get("10.0.0.2")).toEqual({ kind: "host", host: "old" });
    expect(addressBook([row("a", "10.0.0.1", false), row("b", "10.0.0.1", false)]).get("10.0.0.1")?.kind).toBe("ambiguous");
  });
});
