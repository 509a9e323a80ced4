// SPDX-License-Identifier: Apache-2.0
import { expect, it } from "vitest";
import { faultKinds, makeSchedule } from "./schedule.ts";

const targets = { agents: ["agent-1", "agent-2", "agent-3"], apis: ["api-a", "api-b"] };

it("gives the same faults for the same seed and others for another", () => {
  expect(makeSchedule(7, 200, 240_000, targets)).toEqual(makeSchedule(7, 200, 240_000, targets));
  expect(makeSchedule(8, 200, 240_000, targets)).not.toEqual(makeSchedule(7, 200, 240_000, targets));
});

it("has as many faults as asked for, in order, of every kind but those left out", () => {
  const faults = makeSchedule(1, 200, 240_000, targets, ["disk-full"]);
  expect(faults).toHaveLength(200);
  expect(faults.map((fault) => fault.atMs)).toEqual(faults.map((fault) => fault.atMs).sort((a, b) => a - b));
  expect(new Set(faults.map((fault) => fault.kind))).toEqual(new Set(faultKinds.filter((kind) => kind !== "disk-full")));
});

it("kills no process that is still down", () => {
  const downUntilMs = new Map<string, number>();
  for (const { kind, target, atMs, lengthMs } of makeSchedule(3, 300, 300_000, targets)) {
    if (!kind.startsWith("kill") && !kind.startsWith("torn")) continue;
    expect(downUntilMs.get(target) ?? 0).toBeLessThanOrEqual(atMs);
    downUntilMs.set(target, atMs + lengthMs);
  }
});
