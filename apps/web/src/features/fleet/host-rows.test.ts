// SPDX-License-Identifier: Apache-2.0
import { expect, it } from "vitest";
import type { Host } from "../../lib/api/types";
import { type HostRow, worstFirst, worstHost } from "./host-rows";

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
