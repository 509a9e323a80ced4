// SPDX-License-Identifier: Apache-2.0
import type { Column, Table } from "../formats/table.ts";
import type { ProfileAnswer } from "./profile-answer.schemas.ts";
import { summaryOf } from "./profile-formats.ts";

/**
 * A profile's tree as rows, one per node in pre-order: `node`, `parent` (nothing for the root), `depth`, `frame`, `self`, `total`, `hidden` (how many nodes a `~other`
 * stands for), and beside a baseline `baseline_self`, `baseline_total`, `change`.
 */
export function profileTable({ meta, tree }: ProfileAnswer): Table {
  const { names, parents, nameIndexes, self, total, hidden, baselineSelf, baselineTotal, change } = tree;
  const depths: number[] = [];
  // Parents come before their children.
  for (const parent of parents) depths.push(parent < 0 ? 0 : (depths[parent] as number) + 1);
  const number = (name: string, values: readonly (number | null)[] | undefined): Column[] =>
    values === undefined ? [] : [{ name, type: "number", values }];
  const columns = [
    ...number("node", [...parents.keys()]),
    ...number(
      "parent",
      parents.map((parent) => (parent < 0 ? null : parent)),
    ),
    ...number("depth", depths),
    { name: "frame", type: "text" as const, values: nameIndexes.map((index) => names[index]) },
    ...number("self", self),
    ...number("total", total),
    ...number("hidden", hidden),
    ...number("baseline_self", baselineSelf),
    ...number("baseline_total", baselineTotal),
    ...number("change", change),
  ];
  return { meta, summary: summaryOf(meta), columns, rows: parents.length };
}
