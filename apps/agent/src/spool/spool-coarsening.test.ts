// SPDX-License-Identifier: Apache-2.0
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { Snapshot } from "@waggle/proto";
import { type CoverageState, decodeBlock, getSignalOrThrow } from "@waggle/signals";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { madeUpSnapshot } from "../../test/support/windows.ts";
import { silentLogger } from "../log.ts";
import { writeDurably } from "./durable-file.ts";
import { decodeFrameHeader } from "./frame-file.ts";
import { Spool, type SpoolOptions } from "./spool.ts";

const hour = 1_699_999_200_000;
const bootTag = 7n;
const retransmits = getSignalOrThrow("tcp_retransmits");

let root: string;
let stateDirectory: string;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "waggle-coarsening-"));
  stateDirectory = join(root, "state");
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

function open(options: Partial<SpoolOptions> = {}): Spool {
  return Spool.open({ stateDirectory, bytesMax: 1e8, framesMax: 1_000, log: silentLogger, ...options });
}

interface Spooled {
  readonly startMs?: number;
  readonly windowMs?: number;
  readonly state?: CoverageState;
  readonly shiftMs?: number;
  readonly knownOffsetMs?: number;
  readonly bootTag?: bigint;
}

/** Window number `index`, which counted 2^index segments: a sum of windows says which are in it, and twice is another number. */
async function append(
  spool: Spool,
  index: number,
  { windowMs = 10_000, startMs = hour + index * windowMs, state, ...info }: Spooled = {},
): Promise<number> {
  const names = Object.fromEntries(retransmits.dimensions.map((name) => [name, name]));
  const snapshot = madeUpSnapshot({
    startMs,
    windowMs,
    rows: { tcp_retransmits: [{ ...names, segments: 1n << BigInt(index) }] },
    ...(state && { state }),
  });
  const rows = snapshot.blocks.reduce((sum, block) => sum + block.rows, 0);
  return spool.append({
    windowStartMs: startMs,
    windowMs,
    rows,
    shiftMs: 1_000,
    bootTag,
    ...info,
    encode: (sequence) => Snapshot.encode({ ...snapshot, sequence: BigInt(sequence) }).finish(),
  });
}

async function waiting(spool: Spool): Promise<Snapshot[]> {
  const snapshots: Snapshot[] = [];
  for (const sequence of spool.sequences()) {
    const frame = await spool.read(sequence);
    if (frame !== undefined) snapshots.push(Snapshot.decode(frame.payload));
  }
  return snapshots;
}

function segmentsOf({ blocks }: Snapshot): bigint {
  const block = blocks.find((candidate) => candidate.signal === retransmits.name);
  return block === undefined ? 0n : decodeBlock(retransmits, block).reduce((sum, row) => sum + (row["segments"] as bigint), 0n);
}

const segments = (snapshots: readonly Snapshot[]) => snapshots.reduce((sum, snapshot) => sum + segmentsOf(snapshot), 0n);
const windowsOf = (snapshots: readonly Snapshot[]) => snapshots.map((snapshot) => snapshot.windows);
const rowsOf = (snapshots: readonly Snapshot[]) => snapshots.flatMap((snapshot) => snapshot.blocks).reduce((sum, block) => sum + block.rows, 0);
const firsts = (count: number) => (1n << BigInt(count)) - 1n;

function claimed(spool: Spool): Record<string, number> {
  const sum: Record<string, number> = { windows: 0, rows: 0, frames: 0, droppedWindows: 0, refusedWindows: 0 };
  for (const claim of spool.claims()) for (const name of Object.keys(sum)) sum[name] = (sum[name] as number) + claim[name as keyof typeof claim];
  return sum;
}

describe("Spool that is filling", () => {
  it("merges waiting windows of a minute, leaves the newest two alone, and loses nothing", async () => {
    const spool = open({ framesMax: 20 });
    for (let index = 0; index < 30; index++) await append(spool, index);
    const snapshots = await waiting(spool);
    expect(segments(snapshots)).toBe(firsts(30));
    expect(windowsOf(snapshots).slice(0, 3)).toEqual([6, 6, 6]);
    expect(windowsOf(snapshots).slice(-2)).toEqual([1, 1]);
    expect(snapshots[1]).toMatchObject({ sequence: 7n, windowStartMs: BigInt(hour + 60_000), windowMs: 60_000 });
    expect(spool.state).toMatchObject({ windows: 30, droppedFrames: 0, frames: snapshots.length });
    expect(spool.state.coarsenedWindows).toBe(windowsOf(snapshots).reduce((sum, windows) => sum + (windows > 1 ? windows : 0), 0));
    expect(readdirSync(join(stateDirectory, "spool"))).toHaveLength(snapshots.length);
    expect(claimed(spool)).toEqual({ windows: 30, frames: snapshots.length, rows: rowsOf(snapshots), droppedWindows: 0, refusedWindows: 0 });
  });

  it("goes on to five minutes and an hour, and drops the oldest only when nothing is left to merge", async () => {
    const spool = open({ framesMax: 10 });
    const half = { windowMs: 30_000 };
    for (let index = 0; index < 3 * 120; index++) await append(spool, index % 60, { ...half, startMs: hour + index * 30_000 });
    expect(spool.state).toMatchObject({ windows: 3 * 120, droppedFrames: 0 });
    const snapshots = await waiting(spool);
    expect(snapshots[0]).toMatchObject({ windows: 120, windowMs: 3_600_000, windowStartMs: BigInt(hour) });
    expect(spool.claims().map(({ windows, frames }) => [windows, frames])).toEqual([
      [120, 1],
      [120, 1],
      [120, snapshots.length - 2],
    ]);
    // Windows with gaps between them cannot be merged.
    for (let index = 0; index < 12; index++) await append(spool, 0, { ...half, startMs: hour + (200 + index) * 60_000 });
    expect(spool.state.frames).toBe(10);
    expect(spool.state.lostWindows).toBeGreaterThanOrEqual(240);
    expect(claimed(spool)).toMatchObject({ windows: 3 * 120 + 12, droppedWindows: spool.state.lostWindows });
    expect(spool.state.windows + spool.state.lostWindows).toBe(3 * 120 + 12);
  }, 30_000);

  it("merges by bytes as well as by frames", async () => {
    const spool = open({ bytesMax: 20_000 });
    for (let index = 0; index < 40; index++) await append(spool, index);
    expect(spool.state).toMatchObject({ windows: 40, droppedFrames: 0 });
    expect(spool.state.bytes).toBeLessThan(20_000);
    expect(segments(await waiting(spool))).toBe(firsts(40));
  });

  it("never merges a window that may have been sent, also not after a restart", async () => {
    const spool = open({ framesMax: 20 });
    for (let index = 0; index < 8; index++) await append(spool, index);
    for (const sequence of [2, 4]) spool.stamp(sequence, 0);
    const reopened = open({ framesMax: 10 });
    for (let index = 8; index < 14; index++) await append(reopened, index);
    const snapshots = await waiting(reopened);
    expect(snapshots.slice(0, 4).map((snapshot) => [Number(snapshot.sequence), snapshot.windows])).toEqual([
      [1, 1],
      [2, 1],
      [3, 1],
      [4, 1],
    ]);
    expect(segments(snapshots)).toBe(firsts(14));
    expect(reopened.state.coarsenedWindows).toBeGreaterThan(0);
  });

  it.each([
    ["in other states", { state: "failed" }],
    ["of an earlier boot", { bootTag: 8n }],
    ["of another setting of the clock", { shiftMs: 500_000 }],
    ["of another clock offset", { knownOffsetMs: 90_000 }],
    ["behind a gap", { startMs: hour + 61_000 - 10_000 }],
  ] as const)("does not mix windows %s with others", async (_what, info) => {
    const spool = open({ framesMax: 10 });
    for (let index = 0; index < 5; index++) await append(spool, index);
    await append(spool, 5, info);
    for (let index = 6; index < 12; index++) await append(spool, index);
    const snapshots = await waiting(spool);
    expect(snapshots.filter((snapshot) => (segmentsOf(snapshot) & (1n << 5n)) !== 0n).map((snapshot) => snapshot.windows)).toEqual([1]);
    expect(segments(snapshots)).toBe(firsts(12));
    expect(Math.max(...windowsOf(snapshots))).toBeGreaterThan(1);
  });

  it("does not send what is being merged, and says that it is there", async () => {
    const spool = open({ framesMax: 10 });
    for (let index = 0; index < 5; index++) await append(spool, index);
    const appending = append(spool, 5);
    const seen: number[][] = [];
    for (let isDone = false; !isDone; ) {
      isDone = await Promise.race([appending.then(() => true), new Promise<boolean>((resolve) => setImmediate(() => resolve(false)))]);
      seen.push([...spool.sequences()]);
      expect(spool.state.windows).toBe(6);
      for (const sequence of seen.at(-1) as number[]) expect(spool.isWaiting(sequence)).toBe(true);
    }
    expect(seen.some((sequences) => !sequences.includes(1))).toBe(true);
    expect(seen.at(-1)).toEqual([1, 5, 6]);
    expect(await spool.read(2)).toBeUndefined();
  });
});

interface KilledState {
  readonly directory: string;
  /** Windows whose frame was certainly written. */
  readonly appended: number;
}

describe("Spool that is killed while it merges", () => {
  /** Every state of the directory that a kill could leave, as copies; `merges`: with a merged file in place and nothing deleted. */
  async function killEverywhere(): Promise<{ states: KilledState[]; merges: (KilledState & { file: string })[] }> {
    const states: KilledState[] = [];
    const merges: (KilledState & { file: string })[] = [];
    let appended = 0;
    const copy = (): string => {
      const directory = join(root, `killed-${states.length}`);
      cpSync(stateDirectory, directory, { recursive: true });
      states.push({ directory, appended });
      return directory;
    };
    const spool = open({
      framesMax: 10,
      write: async (path, bytes) => {
        copy();
        const isMerge = path.endsWith(".frame") && existsSync(path);
        const temporary = (directory: string) => join(directory, `${path.slice(stateDirectory.length)}.tmp`);
        writeFileSync(temporary(copy()), Buffer.from(bytes).subarray(0, bytes.length / 2));
        writeFileSync(temporary(copy()), bytes);
        await writeDurably(path, bytes);
        const directory = copy();
        if (isMerge) merges.push({ directory, appended, file: path.slice(stateDirectory.length) });
      },
    });
    for (; appended < 14; appended++) await append(spool, appended);
    copy();
    return { states, merges };
  }

  it("has every window once, at whatever point that was, and claims what it made", async () => {
    const { states, merges } = await killEverywhere();
    expect(merges.length).toBeGreaterThan(3);
    for (const { directory, appended, file } of merges) {
      const header = decodeFrameHeader(readFileSync(join(directory, file)));
      const through = typeof header === "string" ? 0 : (header.extent?.throughSequence ?? 0);
      const covered = readdirSync(join(directory, "spool")).filter((name) => name > basename(file) && Number.parseInt(name, 10) <= through);
      expect(covered.length).toBeGreaterThan(0);
      for (let gone = 1; gone <= covered.length; gone++) {
        const partly = `${directory}-${gone}`;
        cpSync(directory, partly, { recursive: true });
        for (const name of covered.slice(0, gone)) rmSync(join(partly, "spool", name));
        states.push({ directory: partly, appended });
      }
    }
    for (const { directory, appended } of states) {
      const spool = open({ stateDirectory: directory });
      const snapshots = await waiting(spool);
      const made = segments(snapshots) === firsts(appended) ? appended : appended + 1;
      expect(segments(snapshots), directory).toBe(firsts(made));
      expect(claimed(spool), directory).toEqual({
        windows: made,
        frames: snapshots.length,
        rows: rowsOf(snapshots),
        droppedWindows: 0,
        refusedWindows: 0,
      });
      expect(spool.state, directory).toMatchObject({ windows: made, corruptFrames: 0 });
      expect(claimed(open({ stateDirectory: directory })), directory).toEqual(claimed(spool));
    }
  }, 60_000);

  it("sends what is left of a merge whose file is torn, and counts what is not", async () => {
    const { merges } = await killEverywhere();
    for (const { directory, appended, file } of merges) {
      truncateSync(join(directory, file), statSync(join(directory, file)).size - 5);
      const spool = open({ stateDirectory: directory });
      const snapshots = await waiting(spool);
      const left = windowsOf(snapshots).reduce((sum, windows) => sum + windows, 0);
      expect(left, directory).toBeLessThan(appended + 1);
      expect(
        [...segments(snapshots).toString(2)].filter((bit) => bit === "1"),
        directory,
      ).toHaveLength(left);
      expect(spool.state, directory).toMatchObject({ windows: left, lostWindows: appended + 1 - left, corruptFrames: 1 });
      expect(claimed(spool), directory).toEqual({
        windows: appended + 1,
        frames: snapshots.length,
        rows: rowsOf(snapshots),
        droppedWindows: appended + 1 - left,
        refusedWindows: 0,
      });
    }
  }, 60_000);
});

describe("Spool that is killed otherwise", () => {
  it("does not bring back windows that were given up, and claims that they were", async () => {
    const copy = join(root, "killed");
    const spool = open({
      framesMax: 4,
      write: async (path, bytes) => {
        await writeDurably(path, bytes);
        if (path.endsWith("progress.json")) {
          rmSync(copy, { recursive: true, force: true });
          cpSync(stateDirectory, copy, { recursive: true });
        }
      },
    });
    for (let index = 0; index < 6; index++) await append(spool, index, { startMs: hour + index * 20_000 });
    expect(readdirSync(join(copy, "spool"))).toHaveLength(5);
    const killed = open({ stateDirectory: copy, framesMax: 4 });
    expect([...killed.sequences()]).toEqual([3, 4, 5, 6]);
    expect(claimed(killed)).toMatchObject({ windows: 6, frames: 4, droppedWindows: 2 });
  });

  it("claims windows that were refused or unreadable although it could not write that down", async () => {
    const spool = open();
    for (let index = 0; index < 4; index++) await append(spool, index);
    spool.refuse(1, "why");
    truncateSync(join(stateDirectory, "spool", "00000000000000000003.frame"), 100);
    expect(await spool.read(3)).toBeUndefined();
    for (const killed of [open(), open()]) {
      expect(claimed(killed)).toMatchObject({ windows: 4, frames: 2, refusedWindows: 1, droppedWindows: 1 });
      expect(claimed(killed)["rows"]).toBe(rowsOf(await waiting(killed)));
    }
    const going = open();
    await append(going, 4);
    expect(claimed(open())).toMatchObject({ windows: 5, frames: 3, refusedWindows: 1, droppedWindows: 1 });
  });

  it("gives no new window a sequence inside a merged one when progress.json is lost, or the next start would delete it as merged", async () => {
    const first = open({ framesMax: 20 });
    for (let index = 0; index < 12; index++) await append(first, index);
    const [merged] = first.sequences();
    // The newest go first, so what waits in the end is what was merged.
    for (const sequence of [...first.sequences()].slice(1)) first.acknowledge(sequence);
    expect(await waiting(first)).toMatchObject([{ sequence: BigInt(merged as number), windows: 6 }]);
    rmSync(join(stateDirectory, "progress.json"));
    await append(open({ framesMax: 20 }), 20);
    const snapshots = await waiting(open({ framesMax: 20 }));
    expect(segments(snapshots)).toBe(firsts(6) + (1n << 20n));
    expect(windowsOf(snapshots)).toEqual([6, 1]);
  });

  it("claims again what still waits when progress.json is lost", async () => {
    const spool = open();
    for (let index = 0; index < 4; index++) await append(spool, index);
    spool.acknowledge(1);
    rmSync(join(stateDirectory, "progress.json"));
    expect(claimed(open())).toMatchObject({ windows: 3, frames: 3 });
  });
});

describe("Spool whose directory is removed while it runs", () => {
  it("makes it again, counts what was in it as lost, and goes on", async () => {
    const spool = open();
    for (let index = 0; index < 3; index++) await append(spool, index);
    rmSync(stateDirectory, { recursive: true });
    await append(spool, 3);
    expect(await waiting(spool)).toHaveLength(1);
    expect(spool.state).toMatchObject({ frames: 1, corruptFrames: 3, lostWindows: 3, problem: undefined });
    spool.refuse(4, "why");
    await append(spool, 4);
    expect(claimed(open())).toMatchObject({ windows: 5, frames: 1, refusedWindows: 1, droppedWindows: 3 });
  });
});

describe("Spool while the disk takes nothing", () => {
  it("merges windows in memory before it gives up any", async () => {
    const spool = open({
      memoryBytesMax: 12_000,
      write: () => Promise.reject(Object.assign(new Error("EIO: i/o error"), { code: "EIO" })),
    });
    for (let index = 0; index < 24; index++) await append(spool, index);
    const snapshots = await waiting(spool);
    expect(segments(snapshots)).toBe(firsts(24));
    expect(spool.state).toMatchObject({ windows: 24, droppedFrames: 0, problem: expect.stringContaining("EIO") });
    expect(spool.state.coarsenedWindows).toBeGreaterThan(6);
  });
});
