// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { alignedEnds } from "./aligned-range.ts";

const at = (text: string): number => Date.parse(`2026-03-02T${text}Z`);
const now = at("18:00:00");
const text = ({ from, to }: { from: string | number; to: string | number }) => [from, to].map((end) => new Date(end).toISOString().slice(8, 19));

describe("the ends of a range of one value", () => {
  it("move out to full minutes, of a day to full hours", () => {
    expect(text(alignedEnds({ from: at("10:00:30"), to: at("11:00:30") }, now, "outwards"))).toEqual(["02T10:00:00", "02T11:01:00"]);
    expect(text(alignedEnds({ from: at("10:59:50") - 86_400_000, to: at("10:59:50") }, now, "outwards"))).toEqual(["01T10:00:00", "02T11:00:00"]);
    expect(text(alignedEnds({ from: at("10:00:00"), to: at("11:00:00") }, now, "outwards"))).toEqual(["02T10:00:00", "02T11:00:00"]);
  });

  it("stay where a mark is too far, and never reach into what is not rolled up yet", () => {
    expect(text(alignedEnds({ from: at("10:00:30"), to: at("10:08:30") }, now, "outwards"))).toEqual(["02T10:00:30", "02T10:08:30"]);
    expect(text(alignedEnds({ from: "now-1h", to: "now" }, now + 30_000, "outwards"))).toEqual(["02T17:00:00", "02T18:00:30"]);
    expect(text(alignedEnds({ from: "now-24h", to: "now-10m" }, now + 30_000, "outwards"))).toEqual(["01T18:00:00", "02T17:51:00"]);
  });

  it("of two ranges that touch still touch", () => {
    const [from, middle, to] = [at("10:00:10"), at("11:00:10"), at("12:00:10")];
    expect(alignedEnds({ from, to: middle }, now, "down").to).toBe(alignedEnds({ from: middle, to }, now, "down").from);
  });

  it("are left for the planner to refuse where they are no times", () => {
    expect(alignedEnds({ from: "yesterday", to: "now" }, now, "outwards")).toEqual({ from: "yesterday", to: "now" });
  });
});
