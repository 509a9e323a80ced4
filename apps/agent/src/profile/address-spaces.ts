// SPDX-License-Identifier: Apache-2.0
import type { BpfMap } from "../libbpf/bpf-map.ts";
import type { StructLayout } from "../libbpf/btf.ts";
import { iterate } from "../libbpf/iteration.ts";
import { textOf } from "../snapshot/c-text.ts";
import { fieldOf } from "../snapshot/layout.ts";
import { readAddress } from "./address.ts";

const PROGRAM = "on_task_vma";
/** Address spaces that are remembered. One takes about 100 bytes per mapping; the files are shared. */
const SPACES_MAX = 2_048;
/** Executable mappings of one process that are read. A Java or browser process has some thousands. */
const MAPPINGS_MAX = 4_096;

/** What is mapped: a file, or code without one. */
export interface MappedCode {
  readonly kind: "file" | "vdso" | "anonymous";
  /** As the process sees it; empty if it is not known. */
  readonly path: string;
  readonly inode: number;
  readonly bytes: number;
}

const vdso: MappedCode = { kind: "vdso", path: "", inode: 0, bytes: 0 };
const anonymous: MappedCode = { kind: "anonymous", path: "", inode: 0, bytes: 0 };

/** The executable mappings of one address space, as they were at one moment. */
export class Mappings {
  readonly #starts: number[] = [];
  readonly #ends: number[] = [];
  readonly #offsets: number[] = [];
  readonly #codes: MappedCode[] = [];
  /** Window in which they were read, and in which they were last used. */
  readonly readIn: number;
  usedIn: number;

  constructor(window: number) {
    this.readIn = window;
    this.usedIn = window;
  }

  /** To be added in ascending order, as the kernel gives them. */
  add(start: number, end: number, offset: number, code: MappedCode): void {
    this.#starts.push(start);
    this.#ends.push(end);
    this.#offsets.push(offset);
    this.#codes.push(code);
  }

  get hasGenerated(): boolean {
    return this.#codes.includes(anonymous);
  }

  /** Number of the mapping that holds the address; -1: nothing is mapped there. */
  find(address: number): number {
    let low = 0;
    let high = this.#starts.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#starts[middle] as number) <= address) low = middle + 1;
      else high = middle;
    }
    return low > 0 && address < (this.#ends[low - 1] as number) ? low - 1 : -1;
  }

  codeOf(mapping: number): MappedCode {
    return this.#codes[mapping] as MappedCode;
  }

  /** Where in its file an address of the mapping lies. */
  offsetOf(mapping: number, address: number): number {
    return (this.#offsets[mapping] as number) + address - (this.#starts[mapping] as number);
  }
}

export interface SpaceId {
  readonly tgid: number;
  readonly space: number;
  /** Both as text, once `keyOf` was asked. */
  key?: string | undefined;
}

/**
 * What is mapped where in the processes that stacks were taken of, asked of the kernel itself: /proc/PID/maps of other users' processes is closed to
 * whoever may not trace them.
 */
export class AddressSpaces {
  readonly #programFd: number | undefined;
  readonly #layout: StructLayout | undefined;
  /** Where the kernel cannot walk over one process alone, the processes that the walk over all shall stop at. */
  readonly #wanted: BpfMap | undefined;
  /** Insertion order is order of last reading. */
  readonly #spaces = new Map<string, Mappings>();
  readonly #codes = new Map<string, MappedCode>();
  #window = 0;
  /** Why user functions have no names, in words; empty if they have. */
  problem = "";

  /** @param wanted undefined where the kernel can walk over one process alone */
  constructor(programFd: number | undefined, layout: StructLayout | undefined, wanted: BpfMap | undefined) {
    this.#programFd = programFd;
    this.#layout = layout;
    this.#wanted = wanted;
    if (programFd === undefined || layout === undefined) this.problem = `${PROGRAM} does not run`;
  }

  /** Whether one process can be asked for at a price that does not depend on the others. */
  get isCheap(): boolean {
    return this.#wanted === undefined;
  }

  get size(): number {
    return this.#spaces.size;
  }

  /** Starts a window. */
  begin(): void {
    this.#window++;
  }

  has(id: SpaceId): boolean {
    return this.#spaces.has(keyOf(id));
  }

  /** Whether the mappings are of an earlier window, so that reading them again may show more. */
  isOld({ readIn }: Mappings): boolean {
    return readIn < this.#window;
  }

  /** Whether the process has executable memory that no file stands behind. */
  hasGenerated(id: SpaceId): boolean {
    return this.#spaces.get(keyOf(id))?.hasGenerated ?? false;
  }

  /** What is known of the space, which is kept for it; undefined: nothing. */
  use(id: SpaceId): Mappings | undefined {
    const mappings = this.#spaces.get(keyOf(id));
    if (mappings !== undefined) mappings.usedIn = this.#window;
    return mappings;
  }

  /** Reads the mappings of processes that live. Never throws: see `problem`. */
  async read(ids: readonly SpaceId[]): Promise<void> {
    const { problem } = this;
    if (this.#programFd === undefined || this.#layout === undefined || ids.length === 0) return;
    try {
      const bytesMax = MAPPINGS_MAX * this.#layout.size;
      if (this.#wanted === undefined) {
        for (const { tgid } of ids) this.#take(await iterate(this.#programFd, PROGRAM, { tid: tgid }, bytesMax), this.#layout);
      } else {
        for (const { tgid } of ids) this.#wanted.set(tgidBytes(tgid), Buffer.alloc(4, 1));
        try {
          this.#take(await iterate(this.#programFd, PROGRAM, "all", bytesMax * 4), this.#layout);
        } finally {
          this.#wanted.drain(() => {});
        }
      }
      if (problem === this.problem) this.problem = "";
    } catch (error) {
      this.problem = error instanceof Error ? error.message : String(error);
    }
  }

  /** Lets go of what was not used for `windows` windows, and of the oldest if there are too many. */
  forget(windows: number): void {
    for (const [key, { usedIn }] of this.#spaces) if (usedIn + windows < this.#window) this.#spaces.delete(key);
    if (this.#codes.size > SPACES_MAX * 8) this.#codes.clear();
  }

  #take(bytes: Buffer, layout: StructLayout): void {
    const at = (name: string): number => fieldOf(layout, name).offset;
    const fields = {
      start: at("start"),
      end: at("end"),
      offset: at("offset"),
      inode: at("inode"),
      size: at("size"),
      tgid: at("tgid"),
      space: at("space"),
    };
    const isVdso = at("is_vdso");
    const path = fieldOf(layout, "path");
    const read = new Map<string, Mappings>();
    for (let from = 0; from + layout.size <= bytes.length; from += layout.size) {
      const key = keyOf({ tgid: bytes.readUInt32LE(from + fields.tgid), space: bytes.readUInt32LE(from + fields.space) });
      let mappings = read.get(key);
      if (mappings === undefined) {
        mappings = new Mappings(this.#window);
        read.set(key, mappings);
      }
      const inode = readAddress(bytes, from + fields.inode);
      const code =
        inode === 0
          ? bytes.readUInt32LE(from + isVdso) === 1
            ? vdso
            : anonymous
          : this.#codeOf(textOf(bytes.subarray(from + path.offset, from + path.offset + path.size)), inode, readAddress(bytes, from + fields.size));
      mappings.add(readAddress(bytes, from + fields.start), readAddress(bytes, from + fields.end), readAddress(bytes, from + fields.offset), code);
    }
    for (const [key, mappings] of read) {
      this.#spaces.delete(key);
      this.#spaces.set(key, mappings);
      if (this.#spaces.size > SPACES_MAX) this.#spaces.delete(this.#spaces.keys().next().value as string);
    }
  }

  /** One object for one file, so that whoever keeps something by it meets it again. */
  #codeOf(path: string, inode: number, bytes: number): MappedCode {
    const key = `${inode} ${bytes} ${path}`;
    let code = this.#codes.get(key);
    if (code === undefined) {
      code = { kind: "file", path, inode, bytes };
      this.#codes.set(key, code);
    }
    return code;
  }
}

export function keyOf(id: SpaceId): string {
  id.key ??= `${id.tgid} ${id.space}`;
  return id.key;
}

function tgidBytes(tgid: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(tgid);
  return bytes;
}
