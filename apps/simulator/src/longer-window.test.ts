// SPDX-License-Identifier: Apache-2.0
import { decodeBlock, OTHER } from "@waggle/signals";
import { describe, expect, it } from "vitest";
import { makeFleet } from "./fleet.ts";
import { addSums, type SignalSums, sumsOfWindow } from "./ledger.ts";
import { joinWindows } from "./longer-window.ts";
import { Workload } from "./workload.ts";

const workload = new Workload({ seed: 3, rows: 160, windowMs: 10_000, incidents: [] });
const [host] = makeFleet(3, 1) as [ReturnType<typeof makeFleet>[number]];
const startMs = Date.UTC(2026, 10, 21, 10);
function* windows(count: number) {
  for (let index = 0; index < count; index++) yield workload.window(host, startMs + index * 10_000);
}
const withoutRows = (sums: Record<string, SignalSums>) =>
  Object.fromEntries(Object.entries(sums).map(([name, { rows: _rows, ...rest }]) => [name, rest]));
const expected = (count: number) => {
  const all: Record<string, SignalSums> = {};
  for (const blocks of windows(count)) for (const [name, sums] of Object.entries(sumsOfWindow(blocks))) all[name] = addSums(all[name], sums);
  return withoutRows(all);
};

describe("windows joined to one", () => {
  it("have the sums, extremes and buckets of all, each key once", () => {
    const joined = joinWindows(windows(6), 0);
    expect(withoutRows(sumsOfWindow(joined))).toEqual(expected(6));
    for (const { signal, block } of joined) {
      const keys = decodeBlock(signal, block).map((row) => signal.dimensions.map((name) => row[name]).join("/"));
      expect(new Set(keys).size, signal.name).toBe(keys.length);
    }
  });

  it("stay within a row cap without losing a count, and their agent says what lost its name", () => {
    const joined = joinWindows(windows(6), 4);
    // How much has an owner, and what was merged, is not as before; all else is.
    const counts = ({ agent_attribution, agent_drops: _, ...rest }: ReturnType<typeof expected>) => ({
      ...rest,
      counted: agent_attribution?.["counted"],
    });
    const sums = withoutRows(sumsOfWindow(joined));
    expect(counts(sums)).toEqual(counts(expected(6)));
    expect(Number(sums["agent_drops"]?.["merged"])).toBeGreaterThan(30);
    expect(Number(sums["agent_attribution"]?.["with_process"])).toBeLessThan(Number(expected(6)["agent_attribution"]?.["with_process"]));
    let folded = 0;
    for (const { signal, block } of joined) {
      const keys = decodeBlock(signal, block).map((row) => signal.dimensions.map((name) => row[name]).join("/"));
      expect(new Set(keys).size, signal.name).toBe(keys.length);
      if (signal.bpf === null) continue;
      expect(block.rows).toBeLessThanOrEqual(4);
      if (decodeBlock(signal, block).some((row) => signal.dimensions.every((name) => row[name] === OTHER))) folded++;
    }
    expect(folded).toBeGreaterThan(3);
  });

  it("keep what is as high as it was last, and is not counted", () => {
    const gauges = (blocks: ReturnType<typeof joinWindows>) =>
      blocks
        .filter(({ signal }) => signal.name === "tcp_connections")
        .flatMap(({ signal, block }) => decodeBlock(signal, block))
        .reduce((sum, row) => sum + (row["active"] as bigint), 0n);
    const joined = gauges(joinWindows(windows(3), 0));
    expect(joined).toBe(gauges(workload.window(host, startMs + 20_000)));
  });
});
