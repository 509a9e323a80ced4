// SPDX-License-Identifier: Apache-2.0
import type { Table } from "../formats/table.ts";
import type { ProcessTable } from "./processes.schemas.ts";

/** The table as rows: what makes a row, a column per measure (`cpu`), and one more beside an earlier window (`cpu_compared`). */
export function processRows({ meta, columns, data }: ProcessTable): Table {
  const about = { ...meta, columns };
  const isCompared = meta.compare !== undefined;
  return {
    meta: about,
    summary: meta,
    columns: [
      ...meta.by.map((name) => ({ name, type: "text" as const, values: data.map(({ labels }) => labels[name]) })),
      ...columns.flatMap(({ name }) => [
        { name, type: "number" as const, values: data.map(({ values }) => values[name] ?? null) },
        ...(isCompared ? [{ name: `${name}_compared`, type: "number" as const, values: data.map(({ compared }) => compared?.[name] ?? null) }] : []),
      ]),
    ],
    rows: data.length,
  };
}
