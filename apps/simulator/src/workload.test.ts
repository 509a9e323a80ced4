// SPDX-License-Identifier: Apache-2.0
import { catalogue, checkBlock, encodeBlock } from "@waggle/signals";
import { describe, expect, it } from "vitest";
import { makeFleet } from "./fleet.ts";
import { simulateWindow } from "./workload.ts";

const fleet = makeFleet(7, 50);
const start = Date.UTC(2026, 10, 1);

describe("simulateWindow", () => {
  it("gives the same rows for the same seed, host and window, and others for another seed", () => {
    const [host] = fleet;
    if (host === undefined) throw new Error("empty fleet");
    expect(simulateWindow(7, host, start, 10_000)).toEqual(simulateWindow(7, host, start, 10_000));
    expect(simulateWindow(8, host, start, 10_000)).not.toEqual(simulateWindow(7, host, start, 10_000));
  });

  it("makes blocks that the API would accept, with counts equal to the sum of their buckets", () => {
    for (const host of fleet) {
      const rows = simulateWindow(7, host, start, 10_000);
      for (const signal of catalogue) {
        expect(checkBlock(signal, encodeBlock(signal, rows.get(signal.name) ?? []))).toBeUndefined();
        if (signal.kind !== "histogram") continue;
        for (const row of rows.get(signal.name) ?? []) {
          const total = (row["c"] as bigint[]).reduce((sum, value) => sum + value, 0n);
          expect(total).toBe(BigInt(row["count"] as number));
        }
      }
    }
  });

  it("names a host once and marks it as simulated", () => {
    expect(new Set(fleet.map((host) => host.name)).size).toBe(fleet.length);
    expect(fleet.every((host) => host.name.startsWith("sim-"))).toBe(true);
  });
});
