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

  it("keeps the heaviest stacks, of the others the process, and adds what had no room in the map to ~other", () => {
    const rows = new StackRows(getSignalOrThrow("cpu_profile"));
    for (let index = 0; index < 10; index++) rows.add(nginx, `s${index}`, [index, 0]);
    for (let index = 0; index < 3; index++) rows.add(redis, `r${index}`, [1, 0]);
    rows.addOther([100, 0]);
    rows.cutTo(6);
    expect(rows.stacks()).toEqual([
      { stack: "s9", share: 9 / 148 },
      { stack: "s8", share: 8 / 148 },
      { stack: "s7", share: 7 / 148 },
    ]);
    expect(rows.rows(6).map(({ process, unit, stack, samples }) => [process, unit, stack, samples])).toEqual([
      [OTHER, OTHER, OTHER, 100n],
      ["nginx", "nginx.service", OTHER, 21n],
      ["nginx", "nginx.service", "s9", 9n],
      ["nginx", "nginx.service", "s8", 8n],
      ["nginx", "nginx.service", "s7", 7n],
      ["redis", "", OTHER, 3n],
    ]);
    expect(rows.cut).toBe(10);
    expect([rows.total("samples"), rows.total("samples", { process: "nginx" })]).toEqual([148n, 45n]);
  });

  it("keeps the stacks of watched processes before heavier ones", () => {
    const rows = new StackRows(getSignalOrThrow("cpu_profile"));
    for (let index = 0; index < 5; index++) rows.add(nginx, `s${index}`, [index + 10, 0]);
    rows.add(redis, "r", [1, 0]);
    rows.add(redis, "q", [2, 0]);
    rows.cutTo(4, new Set(["redis"]));
    expect(rows.stacks().map(({ stack }) => stack)).toEqual(["s4", "q", "r"]);
    expect([rows.total("samples"), rows.total("samples", { process: "nginx" })]).toEqual([63n, 60n]);
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
