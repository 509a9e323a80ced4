// SPDX-License-Identifier: Apache-2.0
import { stackName } from "@waggle/signals";
import { describe, expect, it } from "vitest";
import { addFrame, cutFrames, frameOf, joinFrames, UNKNOWN } from "./frames-text.ts";

describe("frames", () => {
  it("are a function with its module, or the module alone", () => {
    expect([frameOf("read", "libc.so.6"), frameOf("", "libc.so.6"), frameOf("schedule", "")]).toEqual([
      "read [libc.so.6]",
      "[libc.so.6]",
      "schedule",
    ]);
  });

  it("cannot hold what separates them, nor control characters, nor a name without end", () => {
    expect(frameOf("a;b\nc\u0000", "x;y")).toBe("a_b_c_ [x_y]");
    expect(frameOf("f".repeat(5_000), "m").length).toBeLessThan(220);
  });

  it("that nobody knows count once in a row", () => {
    const frames: string[] = [];
    for (const frame of [UNKNOWN, UNKNOWN, "a", UNKNOWN, "b", UNKNOWN, UNKNOWN]) addFrame(frames, frame);
    expect(joinFrames(frames)).toBe("[unknown];a;[unknown];b;[unknown]");
  });
});

describe("stackName", () => {
  it("is the same for the same text, and another for another", () => {
    expect(stackName("main;work")).toMatch(/^[0-9a-f]{16}$/);
    expect(stackName("main;work")).toBe(stackName("main;work"));
    expect(stackName("main;work")).not.toBe(stackName("main;work_[k]"));
  });
});

describe("cutFrames", () => {
  it("leaves what fits alone", () => {
    expect(cutFrames("a;b;c", 5)).toBe("a;b;c");
  });

  it("takes whole frames out of the middle, marks the place, and keeps to the bytes", () => {
    const text = Array.from({ length: 500 }, (_, index) => `função_${index} [modulo]`).join(";");
    const cut = cutFrames(text, 1_000);
    expect(Buffer.byteLength(cut)).toBeLessThanOrEqual(1_000);
    expect(Buffer.byteLength(cut)).toBeGreaterThan(900);
    const frames = cut.split(";");
    const mark = frames.indexOf("[…]");
    expect(frames.slice(0, mark)).toEqual(text.split(";").slice(0, mark));
    expect(frames.slice(mark + 1)).toEqual(text.split(";").slice(-(frames.length - mark - 1)));
    expect(mark).toBeGreaterThan(10);
  });

  it("is nothing but the mark where not even one frame fits at either end", () => {
    expect(cutFrames(`${"a".repeat(100)};${"b".repeat(100)}`, 50)).toBe("[…]");
  });
});
