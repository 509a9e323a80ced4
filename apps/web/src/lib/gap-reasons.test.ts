// SPDX-License-Identifier: Apache-2.0
import { expect, it } from "vitest";
import type { QueryAnswer } from "./api/types";
import { gapReason } from "./gap-reasons";

const start = Date.UTC(2026, 7, 16, 13, 0);
const at = (step: number): number => start + step * 10_000;
const states: QueryAnswer = {
  meta: { from: new Date(start).toISOString(), stepSeconds: 10 } as QueryAnswer["meta"],
  series: [
    { measure: "windows", aggregate: "sum", unit: "windows", labels: { signal: "tcp_rtt", state: "exact", reason: "" }, values: [1, 1, 0, 0, 1] },
    {
      measure: "windows",
      aggregate: "sum",
      unit: "windows",
      labels: { signal: "tcp_rtt", state: "shed", reason: "over budget" },
      values: [0, 0, 1, 1, 0],
    },
  ],
};

it("names the state the agent reported during the gap, of that signal only", () => {
  const knowledge = { enrolledMs: start - 3_600_000, states };
  expect(gapReason("tcp_rtt", knowledge)(at(2), at(4))).toBe("shed: over budget");
  expect(gapReason("syscalls", knowledge)(at(2), at(4))).toBeNull();
  expect(gapReason("tcp_rtt", knowledge)(at(4), at(5))).toBeNull();
});

it("says when the host was not enrolled yet, and nothing where nothing is known", () => {
  const reason = gapReason("tcp_rtt", { enrolledMs: at(60), states: undefined });
  expect(reason(at(0), at(60))).toBe("before this host was enrolled");
  expect(reason(at(70), at(75))).toBeNull();
});
