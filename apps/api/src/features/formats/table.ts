// SPDX-License-Identifier: Apache-2.0

/** How a column's values are written: `time` Unix milliseconds, `json` any value. */
export type ColumnType = "time" | "number" | "text" | "boolean" | "json";

export interface Column {
  readonly name: string;
  readonly type: ColumnType;
  /** As long as the table; null = there is no value. */
  readonly values: readonly unknown[];
}

/** An answer as rows below each other. */
export interface Table {
  /** What the answer says about itself: coverage, truncation, the next page. */
  readonly meta: Readonly<Record<string, unknown>>;
  /** The same without what grows with the answer, for a header. */
  readonly summary: Readonly<Record<string, unknown>>;
  readonly columns: readonly Column[];
  readonly rows: number;
  /** Whole rows for NDJSON, where they are more than the columns; default: an object of the columns. */
  readonly records?: readonly unknown[];
}
