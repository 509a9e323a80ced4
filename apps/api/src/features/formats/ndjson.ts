// SPDX-License-Identifier: Apache-2.0
import type { Column, Table } from "./table.ts";

/** One JSON object per line; the first is `{"meta": …}`, the others are rows. */
export function toNdjson({ meta, columns, rows, records }: Table): string {
  const lines = [JSON.stringify({ meta })];
  for (let row = 0; row < rows; row++) {
    lines.push(JSON.stringify(records?.[row] ?? Object.fromEntries(columns.map((column) => [column.name, written(column, row)]))));
  }
  return `${lines.join("\n")}\n`;
}

function written({ type, values }: Column, row: number): unknown {
  const value = values[row];
  if (value === null || value === undefined) return null;
  return type === "time" ? new Date(value as number).toISOString() : value;
}
