// SPDX-License-Identifier: Apache-2.0
"use client";

import { type ReactNode, useEffect, useMemo, useRef, useState } from "react";
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

/** Drawn at once; a fleet's table has thousands, which the browser would lay out for seconds and a keyboard walk through for minutes. */
const ROWS_STEP = 200;
const ROWS_STEP_IN_CARD = 40;

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

  const step = maxHeight === undefined ? ROWS_STEP : ROWS_STEP_IN_CARD;
  const [drawn, setDrawn] = useState(step);
  const scroller = useRef<HTMLElement>(null);
  const columnsBeyond = useColumnsBeyond(scroller);

  return (
    <>
      <section
        ref={scroller}
        className={styles["scroll"]}
        data-more={columnsBeyond === "right" ? "" : undefined}
        style={{ maxHeight }}
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling region must be reachable by keyboard.
        tabIndex={0}
        aria-label={`Table: ${label}`}
      >
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
            {sorted.slice(0, drawn).map((row, i) => (
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
      {sorted.length > drawn && (
        <p className={styles["note"]}>
          {drawn} of {sorted.length} rows.{" "}
          <button type="button" className={styles["more"]} onClick={() => setDrawn((n) => n + step)}>
            Show {Math.min(step, sorted.length - drawn)} more
          </button>
        </p>
      )}
      {columnsBeyond !== "none" && (
        <p className={styles["note"]} aria-hidden="true">
          {columnsBeyond === "right" ? "more columns to the right →" : "← more columns to the left"}
        </p>
      )}
      {note && <p className={styles["note"]}>{note}</p>}
    </>
  );
}

/** Where columns lie outside the visible part, to say so: a cut table looks complete. */
function useColumnsBeyond(scroller: { readonly current: HTMLElement | null }): "none" | "left" | "right" {
  const [beyond, setBeyond] = useState<"none" | "left" | "right">("none");
  useEffect(() => {
    const element = scroller.current;
    if (!element) return;
    const look = (): void => {
      const room = element.scrollWidth - element.clientWidth;
      setBeyond(room <= 8 ? "none" : room - element.scrollLeft > 8 ? "right" : "left");
    };
    const observer = new ResizeObserver(look);
    observer.observe(element);
    if (element.firstElementChild) observer.observe(element.firstElementChild);
    element.addEventListener("scroll", look, { passive: true });
    return () => {
      observer.disconnect();
      element.removeEventListener("scroll", look);
    };
  }, [scroller]);
  return beyond;
}
