// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { FrameDictionary, type StackUse } from "./frame-dictionary.ts";

const hour = 3_600_000;
const kilobyte = "f".repeat(1_024);
const stacksOf = (rows: ReturnType<FrameDictionary["take"]>): string[] => rows.map(({ stack }) => stack as string);
const uses = (count: number, text: string, share: (index: number) => number = () => 0.001): StackUse[] =>
  Array.from({ length: count }, (_, index) => ({ stack: `s${index}`, text, share: share(index) }));
/** What one window brings. */
function window(dictionary: FrameDictionary, at: number, used: readonly StackUse[], rowsMax = 1_000): string[] {
  dictionary.begin(at);
  dictionary.add(used);
  return stacksOf(dictionary.take(rowsMax));
}

describe("FrameDictionary", () => {
  it("sends a stack's frames once in an hour, and again in the next", () => {
    const dictionary = new FrameDictionary();
    const use = (at: number): string[] => window(dictionary, at, [{ stack: "a", text: "main;work", share: 1 }]);
    expect([use(10), use(20), use(hour - 1), use(hour), use(hour + 10)]).toEqual([["a"], [], [], ["a"], []]);
    expect(dictionary.unsent).toEqual({ late: 0, letGo: 0 });
  });

  it("says when an hour begins", () => {
    const dictionary = new FrameDictionary();
    expect([10, 20, hour, 2 * hour - 1, 2 * hour].map((at) => dictionary.begin(at))).toEqual([true, false, true, false, true]);
  });

  it("brings 512 KiB at once and 128 KiB in each window after it, and counts what is late", () => {
    const dictionary = new FrameDictionary();
    const used = uses(900, kilobyte);
    expect(window(dictionary, 0, used)).toHaveLength(512);
    expect(dictionary.unsent).toEqual({ late: 388, letGo: 0 });
    expect(window(dictionary, 10_000, used)).toHaveLength(128);
    expect(dictionary.unsent).toEqual({ late: 260, letGo: 0 });
    // What the window does not name is not missed in it, and comes nevertheless.
    expect(window(dictionary, 20_000, [])).toHaveLength(128);
    expect(dictionary.unsent).toEqual({ late: 0, letGo: 0 });
    expect(window(dictionary, 30_000, used)).toHaveLength(128);
    expect(dictionary.unsent.late).toBe(4);
    // What is left over is there when it is needed.
    for (let at = 40_000; at < 80_000; at += 10_000) window(dictionary, at, used);
    expect(window(dictionary, 80_000, uses(2_000, kilobyte).slice(900))).toHaveLength(512);
  });

  it("brings first what names most of what was measured for its bytes, over all windows of the hour", () => {
    const dictionary = new FrameDictionary();
    window(dictionary, 0, uses(1_000, kilobyte));
    const [light, heavy, long] = [
      { stack: "light", text: kilobyte, share: 0.0001 },
      { stack: "heavy", text: kilobyte, share: 0.5 },
      { stack: "long", text: "g".repeat(8_000), share: 0.01 },
    ];
    const brought = window(dictionary, 10_000, [light, heavy, long]);
    expect(brought[0]).toBe("heavy");
    expect(brought[1]).toBe("long");
    expect(brought).not.toContain("light");
    // A stack that is remembered has no text any more; that it was met again counts.
    const again = window(dictionary, 20_000, [{ stack: "light", text: undefined, share: 0.4 }]);
    expect(again[0]).toBe("light");
  });

  it("keeps to the rows it is asked for", () => {
    const dictionary = new FrameDictionary();
    expect(
      window(
        dictionary,
        0,
        uses(10, "main", (index) => 1 / (index + 1)),
        3,
      ),
    ).toEqual(["s0", "s1", "s2"]);
    expect(dictionary.unsent).toEqual({ late: 7, letGo: 0 });
    expect(stacksOf(dictionary.take(100))).toHaveLength(7);
  });

  it("lets go of what names least beyond the room for what waits, counts it, and takes it at its next use", () => {
    const dictionary = new FrameDictionary();
    const used = uses(2_000, kilobyte, (index) => 1 / (index + 1));
    expect(window(dictionary, 0, used)).toHaveLength(512);
    expect(dictionary.unsent).toEqual({ late: 1_488, letGo: 464 });
    expect([dictionary.has("s0"), dictionary.has("s1535"), dictionary.has("s1536")]).toEqual([true, true, false]);
    expect(window(dictionary, 10_000, [{ stack: "s1999", text: kilobyte, share: 0.9 }])[0]).toBe("s1999");
    expect(dictionary.unsent).toEqual({ late: 0, letGo: 0 });
  });

  it("counts what still waits when its hour ends as let go", () => {
    const dictionary = new FrameDictionary();
    window(dictionary, 0, uses(600, kilobyte));
    expect(window(dictionary, hour, [])).toEqual([]);
    expect(dictionary.unsent).toEqual({ late: 0, letGo: 88 });
  });
});
