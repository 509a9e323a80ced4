// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { missingCapabilities, parseCapabilities } from "./capabilities.ts";
import { errnoName } from "./errno.ts";
import { parseNetworkCounters } from "./network-counters.ts";

describe("capabilities", () => {
  it("reads the effective set, not the permitted one", () => {
    const status = "Name:\tagent\nCapPrm:\t000001ffffffffff\nCapEff:\t000000c000000000\n";
    expect([...parseCapabilities(status)].sort()).toEqual(["CAP_BPF", "CAP_PERFMON"]);
  });

  it("misses what is absent, and nothing if CAP_SYS_ADMIN stands for both", () => {
    expect(missingCapabilities(new Set(["CAP_BPF"]))).toEqual(["CAP_PERFMON"]);
    expect(missingCapabilities(new Set())).toEqual(["CAP_BPF", "CAP_PERFMON"]);
    expect(missingCapabilities(new Set(["CAP_SYS_ADMIN"]))).toEqual([]);
  });

  it("refuses a text without the line", () => {
    expect(() => parseCapabilities("Name: x")).toThrow("CapEff");
  });
});

describe("parseNetworkCounters", () => {
  const text = [
    "Ip: Forwarding DefaultTTL",
    "Ip: 1 64",
    "Tcp: RtoAlgorithm MaxConn ActiveOpens RetransSegs",
    "Tcp: 1 -1 4711 18446744073709551615",
    "TcpExt: X",
    "TcpExt: 9",
  ].join("\n");

  it("pairs names with values, the largest 64-bit one included", () => {
    const counters = parseNetworkCounters(text, "Tcp");
    expect(counters.get("ActiveOpens")).toBe(4711n);
    expect(counters.get("RetransSegs")).toBe(18446744073709551615n);
    expect(counters.has("X")).toBe(false);
  });

  it("refuses a protocol that is not there", () => {
    expect(() => parseNetworkCounters(text, "Sctp")).toThrow("Sctp");
  });
});

describe("errnoName", () => {
  it("prefers the name that holds the number over an alias", () => {
    expect([errnoName(11), errnoName(95), errnoName(111)]).toEqual(["EAGAIN", "EOPNOTSUPP", "ECONNREFUSED"]);
  });

  it("shows what is no error number as what it is", () => {
    expect([errnoName(4000), errnoName(0x8000 + 20)]).toEqual(["errno_4000", "blk_status_20"]);
  });
});
