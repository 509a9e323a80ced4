// SPDX-License-Identifier: Apache-2.0
import type { SignalBlock } from "@waggle/proto";
import {
  type ColumnBlock,
  type CoverageState,
  type Drop,
  type DropCause,
  dropOf,
  encodeBlock,
  getSignalOrThrow,
  hostSignals,
  limits,
  OTHER,
  type Signal,
  schemaHash,
  stringBytesMaxOf,
  type WireRow,
} from "@waggle/signals";
import type { Owned, WindowData } from "./source.ts";

/** What the agent measured of itself in a window. */
export interface OwnCost {
  /** User and system CPU time of the process in the window. */
  readonly cpuNs: bigint;
  /** Resident memory at its end. */
  readonly rssBytes: bigint;
  /** Windows that were given up or became unreadable in the spool since the previous window. */
  readonly lostWindows: bigint;
  /** Windows that were merged into longer ones in the spool since the previous window. */
  readonly coarsenedWindows: bigint;
}

export interface AssembleOptions {
  /** Signals the API will not take, with its reason; their rows stay here and coverage says so. */
  readonly refusedSignals: ReadonlyMap<string, string>;
  /** Most bytes of all blocks together; rows of the largest signals are given up beyond it, and coverage says so. */
  readonly bytesMax: number;
}

export interface Coverage {
  readonly signal: string;
  readonly state: CoverageState;
  readonly reason: string;
}

export interface AssembledWindow {
  readonly blocks: SignalBlock[];
  /** One entry per signal that agents report, as it stands in the blocks. */
  readonly coverage: readonly Coverage[];
  /** Rows per signal, as they stand in the blocks. */
  readonly rows: ReadonlyMap<string, number>;
  /** What could not be kept as it should in the window, as it stands in the blocks. */
  readonly drops: readonly DropRow[];
  /** Of each signal with owners that has rows. */
  readonly attribution: readonly Attribution[];
}

/** How much of what a signal's rows count has an owner. */
export interface Attribution extends Owned {
  readonly signal: string;
}

export interface DropRow {
  readonly place: string;
  readonly cause: DropCause;
  readonly lost: bigint;
  readonly merged: bigint;
}

/** The program name under which the agent's own process appears in agent_cost. */
export const ownProgram = "waggle-agent";

/** Turns a window's rows into the blocks of a Snapshot, and adds the agent's own signals. */
export function assembleWindow(data: WindowData, own: OwnCost, options: AssembleOptions): AssembledWindow {
  const coverage = new Map<string, Coverage>();
  for (const signal of hostSignals) coverage.set(signal.name, coverageOf(signal, data, options.refusedSignals));
  const blocks = new Map<string, SignalBlock>();
  const attribution: Attribution[] = [];
  for (const [name, rows] of data.rows) {
    const signal = getSignalOrThrow(name);
    if (("columns" in rows ? rows.rows : rows.length) === 0 || options.refusedSignals.has(name)) continue;
    try {
      blocks.set(name, "columns" in rows ? blockOf(signal, rows) : encode(signal, rows));
      const owned = "columns" in rows ? rows.owned : ownedBy(signal, rows);
      if (owned !== undefined) attribution.push({ signal: name, ...owned });
    } catch (error) {
      coverage.set(name, { signal: name, state: "failed", reason: `rows could not be encoded: ${(error as Error).message}` });
    }
  }
  blocks.set("agent_cost", encode(getSignalOrThrow("agent_cost"), costRows(data, own)));
  const add = (name: string, rows: readonly WireRow[]): void => {
    if (rows.length > 0) blocks.set(name, encode(getSignalOrThrow(name), rows));
  };
  add(
    "agent_accounting",
    data.accounting.map(({ quantity, counted, kernel }) => ({ quantity, counted, kernel })),
  );
  const shed = new Map<string, number>();
  for (;;) {
    const [largest, bytes] = [...blocks].reduce<[string, number]>(
      (most, [name, block]) => (blockBytes(block) > most[1] ? [name, blockBytes(block)] : most),
      ["", 0],
    );
    const total = [...blocks.values()].reduce((sum, block) => sum + blockBytes(block), 0);
    if (total <= options.bytesMax || blocks.size <= 1) break;
    shed.set(largest, blocks.get(largest)?.rows ?? 0);
    blocks.delete(largest);
    coverage.set(largest, {
      signal: largest,
      state: "shed",
      reason: `${bytes} bytes in one window, which made the frame larger than the API takes; lower WAGGLE_AGENT_ROWS_MAX`,
    });
  }
  const sent = attribution.filter(({ signal }) => blocks.has(signal));
  add(
    "agent_attribution",
    sent.map(({ signal, counted, withProcess, withUnit }) => ({ signal, counted, with_process: withProcess, with_unit: withUnit })),
  );
  const drops = dropRows(data, own, shed);
  add(
    "agent_drops",
    drops.map((drop) => ({ ...drop })),
  );
  for (const name of options.refusedSignals.keys()) blocks.delete(name);
  const coverageRows = [...coverage.values()];
  blocks.set(
    "agent_coverage",
    encode(
      getSignalOrThrow("agent_coverage"),
      coverageRows.map((row) => ({ ...row, windows: 1n })),
    ),
  );
  return {
    blocks: [...blocks.values()],
    coverage: coverageRows,
    rows: new Map([...blocks].map(([name, block]) => [name, block.rows])),
    drops,
    attribution: sent,
  };
}

function coverageOf(signal: Signal, data: WindowData, refusedSignals: ReadonlyMap<string, string>): Coverage {
  const refusal = refusedSignals.get(signal.name);
  if (refusal !== undefined) return { signal: signal.name, state: "disabled", reason: truncate(`the API does not take it: ${refusal}`) };
  // The agent makes these itself, further down.
  if (signal.family === "agent" && signal.bpf === null) return { signal: signal.name, state: "exact", reason: "" };
  const found = data.coverage.find((entry) => entry.signal === signal.name);
  return found === undefined
    ? { signal: signal.name, state: "failed", reason: "nobody said anything about it in this window" }
    : { signal: signal.name, state: found.state, reason: truncate(found.reason) };
}

function costRows(data: WindowData, own: OwnCost): WireRow[] {
  const programs = data.programs
    .filter((program) => program.attached)
    .map(({ program, events, kernelNs }) => ({ program, events, kernel_ns: kernelNs, cpu_ns: 0n, rss_bytes: 0n, map_bytes: 0n }));
  return [
    ...programs,
    { program: ownProgram, events: 0n, kernel_ns: 0n, cpu_ns: own.cpuNs, rss_bytes: own.rssBytes, map_bytes: BigInt(Math.round(data.mapBytes)) },
  ];
}

/** What was dropped anywhere between the hooks and the spool, one row per place and cause. */
function dropRows(data: WindowData, own: OwnCost, shed: ReadonlyMap<string, number>): DropRow[] {
  const rows = new Map<string, { place: string; cause: DropCause; lost: bigint; merged: bigint }>();
  const add = ({ place, cause, outcome }: Drop, count: bigint): void => {
    if (count <= 0n) return;
    const key = `${place} ${cause}`;
    const row = rows.get(key) ?? { place, cause, lost: 0n, merged: 0n };
    row[outcome] += count;
    rows.set(key, row);
  };
  for (const { reason, count } of data.drops) add(dropOf(reason), count);
  for (const [place, count] of data.cuts ?? []) add({ place, cause: "row_cap", outcome: "merged" }, BigInt(count));
  for (const [place, count] of shed) add({ place, cause: "frame_cap", outcome: "lost" }, BigInt(count));
  add({ place: "spool", cause: "spool", outcome: "lost" }, own.lostWindows);
  add({ place: "spool", cause: "coarsened", outcome: "merged" }, own.coarsenedWindows);
  return [...rows.values()];
}

/** How much of what the rows count has an owner; undefined of a signal without owners. */
function ownedBy(signal: Signal, rows: readonly WireRow[]): Owned | undefined {
  if (!signal.dimensions.includes("process")) return undefined;
  const measure = signal.kind === "histogram" ? "count" : signal.measures.find(({ kind }) => kind === "sum")?.name;
  if (measure === undefined) return undefined;
  let [counted, withProcess, withUnit] = [0n, 0n, 0n];
  for (const row of rows) {
    const count = row[measure] as bigint;
    counted += count;
    if (isKnown(row["process"])) withProcess += count;
    if (isKnown(row["unit"])) withUnit += count;
  }
  return { counted, withProcess, withUnit };
}

function isKnown(owner: WireRow[string] | undefined): boolean {
  return owner !== undefined && owner !== "" && owner !== OTHER;
}

function encode(signal: Signal, rows: readonly WireRow[]): SignalBlock {
  return blockOf(
    signal,
    encodeBlock(
      signal,
      rows.map((row) => shortenStrings(signal, row)),
    ),
  );
}

function blockOf(signal: Signal, { rows, columns }: ColumnBlock): SignalBlock {
  if (rows > limits.blockRowsMax) throw new RangeError(`${rows} rows, allowed are ${limits.blockRowsMax}`);
  return {
    signal: signal.name,
    schemaHash: schemaHash(signal),
    rows,
    columns: columns.map((column) => Buffer.from(column.buffer, column.byteOffset, column.byteLength)),
  };
}

/** Copies a row only if a value is too long: thousands of rows have none. */
function shortenStrings(signal: Signal, row: WireRow): WireRow {
  for (const name of signal.dimensions) {
    const value = row[name];
    if (typeof value === "string" && value.length * 3 > limits.stringBytesMax && Buffer.byteLength(value) > stringBytesMaxOf(name)) {
      const shorten = (key: string, field: WireRow[string]) => (typeof field === "string" ? truncate(field, stringBytesMaxOf(key)) : field);
      return Object.fromEntries(Object.entries(row).map(([key, field]) => [key, shorten(key, field)]));
    }
  }
  return row;
}

/** Cuts a string to what the wire takes, at a character, and marks the cut. */
export function truncate(value: string, bytesMax: number = limits.stringBytesMax): string {
  if (Buffer.byteLength(value) <= bytesMax) return value;
  let end = Math.min(value.length, bytesMax);
  while (Buffer.byteLength(value.slice(0, end)) > bytesMax - 3) end--;
  const cut = value.slice(0, end);
  return `${/[\uD800-\uDBFF]$/.test(cut) ? cut.slice(0, -1) : cut}…`;
}

function blockBytes(block: SignalBlock): number {
  return block.columns.reduce((sum, column) => sum + column.length, 64);
}
