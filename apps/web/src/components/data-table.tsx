// SPDX-License-Identifier: Apache-2.0
"use client";

import { type ReactNode, useMemo, useState } from "react";
import styles from "./data-table.module.css";

export interface Column<Row> {
  readonly key: string;
  readonly header: string;
  readonly align?: "left" | "right";
  readonly render: (row: Row) => ReactNode;
  /** What the column sorts by; null goes last whichever way. Without it the column can't be sorted. */
  readonly sort?: (row: Row) => number | string | null;
}

export interface DataTableProps<Row> {
  readonly label: string;
  readonly columns: readonly Column<Row>[];
  readonly rows: readonly Row[];
  readonly rowKey: (row: Row, index: number) => string;
  readonly initialSort?: { readonly key: string; readonly direction: "ascending" | "descending" };
  readonly maxHeight?: number;
  readonly note?: ReactNode;
}

/** Rows of 32 px, tabular figures, sortable by header; scrolls inside its card and is reachable by keyboard. */
export function DataTable<Row>({ label, columns, rows, rowKey, initialSort, maxHeight, note }: DataTableProps<Row>) {
  const [sort, setSort] = useState(initialSort);
  const sorted = useMemo(() => {
    const by = columns.find((c) => c.key === sort?.key)?.sort;
    if (!by || !sort) return rows;
    const sign = sort.direction === "ascending" ? 1 : -1;
    return [...rows].sort((a, b) => {
      const x = by(a);
      const y = by(b);
      if (x === null || y === null) return x === y ? 0 : x === null ? 1 : -1;
      return sign * (typeof x === "string" && typeof y === "string" ? x.localeCompare(y) : Number(x) - Number(y));
    });
  }, [rows, columns, sort]);

  return (
    <>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling region must be reachable by keyboard. */}
      <section className={styles["scroll"]} style={{ maxHeight }} tabIndex={0} aria-label={`Table: ${label}`}>
        <table className={styles["table"]}>
          <caption className="visually-hidden">{label}</caption>
          <thead>
            <tr>
              {columns.map((column) => {
                const active = sort?.key === column.key ? sort.direction : undefined;
                return (
                  <th key={column.key} scope="col" data-align={column.align ?? "left"} aria-sort={active}>
                    {column.sort ? (
                      <button
                        type="button"
                        className={styles["sort"]}
                        onClick={() => setSort({ key: column.key, direction: active === "descending" ? "ascending" : "descending" })}
                      >
                        {column.header}
                        <span aria-hidden="true">{active === "descending" ? " ↓" : active === "ascending" ? " ↑" : ""}</span>
                      </button>
                    ) : (
                      column.header
                    )}
                  </th>
                );
              })}
            </tr>
          </thead>
          <tbody>
            {sorted.map((row, i) => (
              <tr key={rowKey(row, i)}>
                {columns.map((column, c) =>
                  c === 0 ? (
                    <th key={column.key} scope="row" data-align={column.align ?? "left"}>
                      {column.render(row)}
                    </th>
                  ) : (
                    <td key={column.key} data-align={column.align ?? "left"}>
                      {column.render(row)}
                    </td>
                  ),
                )}
              </tr>
            ))}
          </tbody>
        </table>
      </section>
      {note && <p className={styles["note"]}>{note}</p>}
    </>
  );
}
