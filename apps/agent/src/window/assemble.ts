// SPDX-License-Identifier: Apache-2.0
import type { SignalBlock } from "@waggle/proto";
import {
  type CoverageState,
  encodeBlock,
  getSignalOrThrow,
  hostSignals,
  limits,
  type Signal,
  schemaHash,
  stringBytesMaxOf,
  type WireRow,
} from "@waggle/signals";
import type { WindowData } from "./source.ts";

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
}

/** The program name under which the agent's own process appears in agent_cost. */
export const ownProgram = "waggle-agent";

/** Turns a window's rows into the blocks of a Snapshot, and adds the agent's own signals. */
export function assembleWindow(data: WindowData, own: OwnCost, options: AssembleOptions): AssembledWindow {
  const coverage = new Map<string, Coverage>();
  for (const signal of hostSignals) coverage.set(signal.name, coverageOf(signal, data, options.refusedSignals));
  const blocks = new Map<string, SignalBlock>();
  for (const [name, rows] of data.rows) {
    const signal = getSignalOrThrow(name);
    if (rows.length === 0 || options.refusedSignals.has(name)) continue;
    try {
      blocks.set(name, encode(signal, rows));
    } catch (error) {
      coverage.set(name, { signal: name, state: "failed", reason: `rows could not be encoded: ${(error as Error).message}` });
    }
  }
  blocks.set("agent_cost", encode(getSignalOrThrow("agent_cost"), costRows(data, own)));
  const accounting = accountingRows(data, own);
  if (accounting.length > 0) blocks.set("agent_accounting", encode(getSignalOrThrow("agent_accounting"), accounting));
  for (;;) {
    const [largest, bytes] = [...blocks].reduce<[string, number]>(
      (most, [name, block]) => (blockBytes(block) > most[1] ? [name, blockBytes(block)] : most),
      ["", 0],
    );
    const total = [...blocks.values()].reduce((sum, block) => sum + blockBytes(block), 0);
    if (total <= options.bytesMax || blocks.size <= 1) break;
    blocks.delete(largest);
    coverage.set(largest, {
      signal: largest,
      state: "shed",
      reason: `${bytes} bytes in one window, which made the frame larger than the API takes; lower WAGGLE_AGENT_ROWS_MAX`,
    });
  }
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

/**
 * A drop is a difference like any other: the kernel had it (`kernel`), no row has it (`counted`). Drops that ended in `~other` are still named, as
 * the row they belong to is not known. Coarsened windows are on both sides: nothing of them is missing but where in the longer window it was.
 */
function accountingRows(data: WindowData, own: OwnCost): WireRow[] {
  const drops = data.drops.filter((drop) => drop.count > 0n).map((drop) => ({ quantity: `dropped:${drop.reason}`, counted: 0n, kernel: drop.count }));
  const lost = own.lostWindows > 0n ? [{ quantity: "dropped:spool_windows", counted: 0n, kernel: own.lostWindows }] : [];
  const coarsened = own.coarsenedWindows > 0n ? [{ quantity: "coarsened:windows", counted: own.coarsenedWindows, kernel: own.coarsenedWindows }] : [];
  return [...data.accounting.map(({ quantity, counted, kernel }) => ({ quantity, counted, kernel })), ...drops, ...lost, ...coarsened];
}

function encode(signal: Signal, rows: readonly WireRow[]): SignalBlock {
  if (rows.length > limits.blockRowsMax) throw new RangeError(`${rows.length} rows, allowed are ${limits.blockRowsMax}`);
  const fitting = rows.map((row) => shortenStrings(signal, row));
  const { columns } = encodeBlock(signal, fitting);
  return {
    signal: signal.name,
    schemaHash: schemaHash(signal),
    rows: rows.length,
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
