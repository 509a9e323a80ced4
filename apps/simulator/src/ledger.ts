// SPDX-License-Identifier: Apache-2.0
import { once } from "node:events";
import { createWriteStream, existsSync, openSync, readFileSync, truncateSync, type WriteStream } from "node:fs";
import type { Signal } from "@waggle/signals";
import type { WindowBlocks } from "./workload.ts";

/**
 * Sums over the rows of one signal, as decimal text: every measure that adds up, and for a histogram `min` and `max` over all rows, `buckets` (the
 * values in all buckets) and `bucketIndexes` (the same, each times its bucket's index: it tells when values lie in the wrong bucket).
 */
export type SignalSums = { readonly rows: number } & Readonly<Record<string, number | string>>;

/** One acknowledged window of one host, by signal. */
export interface LedgerLine {
  readonly host: string;
  /** ISO 8601, on the API's clock. */
  readonly windowStart: string;
  readonly windowMs: number;
  readonly signals: Readonly<Record<string, SignalSums>>;
}

/** The same over all windows of a host that started in an hour. An hour may have several lines: they add up. */
export interface LedgerTotalsLine {
  readonly host: string;
  readonly hour: string;
  readonly windows: number;
  readonly signals: Readonly<Record<string, SignalSums>>;
}

/** Sums up the rows of a window. */
export function sumsOfWindow(blocks: WindowBlocks): Record<string, SignalSums> {
  return Object.fromEntries(blocks.map(({ signal, block }) => [signal.name, sumsOfBlock(signal, block.rows, block.columns)]));
}

function sumsOfBlock(signal: Signal, rows: number, columns: readonly Uint8Array[]): SignalSums {
  const measures = columns.slice(signal.dimensions.length).map((bytes) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
  if (signal.kind !== "histogram") {
    const sums: Record<string, string> = {};
    signal.measures.forEach(({ name, kind }, index) => {
      if (kind === "sum") sums[name] = String(totalOf(measures[index] as Buffer));
    });
    return { rows, ...sums };
  }
  const [count, sum, min, max, k, c] = measures as [Buffer, Buffer, Buffer, Buffer, Buffer, Buffer];
  const inBuckets = c.subarray(rows * 8);
  return {
    rows,
    count: String(totalOf(count)),
    sum: String(totalOf(sum)),
    min: String(extreme(numbers(min), (value, least) => value < least)),
    max: String(extreme(numbers(max), (value, most) => value > most)),
    buckets: String(totalOf(inBuckets)),
    bucketIndexes: String(totalOf(inBuckets, (item) => k.readUInt16LE(rows * 8 + item * 2))),
  };
}

/** Items of at most 2^32 times a bucket's index, below 2^9, of which a double holds the exact sum. */
const EXACT_ITEMS = 2 ** 12;

/**
 * Sum of UInt64 values, each times a factor below 512. Added up as two halves: a BigInt per value would be most of the cost of a ledger.
 */
function totalOf(bytes: Buffer, factorOf: (item: number) => number = () => 1): bigint {
  const items = bytes.length / 8;
  let total = 0n;
  for (let from = 0; from < items; from += EXACT_ITEMS) {
    let [low, high] = [0, 0];
    for (let item = from; item < Math.min(items, from + EXACT_ITEMS); item++) {
      const factor = factorOf(item);
      low += bytes.readUInt32LE(item * 8) * factor;
      high += bytes.readUInt32LE(item * 8 + 4) * factor;
    }
    total += (BigInt(high) << 32n) + BigInt(low);
  }
  return total;
}

function extreme(values: readonly bigint[], isBetter: (value: bigint, best: bigint) => boolean): bigint {
  let best = values[0] as bigint;
  for (const value of values) if (isBetter(value, best)) best = value;
  return best;
}

function numbers(bytes: Buffer): bigint[] {
  return Array.from({ length: bytes.length / 8 }, (_, index) => bytes.readBigUInt64LE(index * 8));
}

/** Adds two sums of one signal. */
export function addSums(a: SignalSums | undefined, b: SignalSums): SignalSums {
  if (a === undefined) return b;
  const added: Record<string, number | string> = {};
  for (const [name, value] of Object.entries(b)) {
    const other = a[name] as typeof value;
    if (name === "rows") added[name] = Number(other) + Number(value);
    else if (name === "min") added[name] = BigInt(other) < BigInt(value) ? other : value;
    else if (name === "max") added[name] = BigInt(other) > BigInt(value) ? other : value;
    else added[name] = String(BigInt(other) + BigInt(value));
  }
  return added as SignalSums;
}

const HOUR_MS = 3_600_000;

/** The simulator's own account of what the API acknowledged, as JSON lines. What the store holds must equal it. */
export class Ledger {
  readonly #stream: WriteStream;
  /** By host and hour, in the totals form; undefined: one line per window. */
  readonly #totals: Map<string, { host: string; hourMs: number; windows: number; signals: Record<string, SignalSums> }> | undefined;
  #newestHourMs = 0;
  #failure: Error | undefined;

  /**
   * Throws an Error that names the file if it cannot be written.
   * @param onFailure called once when a line could not be written: the ledger is not the whole truth any more
   */
  constructor(path: string, form: "windows" | "totals", onFailure: (error: Error) => void) {
    this.#stream = createWriteStream(path, { fd: openOrExplain(path) });
    this.#stream.on("error", (error: Error) => {
      this.#failure = new Error(`the ledger ${path} cannot be written: ${error.message}`, { cause: error });
      onFailure(this.#failure);
    });
    this.#totals = form === "totals" ? new Map() : undefined;
  }

  acknowledged(host: string, windowStartMs: number, windowMs: number, blocks: WindowBlocks): void {
    const signals = sumsOfWindow(blocks);
    if (this.#totals === undefined) {
      const line: LedgerLine = { host, windowStart: new Date(windowStartMs).toISOString(), windowMs, signals };
      this.#stream.write(`${JSON.stringify(line)}\n`);
      return;
    }
    const hourMs = windowStartMs - (windowStartMs % HOUR_MS);
    const key = `${host} ${hourMs}`;
    let total = this.#totals.get(key);
    if (total === undefined) {
      total = { host, hourMs, windows: 0, signals: {} };
      this.#totals.set(key, total);
    }
    total.windows++;
    for (const [name, sums] of Object.entries(signals)) total.signals[name] = addSums(total.signals[name], sums);
    if (hourMs <= this.#newestHourMs) return;
    // Hours long past change no more, or rarely: another line then.
    this.#newestHourMs = hourMs;
    this.#writeTotals((candidate) => candidate.hourMs < hourMs - HOUR_MS);
  }

  async close(): Promise<void> {
    this.#writeTotals(() => true);
    if (this.#failure !== undefined) return;
    this.#stream.end();
    // A failure has been told already.
    await once(this.#stream, "finish").catch(() => {});
  }

  #writeTotals(isDue: (total: { hourMs: number }) => boolean): void {
    for (const [key, total] of this.#totals ?? []) {
      if (!isDue(total)) continue;
      const line: LedgerTotalsLine = { host: total.host, hour: new Date(total.hourMs).toISOString(), windows: total.windows, signals: total.signals };
      this.#stream.write(`${JSON.stringify(line)}\n`);
      this.#totals?.delete(key);
    }
  }
}

function openOrExplain(path: string): number {
  try {
    return openSync(path, "a", 0o640);
  } catch (error) {
    throw new Error(`the ledger ${path} cannot be written (${(error as NodeJS.ErrnoException).code ?? "error"})`, { cause: error });
  }
}

/** What a ledger holds of a host. */
export interface DeliveredWindows {
  /** Starts (Unix ms) of its windows, those that longer ones are made of too. */
  readonly starts: Set<number>;
  /** As they were sent: start (Unix ms), how many windows in one, and rows. */
  readonly frames: { readonly startMs: number; readonly windows: number; readonly rows: number }[];
}

/**
 * The windows of this length that a ledger holds, by host name; empty if there is no such file. A last line that a kill cut off is taken out of
 * the file, so that what is appended starts on a line of its own. Throws an Error that names file and line if it is no ledger of windows.
 */
export function readLedgerWindows(path: string, windowMs: number): Map<string, DeliveredWindows> {
  const windows = new Map<string, DeliveredWindows>();
  if (!existsSync(path)) return windows;
  const bytes = readFileSync(path);
  const end = bytes.lastIndexOf(0x0a) + 1;
  if (end < bytes.length) truncateSync(path, end);
  for (const [index, text] of bytes.toString("utf8", 0, end).split("\n").entries()) {
    if (text === "") continue;
    const { host, windowStart, windowMs: lengthMs, signals } = parseLine(path, index, text);
    let delivered = windows.get(host);
    if (delivered === undefined) {
      delivered = { starts: new Set(), frames: [] };
      windows.set(host, delivered);
    }
    const startMs = Date.parse(windowStart);
    delivered.frames.push({ startMs, windows: lengthMs / windowMs, rows: Object.values(signals).reduce((sum, { rows }) => sum + rows, 0) });
    for (let at = startMs; at < startMs + lengthMs; at += windowMs) delivered.starts.add(at);
  }
  return windows;
}

function parseLine(path: string, index: number, text: string): LedgerLine {
  try {
    const line = JSON.parse(text) as LedgerLine;
    const isWindow = typeof line.host === "string" && !Number.isNaN(Date.parse(line.windowStart)) && line.windowMs > 0;
    if (isWindow && typeof line.signals === "object" && line.signals !== null) return line;
  } catch {
    // Said below.
  }
  throw new Error(`line ${index + 1} of ${path} is no window of a ledger; name the file that --ledger wrote`);
}
