// SPDX-License-Identifier: Apache-2.0

import { once } from "node:events";
import { createWriteStream, type WriteStream } from "node:fs";
import { catalogue, type WireRow } from "@waggle/signals";

/**
 * The simulator's own account of what the API acknowledged: one JSON line per host and window with the sum of every measure of
 * every signal. What the store holds must equal it.
 */
export class Ledger {
  readonly #stream: WriteStream | undefined;

  constructor(path: string | undefined) {
    this.#stream = path === undefined ? undefined : createWriteStream(path, { flags: "a", mode: 0o640 });
  }

  acknowledged(host: string, windowStartMs: number, windowMs: number, rows: ReadonlyMap<string, readonly WireRow[]>): void {
    if (this.#stream === undefined) return;
    const sums: Record<string, string> = {};
    for (const signal of catalogue) {
      const measures =
        signal.kind === "histogram" ? ["count", "sum"] : signal.measures.filter((measure) => measure.kind === "sum").map((measure) => measure.name);
      for (const measure of measures) {
        const total = (rows.get(signal.name) ?? []).reduce((sum, row) => sum + BigInt(row[measure] as number | bigint), 0n);
        sums[`${signal.name}.${measure}`] = String(total);
      }
    }
    this.#stream.write(`${JSON.stringify({ host, windowStart: new Date(windowStartMs).toISOString(), windowMs, sums })}\n`);
  }

  async close(): Promise<void> {
    if (this.#stream === undefined) return;
    this.#stream.end();
    await once(this.#stream, "finish");
  }
}
