// SPDX-License-Identifier: Apache-2.0
import type { Column, Table } from "./table.ts";

/** What spreadsheets take for a formula when a cell begins with it. */
const FORMULA_START = /^[=+\-@\t\r]/;

/**
 * A table as RFC 4180 has it: a header line, CRLF, quotes where needed, nothing for null. Text that a spreadsheet would run as a formula gets a `'` in
 * front: process names and file names are whatever somebody on a host called them.
 */
export function toCsv({ columns, rows }: Table): string {
  const lines = [columns.map(({ name }) => quoted(name)).join(",")];
  for (let row = 0; row < rows; row++) lines.push(columns.map((column) => cell(column, row)).join(","));
  return `${lines.join("\r\n")}\r\n`;
}

function cell({ type, values }: Column, row: number): string {
  const value = values[row];
  if (value === null || value === undefined) return "";
  switch (type) {
    case "number":
    case "boolean":
      return String(value);
    case "time":
      return new Date(value as number).toISOString();
    case "json":
      return quoted(JSON.stringify(value));
    case "text": {
      const text = String(value);
      // An empty text is quoted, so that it is told apart from no value.
      return text === "" ? '""' : quoted(FORMULA_START.test(text) ? `'${text}` : text);
    }
  }
}

function quoted(text: string): string {
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
