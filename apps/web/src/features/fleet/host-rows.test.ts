// SPDX-License-Identifier: Apache-2.0
import { expect, it } from "vitest";
import type { Host, QueryAnswer } from "../../lib/api/types";
import { type HostRow, hostRows, worstFirst, worstHost } from "./host-rows";

const row = (name: string, retransmits: number | null, state: Host["state"] = "reporting"): HostRow => ({
  host: { name, state } as Host,
  values: { retransmits, rtt: null, connects: null, syscalls: null },
  losing: false,
});

it("orders worst first, unknown after zero, hosts that do not report last", () => {
  const rows = [row("away", 0.9, "offline"), row("unknown", null), row("b", 0), row("a", 0), row("bad", 0.1)];
  expect(worstFirst(rows, "retransmits").map((r) => r.host.name)).toEqual(["bad", "a", "b", "unknown", "away"]);
});

it("nobody is worst when all are at zero", () => {
  expect(worstHost([row("a", 0), row("b", null)], "retransmits")).toBeNull();
  expect(worstHost([row("a", 0), row("b", 0.2)], "retransmits")?.host.name).toBe("b");
});

it("a host without a row counted nothing if it reported, and is unknown if it did not or was cut off", () => {
  const answer = (truncated: QueryAnswer["meta"]["truncated"], missing: string[]): QueryAnswer =>
    ({
      meta: {
        truncated,
        coverage: {
          hosts: 2,
          reporting: 1,
          steps: [0.5],
          note: null,
          missing: missing.map((host) => ({ host, reason: "", state: "failed", since: null })),
        },
      },
      series: [],
    }) as unknown as QueryAnswer;
  const hosts = [{ name: "a", state: "reporting" } as Host, { name: "gone", state: "offline" } as Host];
  const values = (connects: QueryAnswer | undefined) =>
    hostRows(hosts, { segments: undefined, rtt: answer(null, []), connects, syscalls: undefined }).map((r) => [r.values.connects, r.values.rtt]);
  expect(values(answer(null, []))).toEqual([
    [0, null],
    [null, null],
  ]);
  expect(values(answer(null, ["a"]))).toEqual([
    [null, null],
    [null, null],
  ]);
  expect(values(answer({ shown: 100, total: 300 }, []))).toEqual([
    [null, null],
    [null, null],
  ]);
  expect(values(undefined)).toEqual([
    [null, null],
    [null, null],
  ]);
});
