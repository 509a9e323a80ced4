// SPDX-License-Identifier: Apache-2.0
import { expect, it } from "vitest";
import { Retention } from "./retention.ts";

it("is given per level, and per signal where that differs", () => {
  const retention = Retention.parse(" raw=2d, 1m=20d,1h=300d ,syscall_latency.raw=1d,tcp_rtt.1h=500d");
  expect(retention.daysOf("tcp_retransmits")).toEqual({ raw: 2, "1m": 20, "1h": 300 });
  expect(retention.daysOf("syscall_latency")).toEqual({ raw: 1, "1m": 20, "1h": 300 });
  expect([retention.shortestDays("raw"), retention.longestDays("raw"), retention.longestDays("1h")]).toEqual([1, 2, 500]);
});

it("refuses windows whose neighbours may be deleted before they are rolled up together", () => {
  const now = Date.UTC(2026, 0, 10);
  expect(Retention.parse("raw=2d,tcp_rtt.raw=1d").oldestAcceptedMs(now)).toBe(Date.UTC(2026, 0, 9, 2));
});

it.each([
  ["raw=7", '"raw=7" is not of the form LEVEL=DAYSd'],
  ["raw=7d;1m=30d", "is not of the form"],
  ["5m=7d", 'there is no level "5m"; there are raw, 1m, 1h'],
  ["tcp_rt.raw=7d", 'the signal "tcp_rt" is not in the catalogue'],
  ["raw=0d", "allowed are 1d to 3650d"],
  ["raw=7d,raw=8d", "raw is given twice"],
  ["raw=7d,1m=3d", "1m is 3d, but must be at least the 7d of raw, which it is made from"],
  ["tcp_rtt.raw=60d", "tcp_rtt.1m is 30d, but must be at least the 60d of tcp_rtt.raw"],
])("refuses %s and says why", (text, why) => {
  expect(() => Retention.parse(text)).toThrow(why);
});
