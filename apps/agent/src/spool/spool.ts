// SPDX-License-Identifier: Apache-2.0
import { closeSync, mkdirSync, openSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import type { Logger } from "../log.ts";
import { temporarySuffix, writeDurably } from "./durable-file.ts";
import { decodeFrameFile, encodeFrameFile, encodeStamp, type FrameFile, type FrameInfo, stampPosition } from "./frame-file.ts";

export interface SpoolOptions {
  /** The agent's state directory; the spool owns `spool/`, `refused/`, `corrupt/` and `progress.json` in it. */
  readonly stateDirectory: string;
  readonly bytesMax: number;
  /** The age bound, as a number of windows: a wall clock that jumps a year must not empty the spool. */
  readonly framesMax: number;
  /** Bytes held in memory while the disk takes nothing. */
  readonly memoryBytesMax?: number;
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
  /** 0 if nothing waits. */
  readonly firstSequence: number;
  readonly lastSequence: number;
  /** Since the agent started: given up because the spool was full, or unreadable and so lost. */
  readonly droppedFrames: number;
  readonly corruptFrames: number;
  /** Refused for good by the API since the agent started. */
  readonly refusedFrames: number;
  /** What keeps the disk from being used now; undefined if nothing does. */
  readonly problem: string | undefined;
}

interface Entry {
  bytes: number;
  /** Set while the frame is in memory only. */
  memory: Buffer | undefined;
}

interface Progress {
  readonly sequence: number;
  readonly windowStartMs: number;
}

const nameDigits = 20;
const frameSuffix = ".frame";
/** Refused and unreadable frames are evidence for a person, not data on its way: a few are enough. */
const keptFilesMax = 32;
const keptBytesMax = 16 * 1024 * 1024;

/**
 * What the API has not acknowledged yet: one file per window, oldest first, bounded. A frame is on disk before it is sent and leaves it when it
 * is acknowledged, refused for good, or the oldest of a full spool. One process at a time may use a state directory.
 */
export class Spool {
  readonly #options: SpoolOptions;
  readonly #write: (path: string, bytes: Uint8Array | string) => Promise<void>;
  readonly #memoryBytesMax: number;
  /** By sequence, ascending: sequences only rise, so insertion order is the order. */
  readonly #entries = new Map<number, Entry>();
  #bytes = 0;
  #memoryBytes = 0;
  #memoryFrames = 0;
  #progress: Progress = { sequence: 0, windowStartMs: 0 };
  #droppedFrames = 0;
  #corruptFrames = 0;
  #refusedFrames = 0;
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
      for (const name of ["spool", "refused", "corrupt"]) mkdirSync(join(options.stateDirectory, name), { recursive: true, mode: 0o700 });
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
      firstSequence: this.#entries.keys().next().value ?? 0,
      lastSequence: this.#progress.sequence,
      droppedFrames: this.#droppedFrames,
      corruptFrames: this.#corruptFrames,
      refusedFrames: this.#refusedFrames,
      problem: this.#problem,
    };
  }

  /** Start of the newest window ever recorded here; 0 if there was none. */
  get lastWindowStartMs(): number {
    return this.#progress.windowStartMs;
  }

  /** Sequences that wait, oldest first. Frames may be acknowledged, refused and dropped while iterating. */
  sequences(): IterableIterator<number> {
    return this.#entries.keys();
  }

  /**
   * Stores a window's frame and returns its sequence. Never throws for a full or failing disk: the frame is then held in memory, within
   * bounds, and written later. Calls must not overlap.
   */
  async append(frame: NewFrame): Promise<number> {
    const sequence = this.#progress.sequence + 1;
    const bytes = encodeFrameFile({
      payload: frame.encode(sequence),
      shiftMs: frame.shiftMs,
      bootTag: frame.bootTag,
      knownOffsetMs: frame.knownOffsetMs,
    });
    this.#progress = { sequence, windowStartMs: frame.windowStartMs };
    this.#entries.set(sequence, { bytes: bytes.length, memory: bytes });
    this.#bytes += bytes.length;
    this.#memoryBytes += bytes.length;
    this.#memoryFrames++;
    this.#dropBeyondBounds();
    try {
      await this.#flushMemory();
      await this.#write(join(this.#options.stateDirectory, "progress.json"), `${JSON.stringify(this.#progress)}\n`);
      if (this.#problem !== undefined) this.#options.log.info("spool writes to disk again", { directory: this.#options.stateDirectory });
      this.#problem = undefined;
    } catch (error) {
      const problem = (error as Error).message;
      if (this.#problem === undefined) this.#options.log.error("spool cannot write to disk, holding windows in memory", { error: problem });
      this.#problem = problem;
      this.#dropBeyondMemory(["ENOSPC", "EDQUOT"].includes((error as NodeJS.ErrnoException).code ?? ""));
    }
    return sequence;
  }

  /** The frame, or undefined if it is gone. An unreadable file is set aside, counted, and gone. */
  read(sequence: number): FrameFile | undefined {
    const entry = this.#entries.get(sequence);
    if (entry === undefined) return undefined;
    let decoded: FrameFile | string;
    try {
      decoded = decodeFrameFile(entry.memory ?? readFileSync(this.#path(sequence)));
    } catch (error) {
      decoded = (error as Error).message;
    }
    if (typeof decoded !== "string") return decoded;
    this.#corruptFrames++;
    this.#options.log.error("spooled window is unreadable and was set aside", { sequence, problem: decoded, file: this.#path(sequence) });
    this.#keep(sequence, "corrupt");
    this.#forget(sequence);
    return undefined;
  }

  /** Remembers, beyond a crash of the agent, with what clock offset a frame is being sent. */
  stamp(sequence: number, sentOffsetMs: number): void {
    const entry = this.#entries.get(sequence);
    if (entry === undefined) return;
    const stamp = encodeStamp({ sentOffsetMs });
    if (entry.memory !== undefined) {
      stamp.copy(entry.memory, stampPosition);
      return;
    }
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

  /** The API has stored the frame. Returns false if it was not waiting. */
  acknowledge(sequence: number): boolean {
    if (!this.#entries.has(sequence)) return false;
    this.#remove(sequence);
    return true;
  }

  /** The API will never store the frame: it is moved to `refused/` with the reason beside it, so that it blocks nothing and can be looked at. */
  refuse(sequence: number, reason: string): void {
    if (!this.#entries.has(sequence)) return;
    this.#refusedFrames++;
    this.#keep(sequence, "refused", reason);
    this.#forget(sequence);
  }

  #path(sequence: number, directory = "spool"): string {
    return join(this.#options.stateDirectory, directory, String(sequence).padStart(nameDigits, "0") + frameSuffix);
  }

  #load(): void {
    const directory = join(this.#options.stateDirectory, "spool");
    for (const name of readdirSync(directory)) if (name.endsWith(temporarySuffix)) this.#recover(join(directory, name));
    const frames = readdirSync(directory).filter((name) => name.endsWith(frameSuffix) && /^\d+$/.test(name.slice(0, -frameSuffix.length)));
    for (const name of frames.sort()) {
      const { size } = statSync(join(directory, name));
      this.#entries.set(Number.parseInt(name, 10), { bytes: size, memory: undefined });
      this.#bytes += size;
    }
    const progress = this.#readProgress();
    // progress.json is written after the frame: a kill between the two leaves it one behind.
    const highest = [...this.#entries.keys(), ...this.#sequencesIn("refused"), ...this.#sequencesIn("corrupt")];
    this.#progress = { ...progress, sequence: highest.reduce((most, sequence) => Math.max(most, sequence), progress.sequence) };
    this.#dropBeyondBounds();
  }

  /** A kill between writing and renaming leaves a whole frame under its temporary name; a kill while writing leaves rubbish. */
  #recover(path: string): void {
    const decoded = path.endsWith(frameSuffix + temporarySuffix) ? decodeFrameFile(readFileSync(path)) : "not a frame";
    if (typeof decoded === "string") rmSync(path, { force: true });
    else renameSync(path, path.slice(0, -temporarySuffix.length));
  }

  #readProgress(): Progress {
    const path = join(this.#options.stateDirectory, "progress.json");
    try {
      const { sequence, windowStartMs } = JSON.parse(readFileSync(path, "utf8")) as Progress;
      if (Number.isSafeInteger(sequence) && sequence >= 0 && Number.isSafeInteger(windowStartMs)) return { sequence, windowStartMs };
      throw new Error("sequence or windowStartMs is no whole number");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") {
        this.#options.log.error("progress file is unreadable, going on from the newest spooled window", {
          file: path,
          error: (error as Error).message,
        });
      }
      return { sequence: 0, windowStartMs: 0 };
    }
  }

  #sequencesIn(directory: string): number[] {
    return readdirSync(join(this.#options.stateDirectory, directory))
      .map((name) => Number.parseInt(name, 10))
      .filter(Number.isSafeInteger);
  }

  async #flushMemory(): Promise<void> {
    if (this.#memoryFrames === 0) return;
    for (const [sequence, entry] of this.#entries) {
      const bytes = entry.memory;
      if (bytes === undefined) continue;
      await this.#write(this.#path(sequence), bytes);
      if (this.#entries.get(sequence) !== entry) {
        // Acknowledged or refused while it was being written.
        rmSync(this.#path(sequence), { force: true });
        continue;
      }
      entry.memory = undefined;
      this.#memoryBytes -= bytes.length;
      this.#memoryFrames--;
    }
  }

  #dropBeyondBounds(): void {
    while (this.#entries.size > 1 && (this.#bytes > this.#options.bytesMax || this.#entries.size > this.#options.framesMax)) {
      this.#dropOldest("the spool is full");
    }
  }

  /** On a full disk the oldest frames on it make room for the next write; on a broken one only memory can be given up. */
  #dropBeyondMemory(diskIsFull: boolean): void {
    let freedBytes = 0;
    while (this.#memoryFrames > 1 && this.#memoryBytes - freedBytes > this.#memoryBytesMax) {
      const [sequence, entry] = [...this.#entries].find(([, candidate]) => diskIsFull || candidate.memory !== undefined) as [number, Entry];
      if (entry.memory === undefined) freedBytes += entry.bytes;
      this.#drop(sequence, "the disk takes nothing and memory is full");
    }
  }

  #dropOldest(why: string): void {
    const sequence = this.#entries.keys().next().value;
    if (sequence !== undefined) this.#drop(sequence, why);
  }

  #drop(sequence: number, why: string): void {
    this.#droppedFrames++;
    this.#options.log.warn("oldest window dropped", { sequence, why, droppedFrames: this.#droppedFrames });
    this.#remove(sequence);
  }

  #remove(sequence: number): void {
    const inMemory = this.#entries.get(sequence)?.memory !== undefined;
    this.#forget(sequence);
    if (inMemory) return;
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
    this.#bytes -= entry.bytes;
    if (entry.memory === undefined) return;
    this.#memoryBytes -= entry.memory.length;
    this.#memoryFrames--;
  }

  #keep(sequence: number, directory: "refused" | "corrupt", reason?: string): void {
    const target = this.#path(sequence, directory);
    try {
      const memory = this.#entries.get(sequence)?.memory;
      if (memory === undefined) renameSync(this.#path(sequence), target);
      else writeFileSync(target, memory, { mode: 0o600 });
      if (reason !== undefined) writeFileSync(`${target}.reason`, `${reason}\n`, { mode: 0o600 });
      this.#boundKept(directory);
    } catch (error) {
      this.#options.log.warn("window could not be set aside", { sequence, directory, error: (error as Error).message });
      rmSync(this.#path(sequence), { force: true });
    }
  }

  #boundKept(directory: string): void {
    const files = readdirSync(join(this.#options.stateDirectory, directory))
      .filter((name) => name.endsWith(frameSuffix))
      .sort()
      .reverse();
    let bytes = 0;
    for (const [index, name] of files.entries()) {
      const path = join(this.#options.stateDirectory, directory, name);
      bytes += statSync(path).size;
      if (index < keptFilesMax && bytes <= keptBytesMax) continue;
      rmSync(path, { force: true });
      rmSync(`${path}.reason`, { force: true });
    }
  }
}
