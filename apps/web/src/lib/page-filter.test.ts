// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import type { Host, Signal } from "./api/types";
import { filterFor, hostPredicate, problemsOf, valuesToOffer } from "./page-filter";

const signal = (name: string, dimensions: string[], measures: [string, string, string[]][]) =>
  ({
    name,
    dimensions: dimensions.map((dimension) => ({ name: dimension, values: dimension === "role" ? ["client", "server"] : null })),
    measures: measures.map(([measure, unit, aggregates]) => ({ name: measure, unit, aggregates })),
  }) as unknown as Signal;
const retransmits = signal("tcp_retransmits", ["process", "peer", "role"], [["segments", "segments", ["sum", "rate", "share"]]]);
const rtt = signal("tcp_rtt", ["process", "peer"], [["rtt", "ns", ["p50", "p99"]]]);
const syscalls = signal("syscalls", ["process", "syscall"], [["count", "calls", ["sum", "rate"]]]);
const signals = [retransmits, rtt, syscalls];
const words = { signals, tagKeys: ["env", "role"] };

describe("the filter of a page", () => {
  it("leaves out for a panel what its signal has no dimension or measure for, and says which", () => {
    const text = "host:a peer:10.0.0.1 env:prod segments>10 retransmits.segments.rate>1 proces:x";
    expect(filterFor(text, retransmits, signals)).toEqual({ where: text, ignored: [] });
    expect(filterFor(text, syscalls, signals)).toEqual({
      where: "host:a env:prod proces:x",
      ignored: ["peer:10.0.0.1", "segments>10", "retransmits.segments.rate>1"],
    });
  });

  it("is held against all signals, and is wrong at a place", () => {
    expect(problemsOf("env:prod tag.x:1 kernel:6* segments.share>1% rtt.p99>5ms retransmits.segments>1", words)).toEqual([]);
    expect(problemsOf("host:a proces:x", words)).toMatchObject([{ start: 7, end: 13, suggestion: "process:x" }]);
    expect(problemsOf("segments>5ms", words)).toMatchObject([{ start: 9, end: 12 }]);
    expect(problemsOf("nginx", words)[0]?.detail).toContain("process:nginx");
    expect(problemsOf("proces:x", undefined)).toEqual([]);
    expect(problemsOf("-role:client,sever", words)).toMatchObject([{ start: 13, end: 18, suggestion: "-role:client,server" }]);
  });

  it("has values to offer behind a key that can have few", () => {
    expect(valuesToOffer("peer:x -role:", words)).toEqual(["client", "server"]);
    for (const text of ["role", "role:c", "process:", "proces:", "tag.role:", ""]) expect(valuesToOffer(text, words)).toEqual([]);
    expect(valuesToOffer("role:", undefined)).toEqual([]);
  });

  it("leaves hosts by name, tag and kernel; where a signal has a dimension of a tag's name, the tag is named in full", () => {
    const host = (name: string, tags: Record<string, string>) =>
      ({ id: name, name, tags, kernel: "6.1", distro: "", arch: "", agentVersion: "" }) as Host;
    const hosts = [host("web-1", { env: "prod", role: "edge" }), host("web-2", { env: "test" })];
    const passing = (text: string) => hosts.filter(hostPredicate(text, hosts, signals)).map(({ name }) => name);
    expect(passing("")).toEqual(["web-1", "web-2"]);
    expect(passing("host:web-* -host:web-2 process:x segments>1")).toEqual(["web-1"]);
    expect(passing("env:test")).toEqual(["web-2"]);
    expect(passing("role:client")).toEqual(["web-1", "web-2"]);
    expect(passing("tag.role:edge kernel:6.*")).toEqual(["web-1"]);
  });
});
