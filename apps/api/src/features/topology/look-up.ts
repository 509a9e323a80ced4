// SPDX-License-Identifier: Apache-2.0
import type { Parameters } from "../query/sql.ts";

/** What a text stands for. */
export type Entry = readonly [from: string, to: string];

/** ClickHouse takes at most 128 KiB in one parameter, of which escaping may take a part: a backslash becomes four. */
const BYTES_PER_PARAMETER = 100 * 1_024;
const textsOf = new WeakMap<readonly Entry[], readonly string[]>();

/**
 * A table out of a list, to be joined: columns `from_text`, `to_text`.
 *
 * Ten thousand entries as a constant in an expression (`transform`) are written out in the name of each step that is made of it, which takes ClickHouse far longer than to
 * look them up: so they come as text that is read when the statement runs.
 */
export function lookUp(entries: readonly Entry[], parameters: Parameters): string {
  let texts = textsOf.get(entries);
  if (texts === undefined) {
    texts = textsWith(entries);
    textsOf.set(entries, texts);
  }
  return texts
    .map((text) => {
      const pairs = `JSONExtract(materialize(${parameters.add("String", text)}), 'Array(Array(String))')`;
      return `SELECT entry[1] AS from_text, entry[2] AS to_text FROM (SELECT arrayJoin(${pairs}) AS entry)`;
    })
    .join(" UNION ALL ");
}

function textsWith(entries: readonly Entry[]): readonly string[] {
  const texts: string[] = [];
  let parts: string[] = [];
  let bytes = 0;
  for (const entry of entries) {
    const part = JSON.stringify(entry);
    const size = Buffer.byteLength(part) + 1 + 3 * (part.split("\\").length - 1);
    if (parts.length > 0 && bytes + size > BYTES_PER_PARAMETER) {
      texts.push(`[${parts.join(",")}]`);
      parts = [];
      bytes = 0;
    }
    parts.push(part);
    bytes += size;
  }
  return [...texts, `[${parts.join(",")}]`];
}
