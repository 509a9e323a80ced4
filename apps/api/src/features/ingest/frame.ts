// SPDX-License-Identifier: Apache-2.0
import { type Hello, type Refusal, RefusalCode, type SignalRefusal } from "@waggle/proto";
import { type ColumnBlock, catalogue, getSignal, limits, packColumns, type Signal, schemaHash } from "@waggle/signals";
import { GrpcStatus } from "../../grpc/grpc-status.ts";
import { checkRows } from "./row-check.ts";
import type { WireSnapshot } from "./snapshot-reader.ts";

/** What one message of an agent may be at most. */
export const FRAME_BYTES_MAX = 4 * 1_024 * 1_024;
/** Rows of all signals of one window of one host. */
export const FRAME_ROWS_MAX = 100_000;
export const WINDOW_MS_MAX = 3_600_000;
/** How far a window may end after the API's now: NTP keeps hosts within this, and a batch is never older than it claims. */
export const FUTURE_MS_MAX = 60_000;

/** Rows of one signal in the memory of their frame. */
export interface FrameBlock {
  readonly signal: Signal;
  readonly rows: number;
  /** Of each wire column the first byte in the frame's memory and the one behind its last. */
  readonly spans: readonly number[];
}

/** Whose rows, of when: what a frame says besides them. */
export interface FrameHead {
  readonly tenant: string;
  readonly host: string;
  readonly sequence: bigint;
  /** True start of the window on the API's clock, Unix milliseconds. */
  readonly tsMs: number;
  readonly windowMs: number;
  readonly clockOffsetMs: bigint;
  readonly bootId: string;
  /** How many of the agent's windows it speaks for, at least 1. */
  readonly windows: number;
}

/** A snapshot that passed every check, with its sender. Its columns may be concatenated with any other frame's. */
export interface Frame extends FrameHead {
  readonly blocks: readonly FrameBlock[];
  readonly rows: number;
  /** Holds the columns; nobody writes to it until the frame is stored. */
  readonly memory: Uint8Array;
}

/** A frame of rows that are known to be good. */
export function frameOf(head: FrameHead, blocks: readonly ({ readonly signal: Signal } & ColumnBlock)[]): Frame {
  const { memory, spans } = packColumns(blocks.flatMap(({ columns }) => columns));
  let at = 0;
  return {
    ...head,
    memory,
    rows: blocks.reduce((sum, block) => sum + block.rows, 0),
    blocks: blocks.map(({ signal, rows, columns }) => {
      const first = at;
      at += columns.length * 2;
      return { signal, rows, spans: spans.slice(first, at) };
    }),
  };
}

export interface Sender {
  readonly organisationId: string;
  readonly hostId: string;
}

/** From when on raw rows are whole, and why no longer; as `RawFloor` knows it. */
export interface OldestWindow {
  rawFloorMs(nowMs: number): number;
  reason(nowMs: number): string;
}

export type FrameCheck = { readonly frame: Frame } | { readonly refusal: Refusal };

/**
 * Checks a snapshot completely, so that what follows can treat its columns as bytes.
 * @param nowMs the API's clock
 * @returns a frame in the snapshot's own memory
 */
export function checkSnapshot(snapshot: WireSnapshot, sender: Sender, nowMs: number, oldest: OldestWindow): FrameCheck {
  const refuse = (code: RefusalCode, reason: string): FrameCheck => ({ refusal: refusalOf(snapshot.sequence, code, reason, nowMs) });
  if (snapshot.sequence < 1n) return refuse(RefusalCode.MALFORMED, "sequence is 0; sequences start at 1");
  const { windowMs } = snapshot;
  if (windowMs < 1 || windowMs > WINDOW_MS_MAX) return refuse(RefusalCode.MALFORMED, `window_ms is ${windowMs}, allowed are 1 to ${WINDOW_MS_MAX}`);
  if (snapshot.windows > windowMs) return refuse(RefusalCode.MALFORMED, `windows is ${snapshot.windows}; ${windowMs} ms cannot hold so many`);
  if (snapshot.bootId.length > 64) return refuse(RefusalCode.MALFORMED, "boot_id is longer than 64 characters");

  const ts = snapshot.windowStartMs + snapshot.clockOffsetMs;
  const end = ts + BigInt(windowMs);
  if (end > BigInt(nowMs + FUTURE_MS_MAX)) {
    const aheadSeconds = (end - BigInt(nowMs)) / 1_000n;
    return refuse(
      RefusalCode.CLOCK_SKEW,
      `the window ends ${aheadSeconds} s after the API's clock, allowed are ${FUTURE_MS_MAX / 1_000}; correct clock_offset_ms by server_time_ms`,
    );
  }
  if (ts < BigInt(oldest.rawFloorMs(nowMs))) {
    return refuse(RefusalCode.TOO_OLD, `the window began ${(BigInt(nowMs) - ts) / 3_600_000n} h ago; ${oldest.reason(nowMs)}`);
  }

  const { memory } = snapshot;
  const view = new DataView(memory.buffer, memory.byteOffset, memory.byteLength);
  const blocks: FrameBlock[] = [];
  const seen = new Set<string>();
  let rows = 0;
  let hasCoverage = false;
  for (const block of snapshot.blocks) {
    const signal = getSignal(block.signal);
    if (signal === undefined) return refuse(RefusalCode.UNKNOWN_SIGNAL, `the signal "${block.signal.slice(0, 64)}" is not in this API's catalogue`);
    if (signal.source === "server") return refuse(RefusalCode.UNKNOWN_SIGNAL, `${signal.name} is made by the API; no agent sends it`);
    if (seen.has(signal.name)) return refuse(RefusalCode.MALFORMED, `${signal.name}: more than one block in the snapshot`);
    seen.add(signal.name);
    if (block.schemaHash !== schemaHashOf(signal)) return refuse(RefusalCode.SCHEMA_MISMATCH, schemaMismatch(signal));
    if (block.rows > limits.blockRowsMax)
      return refuse(RefusalCode.TOO_LARGE, `${signal.name}: ${block.rows} rows, allowed are ${limits.blockRowsMax} in one window`);
    const problem = checkRows(signal, block.rows, memory, view, block.spans);
    if (problem !== undefined) return refuse(RefusalCode.MALFORMED, problem);
    rows += block.rows;
    if (signal.name === "agent_coverage") hasCoverage = block.rows > 0;
    if (block.rows === 0) continue;
    blocks.push({ signal, rows: block.rows, spans: block.spans });
  }
  if (rows > FRAME_ROWS_MAX) return refuse(RefusalCode.TOO_LARGE, `${rows} rows in one snapshot, allowed are ${FRAME_ROWS_MAX}`);
  // Without it the window's absent rows could be zeros or gaps, and nobody could ever tell.
  if (!hasCoverage) return refuse(RefusalCode.MALFORMED, "agent_coverage has no row; every snapshot says in what state its signals were");
  return {
    frame: {
      tenant: sender.organisationId,
      host: sender.hostId,
      sequence: snapshot.sequence,
      tsMs: Number(ts),
      windowMs,
      clockOffsetMs: snapshot.clockOffsetMs,
      bootId: snapshot.bootId,
      windows: Math.max(1, snapshot.windows),
      blocks,
      rows,
      memory,
    },
  };
}

/** The refusal of one snapshot. */
export function refusalOf(sequence: bigint, code: RefusalCode, reason: string, nowMs: number): Refusal {
  return {
    sequence,
    status: grpcStatuses[code],
    code,
    reason,
    retry: code === RefusalCode.STORAGE_UNAVAILABLE || code === RefusalCode.LIMIT_EXCEEDED,
    serverTimeMs: BigInt(nowMs),
  };
}

const grpcStatuses: Readonly<Record<RefusalCode, GrpcStatus>> = {
  [RefusalCode.UNSPECIFIED]: GrpcStatus.UNKNOWN,
  [RefusalCode.MALFORMED]: GrpcStatus.INVALID_ARGUMENT,
  [RefusalCode.TOO_LARGE]: GrpcStatus.RESOURCE_EXHAUSTED,
  [RefusalCode.CLOCK_SKEW]: GrpcStatus.INVALID_ARGUMENT,
  [RefusalCode.TOO_OLD]: GrpcStatus.OUT_OF_RANGE,
  [RefusalCode.UNKNOWN_SIGNAL]: GrpcStatus.INVALID_ARGUMENT,
  [RefusalCode.SCHEMA_MISMATCH]: GrpcStatus.FAILED_PRECONDITION,
  [RefusalCode.STORAGE_UNAVAILABLE]: GrpcStatus.UNAVAILABLE,
  [RefusalCode.LIMIT_EXCEEDED]: GrpcStatus.RESOURCE_EXHAUSTED,
};

/** Lower-case name of a refusal code, as metrics and logs show it. */
export function refusalName(code: RefusalCode): string {
  for (const [name, value] of Object.entries(RefusalCode)) if (value === code) return name.toLowerCase();
  return "unspecified";
}

/** Signals of a Hello whose blocks would be refused, with the reason. */
export function refusedSignals(hello: Hello): SignalRefusal[] {
  const refused: SignalRefusal[] = [];
  for (const { name, schemaHash: hash } of hello.signals) {
    const signal = getSignal(name);
    if (signal === undefined) refused.push({ signal: name, reason: "not in this API's catalogue; the agent is newer than the API" });
    else if (hash !== schemaHashOf(signal)) refused.push({ signal: name, reason: schemaMismatch(signal) });
  }
  return refused;
}

function schemaMismatch(signal: Signal): string {
  return `${signal.name}: agent and API disagree on its columns; run the same version of both (here: ${schemaHashOf(signal)})`;
}

const hashes = new Map(catalogue.map((signal) => [signal.name, schemaHash(signal)]));
function schemaHashOf(signal: Signal): string | undefined {
  return hashes.get(signal.name);
}
