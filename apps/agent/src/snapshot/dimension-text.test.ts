// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { blockDeviceName } from "../kernel/block-device.ts";
import { readKernelNames } from "../kernel/kernel-names.ts";
import { addressText, dimensionReader } from "./dimension-text.ts";

const bytes = (hex: string): Uint8Array => Buffer.from(hex.replaceAll(" ", ""), "hex");

const names = {
  text: (id: number) => (id === 7 ? "/var/log/syslog" : ""),
  device: (number: number) => blockDeviceName(number),
  kernel: readKernelNames(null),
};

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
    const read = dimensionReader("peer_port", field(2, 2), names);
    expect([read(Buffer.from([0, 0, 0, 0]), 0), read(Buffer.from([0, 0, 0xbb, 1]), 0)]).toEqual(["ephemeral", "443"]);
  });

  it("leaves a peer empty that is not known", () => {
    const read = dimensionReader("peer", field(0, 16), names);
    const keys = Buffer.alloc(32);
    keys.set(bytes("00000000 00000000 0000ffff 00000000"), 16);
    expect([read(keys, 0), read(keys, 16)]).toEqual(["", "0.0.0.0"]);
  });

  it("calls the error of a connect that was given up closed", () => {
    const read = dimensionReader("errno", field(0, 2), names);
    expect([0, 111, 512, 4000].map((errno) => read(Buffer.from(Uint16Array.of(errno).buffer), 0))).toEqual([
      "closed",
      "ECONNREFUSED",
      "ERESTARTSYS",
      "errno_4000",
    ]);
  });

  it("leaves an unknown role empty", () => {
    const read = dimensionReader("role", field(0, 1), names);
    expect([0, 1, 2].map((role) => read(Buffer.from([role]), 0))).toEqual(["", "client", "server"]);
  });

  it("names protocols of IP, of other sockets and of the link alike", () => {
    const read = dimensionReader("protocol", field(0, 2), names);
    const texts = [0, 6, 17, 253, 0x101, 0x110, 0x1fe, 0x204, 0x806, 0x88b5].map((value) => read(Buffer.from(Uint16Array.of(value).buffer), 0));
    expect(texts).toEqual(["", "tcp", "udp", "ip_253", "unix", "netlink", "family_254", "llc", "arp", "ethertype_0x88b5"]);
  });

  it("names types and answers of DNS, also those that have no name yet", () => {
    const type = dimensionReader("query_type", field(0, 2), names);
    expect([1, 28, 65, 1234].map((value) => type(Buffer.from(Uint16Array.of(value).buffer), 0))).toEqual(["A", "AAAA", "HTTPS", "TYPE1234"]);
    const rcode = dimensionReader("rcode", field(0, 1), names);
    expect([0, 2, 3, 11, 255].map((value) => rcode(Buffer.from([value]), 0))).toEqual(["NOERROR", "SERVFAIL", "NXDOMAIN", "RCODE11", "timeout"]);
  });

  it("refuses a dimension that is not in a key", () => {
    expect(() => dimensionReader("program", field(0, 1), names)).toThrow("program");
  });

  it("looks up what programs registered as text", () => {
    const read = dimensionReader("file", field(8, 8), names);
    const keys = Buffer.alloc(32);
    keys.writeBigUInt64LE(7n, 16 + 8);
    expect(read(keys, 16)).toBe("/var/log/syslog");
    expect(read(keys, 0)).toBe("");
  });
});
