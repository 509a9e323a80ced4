// SPDX-License-Identifier: Apache-2.0
import { closeSync, openSync, readdirSync, readFileSync, readSync, renameSync, rmSync, statSync, writeFileSync, writeSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { makeDirectory } from "@waggle/directory";
import { Snapshot } from "@waggle/proto";
import type { Logger } from "../log.ts";
import { mergeSnapshots } from "./coarsen.ts";
import { temporarySuffix, writeDurably } from "./durable-file.ts";
import {
  decodeFrameFile,
  decodeFrameHeader,
  encodeFrameFile,
  encodeStamp,
  type FrameExtent,
  type FrameFile,
  type FrameHeader,
  type FrameInfo,
  frameHeaderBytes,
  stampPosition,
} from "./frame-file.ts";
import type { HourClaim } from "./hour-claims.ts";
import { coarseLengthsMs, findMergeableRun, type MergeCandidate, slewMsMax } from "./mergeable-run.ts";
import { type AnnouncedMerge, encodeProgress, newProgress, type Progress, readProgress } from "./progress-file.ts";

export interface SpoolOptions {
  /** The agent's state directory; the spool owns `spool/`, `refused/`, `corrupt/` and `progress.json` in it. */
  readonly stateDirectory: string;
  readonly bytesMax: number;
  /** How many files. */
  readonly framesMax: number;
  /** The age bound, as the summed length of windows: a wall clock that jumps a year must not empty the spool. Milliseconds. */
  readonly spanMsMax?: number;
  /** Rows of one signal in merged windows; the rest goes to `~other`. */
  readonly rowsMax?: number;
  /** Bytes held in memory while the disk takes nothing. */
  readonly memoryBytesMax?: number;
  /** Called between the steps of a merge, each of which leaves garbage. */
  readonly trimMemory?: () => void;
  readonly log: Logger;
  /** Writes a file for good; replaced in tests to act a full disk. */
  readonly write?: (path: string, bytes: Uint8Array | string) => Promise<void>;
}

/** A window's frame on its way into the spool. */
export interface NewFrame extends Omit<FrameInfo, "sentOffsetMs"> {
  readonly windowStartMs: number;
  /** Length of the window, milliseconds. */
  readonly windowMs: number;
  /** Rows of all its blocks. */
  readonly rows: number;
  /** Encodes the Snapshot under the sequence it is given. */
  readonly encode: (sequence: number) => Uint8Array;
}

export interface SpoolState {
  /** Frames and bytes not acknowledged, in memory included. */
  readonly frames: number;
  readonly bytes: number;
  readonly memoryFrames: number;
  /** Windows in these frames; more than frames where windows were merged. */
  readonly windows: number;
  /** 0 if nothing waits. */
  readonly firstSequence: number;
  readonly lastSequence: number;
  /** Since the agent started: given up because the spool was full, or unreadable and so lost. */
  readonly droppedFrames: number;
  readonly corruptFrames: number;
  /** Windows in both. */
  readonly lostWindows: number;
  /** Refused for good by the API since the agent started. */
  readonly refusedFrames: number;
  /** Merged into longer ones since the agent started. */
  readonly coarsenedWindows: number;
  /** Length to which windows are merged now, as the spool is filling; undefined while there is room. Milliseconds. */
  readonly coarseLengthMs: number | undefined;
  /** What keeps the disk from being used now; undefined if nothing does. */
  readonly problem: string | undefined;
}

interface Entry extends MergeCandidate {
  bytes: number;
  /** Set while the frame is in memory only. */
  memory: Buffer | undefined;
  readonly windows: number;
  readonly rows: number;
  readonly throughSequence: number;
  isUnsent: boolean;
  startsAnew: boolean;
  /** Being written or merged: not to be sent now. */
  isHidden: boolean;
}

/** A merge that is worked out and not yet done. */
interface Merge {
  readonly run: readonly (readonly [number, Entry])[];
  readonly bytes: Buffer;
  readonly extent: FrameExtent;
  readonly announced: AnnouncedMerge;
}

/** A merged frame that became unreadable while some of what was merged is still there: what is lost with it. */
interface TornMerge {
  readonly sequence: number;
  readonly windowStartMs: number;
  readonly windows: number;
  /** Its rows less those of the frames that are still there. */
  readonly rows: number;
}

const nameDigits = 20;
const frameSuffix = ".frame";
/** Refused and unreadable frames are evidence for a person, not data on its way: a few are enough. */
const keptFilesMax = 32;
const keptBytesMax = 16 * 1024 * 1024;
const keptDirectories = ["refused", "corrupt"] as const;
/** How full the spool is when windows are merged to each of `coarseLengthsMs`. */
const coarsenAt = [0.5, 0.65, 0.8] as const;
/** Runs looked at per window that comes in; one merge is enough, as it frees more than a window needs. */
const mergeAttemptsMax = 3;
/** What the API takes at least (Config.frame_bytes_max is 4 MiB unless it is configured otherwise). */
const mergedBytesMax = 4_000_000;
/** The newest frames are on their way or about to be. */
const liveFrames = 2;

/**
 * What the API has not acknowledged yet: one file per frame, bounded. A frame is on disk before it is sent and leaves it when it is
 * acknowledged, refused for good, or the oldest of a full spool. Before a spool gets full, windows that were never sent are merged into longer ones. One
 * process at a time may use a state directory.
 */
export class Spool {
  readonly #options: SpoolOptions;
  readonly #write: (path: string, bytes: Uint8Array | string) => Promise<void>;
  readonly #memoryBytesMax: number;
  /** By sequence, ascending: sequences only rise, so insertion order is the order. */
  readonly #entries = new Map<number, Entry>();
  readonly #setAside = new Set<number>();
  #bytes = 0;
  #windows = 0;
  #spanMs = 0;
  #memoryBytes = 0;
  #memoryFrames = 0;
  #progress: Progress = newProgress();
  #droppedFrames = 0;
  #corruptFrames = 0;
  #lostWindows = 0;
  #refusedFrames = 0;
  #coarsenedWindows = 0;
  /** The coarsest since the spool was last well below where merging begins. */
  #coarseLengthMs: number | undefined;
  #problem: string | undefined;

  private constructor(options: SpoolOptions) {
    this.#options = options;
    this.#write = options.write ?? writeDurably;
    this.#memoryBytesMax = options.memoryBytesMax ?? 4 * 1024 * 1024;
  }

  /** Opens or creates the spool. Throws an Error that names the directory if it cannot be used at all. */
  static open(options: SpoolOptions): Spool {
    const spool = new Spool(options);
    try {
      spool.#makeDirectories();
      spool.#load();
    } catch (error) {
      throw new Error(
        `the state directory ${options.stateDirectory} cannot be used (${(error as Error).message}); create it for the agent's user or set WAGGLE_AGENT_STATE_DIRECTORY`,
        {
          cause: error,
        },
      );
    }
    return spool;
  }

  get state(): SpoolState {
    return {
      frames: this.#entries.size,
      bytes: this.#bytes,
      memoryFrames: this.#memoryFrames,
      windows: this.#windows,
      firstSequence: this.#entries.keys().next().value ?? 0,
      lastSequence: this.#progress.sequence,
      droppedFrames: this.#droppedFrames,
      corruptFrames: this.#corruptFrames,
      lostWindows: this.#lostWindows,
      refusedFrames: this.#refusedFrames,
      coarsenedWindows: this.#coarsenedWindows,
      coarseLengthMs: this.#coarseLengthMs,
      problem: this.#problem,
    };
  }

  /** Start of the newest window ever recorded here; 0 if there was none. */
  get lastWindowStartMs(): number {
    return this.#progress.windowStartMs;
  }

  /** Rises when the figures of some hour change. */
  get claimsRevision(): number {
    return this.#progress.hours.revision;
  }

  /** What became of the windows of the newest two hours, of hours from `fromMs` on, and of hours that changed after `revision`; oldest first. */
  claims(since: { readonly fromMs?: number; readonly revision?: number } = {}): HourClaim[] {
    return this.#progress.hours.list(since);
  }

  /** True for the newest frames: what is happening now, as opposed to what waits from before. */
  isLive(sequence: number): boolean {
    return sequence > this.#progress.sequence - liveFrames;
  }

  /** False once the frame is acknowledged, refused, dropped or merged into another. */
  has(sequence: number): boolean {
    return this.#entries.has(sequence);
  }

  /** True if the frame waits and may be sent now. */
  isWaiting(sequence: number): boolean {
    return this.#entries.get(sequence)?.isHidden === false;
  }

  /** Sequences that wait and may be sent, oldest first. Frames may be acknowledged, refused and dropped while iterating. */
  *sequences(): IterableIterator<number> {
    for (const [sequence, entry] of this.#entries) if (!entry.isHidden) yield sequence;
  }

  /**
   * Stores a window's frame and returns its sequence. Never throws for a full or failing disk: the frame is then held in memory, within
   * bounds, and written later. Calls must not overlap.
   */
  async append(frame: NewFrame): Promise<number> {
    const sequence = this.#progress.sequence + 1;
    const { windowStartMs, windowMs, rows, shiftMs, bootTag, knownOffsetMs } = frame;
    const extent: FrameExtent = { windowStartMs, windowMs, windows: 1, rows, throughSequence: sequence };
    const bytes = encodeFrameFile({ payload: frame.encode(sequence), shiftMs, bootTag, knownOffsetMs, extent });
    const entry = newEntry(extent, { shiftMs, bootTag, knownOffsetMs }, bytes.length, bytes);
    entry.isHidden = true;
    this.#progress = { ...this.#progress, sequence, windowStartMs };
    this.#progress.hours.add(windowStartMs, { windows: 1, rows, frames: 1 });
    this.#entries.set(sequence, entry);
    this.#tally(entry, 1);
    const files = this.#dropBeyondBounds();
    let merge: Merge | undefined;
    try {
      await this.#flushMemory();
      merge = await this.#planMerge(bootTag, false);
      await this.#saveProgress(merge);
      if (merge !== undefined) await this.#merge(merge);
      merge = undefined;
      if (this.#problem !== undefined) this.#options.log.info("spool writes to disk again", { directory: this.#options.stateDirectory });
      this.#problem = undefined;
    } catch (error) {
      if (merge !== undefined) this.#cancelMerge(merge);
      const problem = (error as Error).message;
      if (this.#problem === undefined) this.#options.log.error("spool cannot write to disk, holding windows in memory", { error: problem });
      this.#problem = problem;
      await this.#makeRoomInMemory(bootTag, ["ENOSPC", "EDQUOT"].includes((error as NodeJS.ErrnoException).code ?? ""));
    } finally {
      entry.isHidden = false;
      for (const file of files) this.#deleteFile(file);
      this.#progress.hours.forget(this.#entries.values().next().value?.windowStartMs ?? windowStartMs);
    }
    return sequence;
  }

  /** The frame, or undefined if it is gone or not to be sent now. An unreadable file is set aside, counted, and gone. */
  async read(sequence: number): Promise<FrameFile | undefined> {
    const entry = this.#entries.get(sequence);
    if (entry === undefined || entry.isHidden) return undefined;
    const frame = await this.#readEntry(sequence, entry);
    // Merged, acknowledged or dropped while it was being read.
    return entry.isHidden || this.#entries.get(sequence) !== entry ? undefined : frame;
  }

  /** Remembers, beyond a crash of the agent, with what clock offset a frame is being sent. */
  stamp(sequence: number, sentOffsetMs: number): void {
    const entry = this.#entries.get(sequence);
    if (entry === undefined) return;
    entry.isUnsent = false;
    const stamp = encodeStamp({ sentOffsetMs });
    if (entry.memory !== undefined) stamp.copy(entry.memory, stampPosition);
    else this.#stampFile(sequence, stamp);
  }

  /** The API has stored the frame. Returns false if it was not waiting. */
  acknowledge(sequence: number): boolean {
    if (!this.#entries.has(sequence)) return false;
    this.#remove(sequence);
    return true;
  }

  /** The API will never store the frame: it is moved to `refused/` with the reason beside it, so that it blocks nothing and can be looked at. */
  refuse(sequence: number, reason: string): void {
    const entry = this.#entries.get(sequence);
    if (entry === undefined) return;
    this.#refusedFrames++;
    this.#progress.hours.add(entry.windowStartMs, { refusedWindows: entry.windows, rows: -entry.rows, frames: -1 });
    this.#keep(sequence, "refused", reason);
    this.#forget(sequence);
  }

  #path(sequence: number, directory = "spool"): string {
    return join(this.#options.stateDirectory, directory, String(sequence).padStart(nameDigits, "0") + frameSuffix);
  }

  get #progressPath(): string {
    return join(this.#options.stateDirectory, "progress.json");
  }

  /** Others may read status.json in the state directory; what is in these is closed to them. */
  #makeDirectories(): void {
    makeDirectory(this.#options.stateDirectory, 0o755);
    for (const name of ["spool", ...keptDirectories]) makeDirectory(join(this.#options.stateDirectory, name), 0o700);
  }

  /** Writes a file; a directory that somebody removed is made again. */
  async #writeFile(path: string, bytes: Uint8Array | string): Promise<void> {
    try {
      await this.#write(path, bytes);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
      this.#options.log.error("a directory of the spool is gone, making it again", { directory: this.#options.stateDirectory });
      this.#makeDirectories();
      await this.#write(path, bytes);
    }
  }

  async #saveProgress(merge: Merge | undefined): Promise<void> {
    await this.#writeFile(this.#progressPath, encodeProgress({ ...this.#progress, merge: merge?.announced, setAside: [...this.#setAside] }));
  }

  #load(): void {
    const directory = join(this.#options.stateDirectory, "spool");
    for (const name of readdirSync(directory)) if (name.endsWith(temporarySuffix)) this.#recover(join(directory, name));
    const saved = this.#readProgress();
    const sequences = this.#sequencesIn("spool");
    const headers = new Map(sequences.map((sequence) => [sequence, this.#readHeader(sequence)]));
    const torn: TornMerge[] = [];
    for (const sequence of sequences) {
      const header = headers.get(sequence);
      if (sequence <= saved.droppedThrough) {
        this.#deleteFile(sequence);
        headers.delete(sequence);
      } else if (header?.extent !== undefined && headers.has(sequence)) torn.push(...this.#settleLeftovers(sequence, header.extent, headers));
    }
    const bootTags = new Map<bigint, bigint>();
    let last: Entry | undefined;
    for (const [sequence, header] of headers) {
      // What cannot be read any more lay between its neighbours.
      const extent = header?.extent ?? {
        windowStartMs: last === undefined ? saved.windowStartMs : last.windowStartMs + last.windowMs,
        windowMs: 0,
        windows: 1,
        rows: 0,
        throughSequence: sequence,
      };
      const entry = newEntry(extent, header, sizeOf(this.#path(sequence)), undefined);
      // Thousands of frames share a few boots.
      const bootTag = bootTags.get(entry.bootTag) ?? entry.bootTag;
      bootTags.set(bootTag, bootTag);
      last = { ...entry, bootTag };
      this.#entries.set(sequence, last);
      this.#tally(last, 1);
    }
    this.#loadClaims(saved, torn);
  }

  /** progress.json is written after the frame and before what follows from it: a kill in between leaves it behind, or ahead of, the files. */
  #loadClaims(saved: Progress, torn: readonly TornMerge[]): void {
    const { hours, merge } = saved;
    for (const [sequence, { windowStartMs, windows, rows }] of this.#entries)
      if (sequence > saved.sequence) hours.add(windowStartMs, { windows, rows, frames: 1 });
    if (merge !== undefined && this.#entries.get(merge.sequence)?.throughSequence !== merge.throughSequence) {
      const isUndone = [...this.#entries.keys()].some((sequence) => sequence >= merge.sequence && sequence <= merge.throughSequence);
      if (isUndone) hours.add(merge.windowStartMs, { frames: merge.framesLess, rows: merge.rowsLess });
    }
    for (const { sequence, windowStartMs, windows, rows } of torn) {
      const before = merge?.sequence === sequence ? merge.rowsLess : 0;
      hours.add(windowStartMs, { droppedWindows: windows, rows: -before - rows, frames: -1 });
      this.#lostWindows += windows;
    }
    for (const directory of keptDirectories) {
      for (const sequence of this.#sequencesIn(directory)) {
        const isKnown = saved.setAside === undefined || saved.setAside.includes(sequence) || this.#setAside.has(sequence);
        this.#setAside.add(sequence);
        const extent = isKnown ? undefined : this.#readHeader(sequence, directory)?.extent;
        if (extent === undefined) continue;
        const { windowStartMs, windows, rows } = extent;
        const isNew = sequence > saved.sequence;
        hours.add(windowStartMs, {
          windows: isNew ? windows : 0,
          [directory === "refused" ? "refusedWindows" : "droppedWindows"]: windows,
          rows: isNew ? 0 : -rows,
          frames: isNew ? 0 : -1,
        });
      }
    }
    // Not the sequence of a merged frame but the last in it: a window that took one in between would be deleted as merged at the next start.
    const taken = [...[...this.#entries.values()].map((entry) => entry.throughSequence), ...this.#setAside];
    const sequence = taken.reduce((most, candidate) => Math.max(most, candidate), saved.sequence);
    const newest = [...this.#entries.values()].at(-1)?.windowStartMs ?? 0;
    this.#progress = { ...saved, sequence, windowStartMs: Math.max(saved.windowStartMs, newest), merge: undefined };
  }

  /** A kill behind the writing of a merged frame leaves the frames that are in it: sent as well, they would count twice. */
  #settleLeftovers(sequence: number, extent: FrameExtent, headers: Map<number, FrameHeader | undefined>): TornMerge[] {
    if (extent.throughSequence <= sequence) return [];
    const leftovers = [...headers.keys()].filter((candidate) => candidate > sequence && candidate <= extent.throughSequence);
    if (leftovers.length === 0) return [];
    const merged = decodeFrameFile(readFileSync(this.#path(sequence)));
    // Torn, it is worth less than what was merged into it.
    if (typeof merged === "string") {
      const left = (name: "windows" | "rows"): number => leftovers.reduce((sum, leftover) => sum + (headers.get(leftover)?.extent?.[name] ?? 0), 0);
      this.#corruptFrames++;
      this.#options.log.error("merged window is unreadable and was set aside; what is left of its windows is sent", { sequence, problem: merged });
      this.#keep(sequence, "corrupt");
      headers.delete(sequence);
      return [
        { sequence, windowStartMs: extent.windowStartMs, windows: Math.max(1, extent.windows - left("windows")), rows: extent.rows - left("rows") },
      ];
    }
    for (const leftover of leftovers) {
      this.#deleteFile(leftover);
      headers.delete(leftover);
    }
    this.#options.log.info("windows that had been merged were deleted", { sequence, frames: leftovers.length });
    return [];
  }

  /** undefined: the file's beginning is no header. */
  #readHeader(sequence: number, directory = "spool"): FrameHeader | undefined {
    const bytes = Buffer.alloc(frameHeaderBytes);
    const file = openSync(this.#path(sequence, directory), "r");
    try {
      const header = decodeFrameHeader(bytes.subarray(0, readSync(file, bytes, 0, frameHeaderBytes, 0)));
      return typeof header === "string" ? undefined : header;
    } finally {
      closeSync(file);
    }
  }

  /** A kill between writing and renaming leaves a whole frame under its temporary name; a kill while writing leaves rubbish. */
  #recover(path: string): void {
    const decoded = path.endsWith(frameSuffix + temporarySuffix) ? decodeFrameFile(readFileSync(path)) : "not a frame";
    if (typeof decoded === "string") rmSync(path, { force: true });
    else renameSync(path, path.slice(0, -temporarySuffix.length));
  }

  #readProgress(): Progress {
    try {
      return readProgress(this.#progressPath) ?? newProgress();
    } catch (error) {
      this.#options.log.error("progress file is unreadable, going on from the newest spooled window", {
        file: this.#progressPath,
        error: (error as Error).message,
      });
      return newProgress();
    }
  }

  /** Ascending. */
  #sequencesIn(directory: string): number[] {
    return readdirSync(join(this.#options.stateDirectory, directory))
      .filter((name) => name.endsWith(frameSuffix) && /^\d+$/.test(name.slice(0, -frameSuffix.length)))
      .map((name) => Number.parseInt(name, 10))
      .filter(Number.isSafeInteger)
      .sort((a, b) => a - b);
  }

  async #readEntry(sequence: number, entry: Entry): Promise<FrameFile | undefined> {
    let decoded: FrameFile | string;
    try {
      decoded = decodeFrameFile(entry.memory ?? (await readFile(this.#path(sequence))));
    } catch (error) {
      decoded = (error as Error).message;
    }
    if (typeof decoded !== "string") return decoded;
    if (this.#entries.get(sequence) !== entry) return undefined;
    this.#corruptFrames++;
    this.#options.log.error("spooled window is unreadable and was set aside", { sequence, problem: decoded, file: this.#path(sequence) });
    this.#giveUp(entry);
    this.#keep(sequence, "corrupt");
    this.#forget(sequence);
    return undefined;
  }

  async #flushMemory(): Promise<void> {
    if (this.#memoryFrames === 0) return;
    for (const [sequence, entry] of this.#entries) {
      const bytes = entry.memory;
      if (bytes === undefined) continue;
      const stamp = Buffer.from(stampOf(bytes));
      await this.#writeFile(this.#path(sequence), bytes);
      if (this.#entries.get(sequence) !== entry) {
        // Acknowledged or refused while it was being written.
        rmSync(this.#path(sequence), { force: true });
        continue;
      }
      this.#tally(entry, -1);
      entry.memory = undefined;
      this.#tally(entry, 1);
      if (!stamp.equals(stampOf(bytes))) this.#stampFile(sequence, stampOf(bytes));
    }
  }

  #stampFile(sequence: number, stamp: Uint8Array): void {
    try {
      const file = openSync(this.#path(sequence), "r+");
      try {
        writeSync(file, stamp, 0, stamp.length, stampPosition);
      } finally {
        closeSync(file);
      }
    } catch (error) {
      this.#options.log.warn("clock offset of a spooled window could not be noted", { sequence, error: (error as Error).message });
    }
  }

  /**
   * How long merged windows may become at this filling; undefined: there is room. The more is waiting, the coarser; before the next length is reached, all has
   * been merged to the one before.
   */
  #chooseCoarseLength(inMemory: boolean): number | undefined {
    const { bytesMax, framesMax } = this.#options;
    const filled = inMemory ? this.#memoryBytes / this.#memoryBytesMax : Math.max(this.#bytes / bytesMax, this.#entries.size / framesMax);
    const length = coarseLengthsMs.filter((_, index) => filled > (coarsenAt[index] as number)).at(-1);
    if (length !== undefined && length > (this.#coarseLengthMs ?? 0)) {
      this.#coarseLengthMs = length;
      this.#options.log.warn("spool is filling, merging waiting windows", { lengthMs: length, frames: this.#entries.size, bytes: this.#bytes });
    }
    if (filled < coarsenAt[0] * 0.8) this.#coarseLengthMs = undefined;
    return length;
  }

  /** Works out the next merge: the oldest windows that go together. */
  async #planMerge(bootTag: bigint, inMemory: boolean): Promise<Merge | undefined> {
    const lengthMs = this.#chooseCoarseLength(inMemory);
    if (lengthMs === undefined) return undefined;
    for (let attempt = 0; attempt < mergeAttemptsMax; attempt++) {
      const run = findMergeableRun(this.#mergeable(inMemory), lengthMs, bootTag);
      if (run.length === 0) return undefined;
      for (const [, entry] of run) entry.isHidden = true;
      const merge = await this.#workOut(run);
      if (merge !== undefined) {
        this.#progress.hours.add(merge.extent.windowStartMs, { frames: -merge.announced.framesLess, rows: -merge.announced.rowsLess });
        return merge;
      }
      for (const [, entry] of run) entry.isHidden = false;
    }
    return undefined;
  }

  *#mergeable(inMemory: boolean): IterableIterator<readonly [number, Entry]> {
    for (const [sequence, entry] of this.#entries) {
      if (this.isLive(sequence)) return;
      if ((entry.memory !== undefined) === inMemory) yield [sequence, entry];
    }
  }

  /** The merged frame; undefined if these do not go together, which is then noted on the first that does not. */
  async #workOut(run: readonly (readonly [number, Entry])[]): Promise<Merge | undefined> {
    const [[firstSequence]] = run as [readonly [number, Entry]];
    const frames: FrameFile[] = [];
    const snapshots: Snapshot[] = [];
    const startAnew = (index: number, reason: string): undefined => {
      const [sequence, entry] = run[index] as readonly [number, Entry];
      this.#options.log.debug("waiting windows are not merged", { sequence, reason });
      entry.startsAnew = true;
      if (index === 0) entry.isUnsent = false;
    };
    for (const [index, [sequence, entry]] of run.entries()) {
      const frame = await this.#readEntry(sequence, entry);
      if (frame === undefined) return undefined;
      const first = frames[0] ?? frame;
      if (frame.sentOffsetMs !== undefined || Math.abs(frame.shiftMs - first.shiftMs) > slewMsMax) return startAnew(index, "another clock");
      frames.push(frame);
      try {
        snapshots.push(Snapshot.decode(frame.payload));
      } catch (error) {
        return startAnew(index, (error as Error).message);
      }
    }
    try {
      const pause = async (): Promise<void> => {
        await setImmediate();
        this.#options.trimMemory?.();
      };
      const merged = await mergeSnapshots(snapshots, { rowsMax: this.#options.rowsMax ?? 2_000, pause });
      if ("reason" in merged) return startAnew(merged.index, merged.reason);
      const rows = merged.blocks.reduce((sum, block) => sum + block.rows, 0);
      const extent: FrameExtent = {
        windowStartMs: Number(merged.windowStartMs),
        windowMs: merged.windowMs,
        windows: merged.windows,
        rows,
        throughSequence: (run.at(-1) as readonly [number, Entry])[1].throughSequence,
      };
      const [{ shiftMs, bootTag }] = frames as [FrameFile];
      const knownOffsetMs = frames.find((frame) => frame.knownOffsetMs !== undefined)?.knownOffsetMs;
      const bytes = encodeFrameFile({ payload: Snapshot.encode(merged).finish(), shiftMs, bootTag, knownOffsetMs, extent });
      if (bytes.length > mergedBytesMax) return startAnew(Math.ceil(run.length / 2), `${bytes.length} bytes together`);
      const announced: AnnouncedMerge = {
        sequence: firstSequence,
        throughSequence: extent.throughSequence,
        windowStartMs: extent.windowStartMs,
        framesLess: run.length - 1,
        rowsLess: run.reduce((sum, [, entry]) => sum + entry.rows, -rows),
      };
      return { run, bytes, extent, announced };
    } catch (error) {
      return startAnew(run.length - 1, (error as Error).message);
    }
  }

  /** The merged frame takes the place of the first, then the others go; in this order nothing is lost, and `#settleLeftovers` knows a kill in between. */
  async #merge({ run, bytes, extent }: Merge): Promise<void> {
    const [[sequence, first]] = run as [readonly [number, Entry]];
    const isInMemory = first.memory !== undefined;
    if (!isInMemory) await this.#writeFile(this.#path(sequence), bytes);
    const merged: Entry = {
      ...first,
      bytes: bytes.length,
      memory: isInMemory ? bytes : undefined,
      windowMs: extent.windowMs,
      windows: extent.windows,
      rows: extent.rows,
      throughSequence: extent.throughSequence,
      isHidden: false,
    };
    this.#tally(first, -1);
    this.#entries.set(sequence, merged);
    this.#tally(merged, 1);
    for (const [other] of run.slice(1)) this.#remove(other);
    this.#coarsenedWindows += run.reduce((sum, [, entry]) => sum + (entry.windows === 1 ? 1 : 0), 0);
    this.#options.log.debug("waiting windows merged", { sequence, frames: run.length, lengthMs: extent.windowMs, bytes: bytes.length });
  }

  #cancelMerge({ run, extent, announced }: Merge): void {
    for (const [, entry] of run) entry.isHidden = false;
    this.#progress.hours.add(extent.windowStartMs, { frames: announced.framesLess, rows: announced.rowsLess });
  }

  /** Returns the sequences whose files are to be deleted once it is written down that they were given up. */
  #dropBeyondBounds(): number[] {
    const { bytesMax, framesMax, spanMsMax = Number.POSITIVE_INFINITY } = this.#options;
    const files: number[] = [];
    while (this.#entries.size > 1 && (this.#bytes > bytesMax || this.#entries.size > framesMax || this.#spanMs > spanMsMax)) {
      const [sequence, entry] = this.#entries.entries().next().value as [number, Entry];
      this.#progress = { ...this.#progress, droppedThrough: entry.throughSequence };
      if (entry.memory === undefined) files.push(sequence);
      this.#drop(sequence, entry, "the spool is full");
    }
    return files;
  }

  /** While the disk takes nothing: windows in memory are merged, and beyond its bound given up. */
  async #makeRoomInMemory(bootTag: bigint, diskIsFull: boolean): Promise<void> {
    const merge = await this.#planMerge(bootTag, true);
    if (merge !== undefined) await this.#merge(merge);
    // On a full disk the oldest frames on it make room for the next write; on a broken one only memory can be given up.
    let freedBytes = 0;
    let isDropped = false;
    while (this.#memoryFrames > 1 && this.#memoryBytes - freedBytes > this.#memoryBytesMax) {
      const [sequence, entry] = [...this.#entries].find(([, candidate]) => diskIsFull || candidate.memory !== undefined) as [number, Entry];
      const isOnDisk = entry.memory === undefined;
      if (isOnDisk) freedBytes += entry.bytes;
      this.#drop(sequence, entry, "the disk takes nothing and memory is full");
      if (isOnDisk) this.#deleteFile(sequence);
      isDropped ||= isOnDisk;
    }
    if (isDropped) await this.#saveProgress(undefined).catch(() => {});
  }

  #drop(sequence: number, entry: Entry, why: string): void {
    this.#droppedFrames++;
    this.#giveUp(entry);
    this.#forget(sequence);
    this.#options.log.warn("oldest window dropped", { sequence, windows: entry.windows, why, droppedFrames: this.#droppedFrames });
  }

  #giveUp({ windowStartMs, windows, rows }: Entry): void {
    this.#lostWindows += windows;
    this.#progress.hours.add(windowStartMs, { droppedWindows: windows, rows: -rows, frames: -1 });
  }

  #remove(sequence: number): void {
    const inMemory = this.#entries.get(sequence)?.memory !== undefined;
    this.#forget(sequence);
    if (!inMemory) this.#deleteFile(sequence);
  }

  #deleteFile(sequence: number): void {
    try {
      rmSync(this.#path(sequence), { force: true });
    } catch (error) {
      this.#options.log.warn("spooled window could not be deleted", { sequence, error: (error as Error).message });
    }
  }

  #forget(sequence: number): void {
    const entry = this.#entries.get(sequence);
    if (entry === undefined) return;
    this.#entries.delete(sequence);
    this.#tally(entry, -1);
  }

  #tally(entry: Entry, sign: 1 | -1): void {
    this.#bytes += sign * entry.bytes;
    this.#windows += sign * entry.windows;
    this.#spanMs += sign * entry.windowMs;
    if (entry.memory === undefined) return;
    this.#memoryBytes += sign * entry.memory.length;
    this.#memoryFrames += sign;
  }

  #keep(sequence: number, directory: (typeof keptDirectories)[number], reason?: string): void {
    const target = this.#path(sequence, directory);
    try {
      const memory = this.#entries.get(sequence)?.memory;
      if (memory === undefined) renameSync(this.#path(sequence), target);
      else writeFileSync(target, memory, { mode: 0o600 });
      if (reason !== undefined) writeFileSync(`${target}.reason`, `${reason}\n`, { mode: 0o600 });
      this.#setAside.add(sequence);
      this.#boundKept(directory);
    } catch (error) {
      this.#options.log.warn("window could not be set aside", { sequence, directory, error: (error as Error).message });
      this.#deleteFile(sequence);
    }
  }

  #boundKept(directory: (typeof keptDirectories)[number]): void {
    let bytes = 0;
    for (const [index, sequence] of this.#sequencesIn(directory).reverse().entries()) {
      const path = this.#path(sequence, directory);
      bytes += sizeOf(path);
      if (index < keptFilesMax && bytes <= keptBytesMax) continue;
      rmSync(path, { force: true });
      rmSync(`${path}.reason`, { force: true });
      this.#setAside.delete(sequence);
    }
  }
}

function newEntry(extent: FrameExtent, info: FrameInfo | undefined, bytes: number, memory: Buffer | undefined): Entry {
  return {
    bytes,
    memory,
    windowStartMs: extent.windowStartMs,
    windowMs: extent.windowMs,
    windows: extent.windows,
    rows: extent.rows,
    throughSequence: extent.throughSequence,
    bootTag: info?.bootTag ?? 0n,
    knownOffsetMs: info?.knownOffsetMs ?? 0,
    // Frames whose extent is not known have a length of 0, and no stretch of time of their own.
    isUnsent: info !== undefined && info.sentOffsetMs === undefined && extent.windowMs > 0,
    startsAnew: false,
    isHidden: false,
  };
}

function stampOf(bytes: Buffer): Buffer {
  return bytes.subarray(stampPosition, stampPosition + 12);
}

function sizeOf(path: string): number {
  return statSync(path).size;
}
