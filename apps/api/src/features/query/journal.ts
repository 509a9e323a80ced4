// SPDX-License-Identifier: Apache-2.0
import type { Ticket } from "./fair-queue.ts";
import type { Explanation } from "./query.schemas.ts";
import type { Statement } from "./sql.ts";
import type { Content } from "./table-versions.ts";

/** Values of a list that are shown. */
const VALUES_SHOWN_MAX = 20;

export type EntryOrigin = Explanation["statements"][number]["origin"];

interface Entry {
  readonly purpose: string;
  readonly statement: Statement;
  readonly origin: EntryOrigin;
  readonly rowsRead: number;
  /** Until ClickHouse was given it; in `elapsedMs`. */
  readonly waitedMs: number;
  readonly elapsedMs: number;
}

/** What one answer asked of the databases, and how long it waited for them. Its statements wait for their turns as one. */
export class Journal implements Ticket {
  readonly sinceMs = performance.now();
  isAdmitted = false;
  /** When all that the answer was made of was so, by `performance.now()`, but for `contents`. */
  asOfMs = this.sinceMs;
  /** What else the answer is right by. */
  readonly contents: Content[] = [];
  private readonly entries: Entry[] = [];
  private waiting = 0;
  private waitingSinceMs = 0;
  private waitedMs = 0;
  private plannedMs = 0;

  /** Runs work that waits for a database. Several at a time count once. */
  async wait<T>(work: () => Promise<T>): Promise<T> {
    if (this.waiting++ === 0) this.waitingSinceMs = performance.now();
    try {
      return await work();
    } finally {
      if (--this.waiting === 0) this.waitedMs += performance.now() - this.waitingSinceMs;
    }
  }

  /** Notes how old something is that the answer is made of. */
  madeOf(part: { readonly asOfMs: number; readonly content?: Content | undefined }): void {
    if (part.content === undefined) this.asOfMs = Math.min(this.asOfMs, part.asOfMs);
    else this.contents.push(part.content);
  }

  note(entry: Entry): void {
    this.entries.push(entry);
  }

  get rowsRead(): number {
    return this.entries.reduce((sum, entry) => sum + entry.rowsRead, 0);
  }

  /** Notes that it is chosen what to read. */
  endPlanning(): void {
    this.plannedMs = this.ownMs();
  }

  /** Since the beginning; what of it was spent choosing what to read and what putting the answer together, waiting for databases left out, in ms. */
  times(): { readonly elapsedMs: number; readonly plannerMs: number; readonly assemblyMs: number } {
    const { plannedMs } = this;
    return { elapsedMs: tenths(performance.now() - this.sinceMs), plannerMs: tenths(plannedMs), assemblyMs: tenths(this.ownMs() - plannedMs) };
  }

  private ownMs(): number {
    return Math.max(0, performance.now() - this.sinceMs - this.waitedMs);
  }

  /** The statements, for the caller whose organisation is `tenant`. */
  statements(tenant: string): Explanation["statements"] {
    return this.entries.map(({ purpose, statement, origin, rowsRead, waitedMs, elapsedMs }) => ({
      purpose,
      sql: outdented(statement.sql),
      parameters: [...statement.sql.matchAll(/\{(p\d+):([^}]+)\}/g)]
        .map(([, name = "", type = ""]) => ({ name, type, value: shown(statement.parameters[name], tenant) }))
        .filter(({ name }, index, all) => all.findIndex((other) => other.name === name) === index),
      origin,
      rowsRead,
      waitedMs: tenths(waitedMs),
      elapsedMs: tenths(elapsedMs),
    }));
  }
}

function tenths(ms: number): number {
  return Math.round(ms * 10) / 10;
}

function shown(value: unknown, tenant: string): unknown {
  if (value === tenant) return "(tenant)";
  if (!Array.isArray(value) || value.length <= VALUES_SHOWN_MAX) return value;
  return [...value.slice(0, VALUES_SHOWN_MAX), `… ${value.length} in all`];
}

function outdented(sql: string): string {
  const lines = sql.split("\n").filter((line) => line.trim() !== "");
  const indents = lines.slice(1).map((line) => line.length - line.trimStart().length);
  const least = Math.min(...indents, Number.POSITIVE_INFINITY);
  return lines.map((line) => (line.slice(0, least).trim() === "" ? line.slice(least) : line.trimStart())).join("\n");
}
