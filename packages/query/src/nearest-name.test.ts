// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { editDistance, nearestName } from "./nearest-name.ts";

/** As the definition has it, all of the table. */
function whole(a: string, b: string): number {
  const table = [Array.from({ length: b.length + 1 }, (_, index) => index)];
  for (let i = 1; i <= a.length; i++) {
    table[i] = [i];
    for (let j = 1; j <= b.length; j++) {
      const [above, left, corner] = [table[i - 1]?.[j], table[i]?.[j - 1], table[i - 1]?.[j - 1]] as [number, number, number];
      (table[i] as number[])[j] = Math.min(above + 1, left + 1, corner + (a[i - 1] === b[j - 1] ? 0 : 1));
    }
  }
  return table[a.length]?.[b.length] as number;
}

/** Texts of few letters, so that they are like each other. */
function texts(): string[] {
  let state = 7;
  const next = (below: number): number => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
    return Math.floor((state / 2_147_483_648) * below);
  };
  return Array.from({ length: 60 }, () => Array.from({ length: next(12) }, () => "abc"[next(3)]).join(""));
}

describe("the distance of two texts", () => {
  it("is what the definition says, and up to a limit the same below it", () => {
    const all = texts();
    for (const a of all) {
      for (const b of all) {
        const wanted = whole(a, b);
        expect(editDistance(a, b), `${a} ${b}`).toBe(wanted);
        for (const limit of [1, 2, 3, 5, 8]) {
          const found = editDistance(a, b, limit);
          if (wanted < limit) expect(found, `${a} ${b} ${limit}`).toBe(wanted);
          else expect(found, `${a} ${b} ${limit}`).toBeGreaterThanOrEqual(limit);
        }
      }
    }
  });
});

describe("the nearest name", () => {
  it("is the one with the fewest wrong letters, or that contains what was written, and none if too many are wrong", () => {
    expect(nearestName("proces", ["peer", "process", "unit"])).toBe("process");
    expect(nearestName("retransmit", ["tcp_rtt", "tcp_retransmits"])).toBe("tcp_retransmits");
    expect(nearestName("xyz", ["peer", "process", "unit"])).toBeUndefined();
    expect(nearestName("web-1", ["web-10", "web-2", "db-1"])).toBe("web-10");
    expect(nearestName("y".repeat(5_000), ["process"])).toBeUndefined();
  });
});
