// SPDX-License-Identifier: Apache-2.0
import { getSignalOrThrow, OTHER } from "@waggle/signals";
import { describe, expect, it } from "vitest";
import { StackRows } from "./stack-rows.ts";

const nginx = { index: 1, process: "nginx", unit: "nginx.service" };
const redis = { index: 2, process: "redis", unit: "" };

describe("StackRows", () => {
  it("adds up what reads alike", () => {
    const rows = new StackRows(getSignalOrThrow("off_cpu"));
    rows.add(nginx, "aa", [2, 0, 30, 0]);
    rows.add(redis, "aa", [1, 0, 50, 0]);
    rows.add(nginx, "aa", [3, 0, 40, 0]);
    expect(rows.rows(100)).toEqual([
      { process: "nginx", unit: "nginx.service", stack: "aa", count: 5n, blocked: 70n },
      { process: "redis", unit: "", stack: "aa", count: 1n, blocked: 50n },
    ]);
    expect([rows.total("count"), rows.total("blocked", { process: "redis" })]).toEqual([6n, 50n]);
  });

  it("keeps the heaviest and sums the others into ~other, with what had no room in the map", () => {
    const rows = new StackRows(getSignalOrThrow("cpu_profile"));
    for (let index = 0; index < 10; index++) rows.add(nginx, `s${index}`, [index, 0]);
    rows.addOther([100, 0]);
    rows.cutTo(4);
    expect(rows.stacks()).toEqual(["s9", "s8", "s7"]);
    const made = rows.rows(4);
    expect(made).toHaveLength(4);
    expect(made.at(-1)).toEqual({ process: OTHER, unit: OTHER, stack: OTHER, samples: 100n + 21n });
    expect(rows.total("samples")).toBe(145n);
  });

  it("keeps watched processes before heavier ones", () => {
    const rows = new StackRows(getSignalOrThrow("cpu_profile"));
    for (let index = 0; index < 5; index++) rows.add(nginx, `s${index}`, [index + 10, 0]);
    rows.add(redis, "r", [1, 0]);
    rows.cutTo(3, new Set(["redis"]));
    expect(rows.stacks()).toEqual(["r", "s4"]);
    expect(rows.total("samples")).toBe(61n);
  });

  it("adds numbers beyond 2^53 exactly, out of a list of many", () => {
    const rows = new StackRows(getSignalOrThrow("off_cpu"));
    const values = [1, 0, 0xffff_ffff, 0x20_0000, 2, 0, 3, 0x20_0000];
    rows.add(nginx, "aa", values, 0);
    rows.add(nginx, "aa", values, 4);
    const blocked = (0x20_0000n << 32n) * 2n + 0xffff_ffffn + 3n;
    expect(rows.rows(100)).toEqual([{ process: "nginx", unit: "nginx.service", stack: "aa", count: 3n, blocked }]);
    expect(rows.total("blocked")).toBe(blocked);
  });

  it("has no ~other row where nothing was left over", () => {
    const rows = new StackRows(getSignalOrThrow("cpu_profile"));
    rows.addOther([0, 0]);
    rows.add(nginx, "aa", [1, 0]);
    expect(rows.rows(1)).toHaveLength(1);
  });
});
