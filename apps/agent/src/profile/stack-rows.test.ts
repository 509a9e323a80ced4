// SPDX-License-Identifier: Apache-2.0
import { getSignalOrThrow, OTHER } from "@waggle/signals";
import { describe, expect, it } from "vitest";
import { StackRows } from "./stack-rows.ts";

const nginx = { index: 1, process: "nginx", unit: "nginx.service" };
const redis = { index: 2, process: "redis", unit: "" };

describe("StackRows", () => {
  it("adds up what reads alike", () => {
    const rows = new StackRows(getSignalOrThrow("off_cpu"));
    rows.add(nginx, "aa", [2n, 30n]);
    rows.add(redis, "aa", [1n, 50n]);
    rows.add(nginx, "aa", [3n, 40n]);
    expect(rows.rows(100)).toEqual([
      { process: "nginx", unit: "nginx.service", stack: "aa", count: 5n, blocked: 70n },
      { process: "redis", unit: "", stack: "aa", count: 1n, blocked: 50n },
    ]);
    expect([rows.total("count"), rows.total("blocked", { process: "redis" })]).toEqual([6n, 50n]);
  });

  it("keeps the heaviest and sums the others into ~other, with what had no room in the map", () => {
    const rows = new StackRows(getSignalOrThrow("cpu_profile"));
    for (let index = 0; index < 10; index++) rows.add(nginx, `s${index}`, [BigInt(index)]);
    rows.addOther([100n]);
    rows.cutTo(4);
    expect(rows.stacks()).toEqual(["s9", "s8", "s7"]);
    const made = rows.rows(4);
    expect(made).toHaveLength(4);
    expect(made.at(-1)).toEqual({ process: OTHER, unit: OTHER, stack: OTHER, samples: 100n + 21n });
    expect(rows.total("samples")).toBe(145n);
  });

  it("keeps watched processes before heavier ones", () => {
    const rows = new StackRows(getSignalOrThrow("cpu_profile"));
    for (let index = 0; index < 5; index++) rows.add(nginx, `s${index}`, [BigInt(index + 10)]);
    rows.add(redis, "r", [1n]);
    rows.cutTo(3, new Set(["redis"]));
    expect(rows.stacks()).toEqual(["r", "s4"]);
    expect(rows.total("samples")).toBe(61n);
  });

  it("has no ~other row where nothing was left over", () => {
    const rows = new StackRows(getSignalOrThrow("cpu_profile"));
    rows.addOther([0n]);
    rows.add(nginx, "aa", [1n]);
    expect(rows.rows(1)).toHaveLength(1);
  });
});
