// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { addressText, dimensionReader } from "./dimension-text.ts";

const bytes = (hex: string): Uint8Array => Buffer.from(hex.replaceAll(" ", ""), "hex");

describe("addressText", () => {
  it.each([
    ["00000000 00000000 0000ffff 7f000001", "127.0.0.1"],
    ["00000000 00000000 0000ffff 00000000", "0.0.0.0"],
    ["00000000 00000000 00000000 00000001", "::1"],
    ["00000000 00000000 00000000 00000000", "::"],
    ["fe800000 00000000 00000000 00000000", "fe80::"],
    ["20010db8 00000000 00010000 00000001", "2001:db8::1:0:0:1"],
    ["20010db8 00000001 00010001 00010001", "2001:db8:0:1:1:1:1:1"],
    ["20010db8 85a308d3 13198a2e 03707348", "2001:db8:85a3:8d3:1319:8a2e:370:7348"],
  ])("writes %s as %s", (hex, text) => {
    expect(addressText(bytes(hex))).toBe(text);
  });
});

describe("dimensionReader", () => {
  const field = (offset: number, size: number) => ({ name: "x", offset, size, type: "" });

  it("calls a port of one connection ephemeral", () => {
    const read = dimensionReader("peer_port", field(2, 2));
    expect([read(Buffer.from([0, 0, 0, 0]), 0), read(Buffer.from([0, 0, 0xbb, 1]), 0)]).toEqual(["ephemeral", "443"]);
  });

  it("calls the error of a connect that was given up closed", () => {
    const read = dimensionReader("errno", field(0, 2));
    expect([0, 111, 512, 4000].map((errno) => read(Buffer.from(Uint16Array.of(errno).buffer), 0))).toEqual([
      "closed",
      "ECONNREFUSED",
      "ERESTARTSYS",
      "errno_4000",
    ]);
  });

  it("leaves an unknown role empty", () => {
    const read = dimensionReader("role", field(0, 1));
    expect([0, 1, 2].map((role) => read(Buffer.from([role]), 0))).toEqual(["", "client", "server"]);
  });

  it("refuses a dimension that is not in a key", () => {
    expect(() => dimensionReader("program", field(0, 1))).toThrow("program");
  });
});
