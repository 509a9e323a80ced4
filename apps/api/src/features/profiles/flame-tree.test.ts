// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { type FlameNodes, flameTree } from "./flame-tree.ts";

const stack = (text: string, value: number, baseline = 0) => ({ frames: text.split(";"), value, baseline });
const stacks = [stack("app;main;work", 70, 10), stack("app;main", 5, 0), stack("app;main;idle;sleep", 15, 90), stack("cron;run", 10, 0)];
/** Nodes as `path self/total`. */
function picture(tree: FlameNodes): string[] {
  const paths: string[] = [];
  return tree.parents.map((parent, index) => {
    const name = tree.names[tree.nameIndexes[index] as number] as string;
    paths[index] = parent <= 0 ? name : `${paths[parent]};${name}`;
    return `${paths[index]} ${tree.self[index]}/${tree.total[index]}`;
  });
}

describe("a flame tree", () => {
  it("has each frame under its caller, with what was seen in it and below it, the largest first", () => {
    expect(picture(flameTree(stacks, 100))).toEqual([
      " 0/100",
      "app 0/90",
      "app;main 5/90",
      "app;main;work 70/70",
      "app;main;idle 0/15",
      "app;main;idle;sleep 15/15",
      "cron 0/10",
      "cron;run 10/10",
    ]);
  });

  it("keeps the largest nodes and sums what it cuts below their parents", () => {
    for (let nodes = 1; nodes <= 8; nodes++) {
      const tree = flameTree(stacks, nodes);
      expect(tree.self.reduce((sum, value) => sum + value, 0)).toBe(100);
      expect(tree.baselineSelf.reduce((sum, value) => sum + value, 0)).toBe(100);
      expect(tree.hidden.filter((count) => count === 0)).toHaveLength(nodes);
      expect(tree.hidden.reduce((sum, count) => sum + count, 0)).toBe(8 - nodes);
    }
    const one = flameTree([stack("a;b", 9), stack("a;c", 1)], 3);
    expect(picture(one)).toEqual([" 0/10", "a 0/10", "a;~other 1/1", "a;b 9/9"]);
  });

  it("counts a node's share of the baseline too when it decides what to keep", () => {
    const tree = flameTree(stacks, 4);
    const shown = tree.nameIndexes.map((index) => tree.names[index]);
    expect(shown).toContain("idle");
    expect(shown).not.toContain("work");
  });

  it("opens what lies below a path", () => {
    expect(picture(flameTree(stacks, 100, ["app", "main"]))).toEqual(["main 5/90", "work 70/70", "idle 0/15", "idle;sleep 15/15"]);
    expect(picture(flameTree(stacks, 100, ["nothing"]))).toEqual(["nothing 0/0"]);
  });

  it("tells recursive frames apart by their depth", () => {
    expect(picture(flameTree([stack("f;f;f", 2), stack("f;f", 1)], 10))).toEqual([" 0/3", "f 0/3", "f;f 1/3", "f;f;f 2/2"]);
  });
});
