// SPDX-License-Identifier: Apache-2.0
import { basename, join } from "node:path";
import { keyOf, type MappedCode, type SpaceId } from "./address-spaces.ts";
import { addressOfOffset, type ElfIndex, type FunctionRange, findFunctions, openSame, passBytes, readElfIndex } from "./elf-symbols.ts";
import { frameOf } from "./frames-text.ts";
import { findGenerated, generatedName, type MapOwner, openPerfMap, readMapOwner } from "./perf-map.ts";
import { RangeTable } from "./range-table.ts";

/** Files whose functions are remembered, and functions of one file. A function takes about 100 bytes. */
const FILES_MAX = 512;
const FUNCTIONS_MAX = 4_096;
/** Processes whose generated code is remembered. */
const PROCESSES_MAX = 256;
/** Bytes of symbol tables (24 a symbol) that are streamed in one window, and files; what is over waits for the next one and shows as its module until then. */
const PASS_BYTES_MAX = 16 * 1024 * 1024;
const PASSES_MAX = 48;
/** A map of generated code that has grown is read again once per this many bytes and window, so that a large one is read rarely. */
const MAP_BYTES_PER_WINDOW = 1 << 20;
/** The same of a file whose symbol table was streamed, when further addresses of it are met: until then these show as its module. */
const TABLE_BYTES_PER_WINDOW = 2 << 20;
/** Windows for which a frame of generated code is taken to stay what it is. */
const GENERATED_WINDOWS = 6;

const DELETED = " (deleted)";

class FileSymbols {
  /** The frames themselves. */
  readonly functions = new RangeTable(FUNCTIONS_MAX);
  /** The frame of a place in no function that is known. */
  readonly frame: string;
  readonly #module: string;
  /** undefined: not opened yet; null: cannot be read, or is no ELF file. */
  index: ElfIndex | null | undefined;
  /** Window from which on its table may be streamed again. */
  nextIn = 0;

  constructor(code: MappedCode) {
    const path = code.path.endsWith(DELETED) ? code.path.slice(0, -DELETED.length) : code.path;
    this.#module = path === "" ? "file" : basename(path);
    this.frame = frameOf("", this.#module);
  }

  add({ start, end, name }: FunctionRange): void {
    this.functions.add(start, end, name === "" ? this.frame : frameOf(name, this.#module));
  }

  /** undefined: not known yet, or at all. */
  frameAt(offset: number): string | undefined {
    if (this.index === undefined || this.index === null) return undefined;
    const address = addressOfOffset(this.index, offset);
    return address === undefined ? this.frame : this.functions.get(address);
  }
}

/** Generated code of one process. */
interface GeneratedSymbols {
  /** null: not known. */
  owner: MapOwner | null;
  /** The frames themselves; empty where there is none. */
  readonly functions: RangeTable;
  /** Size of the map when it was read last; -1: never. */
  bytes: number;
  /** Window from which on it may be read again. */
  nextIn: number;
}

/** Empty for a place that no line covers. */
function generatedFrame(name: string): string {
  if (name === "") return "";
  const { name: functionName, module } = generatedName(name);
  return frameOf(functionName, module);
}

const VDSO = "[vdso]";
const UNKNOWN_GENERATED = "[jit]";

/** Names of functions in what processes have mapped. */
export class UserSymbols {
  readonly #hostRoot: string;
  readonly #files = new Map<MappedCode, FileSymbols>();
  readonly #generated = new Map<string, GeneratedSymbols>();
  #last: { readonly code: MappedCode; readonly symbols: FileSymbols } | undefined;
  #window = 0;
  #passes = 0;
  #passBytes = 0;
  /** For how many windows the frame that was asked for last will be the same when it is asked for again. An object for every frame would be garbage. */
  lasts = 0;

  /** @param hostRoot where the host's root directory is */
  constructor(hostRoot: string) {
    this.#hostRoot = hostRoot;
  }

  /** Starts a window. */
  begin(): void {
    this.#last = undefined;
    this.#window++;
    this.#passes = 0;
    this.#passBytes = 0;
  }

  /** Whether `learnFile` may find out more about a place of a file. */
  isUnknown(code: MappedCode, offset: number): boolean {
    const symbols = this.#symbolsOf(code);
    return symbols.index !== null && symbols.nextIn <= this.#window && symbols.frameAt(offset) === undefined;
  }

  /** Learns the functions at places of a file that are unknown; `tgid` is a process that has it mapped. Never throws: what cannot be read has no names. */
  async learnFile(code: MappedCode, offsets: Iterable<number>, tgid: number): Promise<void> {
    const symbols = this.#symbolsOf(code);
    if (symbols.index === null || this.#passes >= PASSES_MAX || this.#passBytes >= PASS_BYTES_MAX) return;
    this.#passes++;
    const paths = [join(this.#hostRoot, code.path), join(this.#hostRoot, `proc/${tgid}/root`, code.path)];
    const file = code.path === "" ? null : await openSame(paths, code);
    if (file === null) {
      symbols.index = null;
      return;
    }
    try {
      symbols.index ??= await readElfIndex(file);
      const { index } = symbols;
      this.#passBytes += passBytes(index);
      symbols.nextIn = this.#window + Math.ceil(passBytes(index) / TABLE_BYTES_PER_WINDOW);
      const addresses = [...offsets].map((offset) => addressOfOffset(index, offset)).filter((address) => address !== undefined);
      for (const found of await findFunctions(file, index, addresses)) symbols.add(found);
    } catch {
      symbols.index = null;
    } finally {
      await file.close();
    }
  }

  /** Learns whose the process is while it lives: what it leaves behind can then be read when it has ended. Never throws. */
  async learnOwner(id: SpaceId): Promise<void> {
    const symbols = this.#generatedOf(id);
    symbols.owner ??= await readMapOwner(this.#hostRoot, id.tgid);
  }

  /** Learns the functions at addresses of generated code. Never throws. */
  async learnGenerated(id: SpaceId, addresses: readonly number[]): Promise<void> {
    const symbols = this.#generatedOf(id);
    if (symbols.nextIn > this.#window) return;
    await this.learnOwner(id);
    const file = symbols.owner === null ? null : await openPerfMap(this.#hostRoot, id.tgid, symbols.owner);
    if (file === null) return;
    try {
      const { size } = await file.stat();
      if (size === symbols.bytes && addresses.every((address) => symbols.functions.get(address) !== undefined)) return;
      // Lines that came since may say that a place was used again.
      if (size !== symbols.bytes) symbols.functions.clear();
      symbols.bytes = size;
      symbols.nextIn = this.#window + Math.ceil(size / MAP_BYTES_PER_WINDOW);
      for (const { start, end, name } of await findGenerated(file, addresses)) symbols.functions.add(start, end, generatedFrame(name));
      for (const address of addresses) if (symbols.functions.get(address) === undefined) symbols.functions.add(address, address + 1, "");
    } catch {
      // Cut short while it was read: the next window tries again.
      symbols.bytes = -1;
    } finally {
      await file.close();
    }
  }

  /** The frame at an address of a process, which is at that offset of what it has mapped there; `lasts` is of it then. */
  frame(id: SpaceId, address: number, code: MappedCode, offset: number): string {
    this.lasts = code.kind === "anonymous" ? GENERATED_WINDOWS : Number.POSITIVE_INFINITY;
    if (code.kind === "vdso") return VDSO;
    if (code.kind === "anonymous") {
      return this.#generated.get(keyOf(id))?.functions.get(address) || UNKNOWN_GENERATED;
    }
    const symbols = this.#symbolsOf(code);
    if (symbols.index === null) return symbols.frame;
    const text = symbols.frameAt(offset);
    if (text !== undefined) return text;
    this.lasts = 0;
    return symbols.frame;
  }

  /** Frames of one file mostly follow one another, so the last one is tried before it is looked for. */
  #symbolsOf(code: MappedCode): FileSymbols {
    if (this.#last?.code === code) return this.#last.symbols;
    let symbols = this.#files.get(code);
    if (symbols === undefined) {
      symbols = new FileSymbols(code);
      this.#files.set(code, symbols);
      if (this.#files.size > FILES_MAX) this.#files.delete(this.#files.keys().next().value as MappedCode);
    }
    this.#last = { code, symbols };
    return symbols;
  }

  #generatedOf(id: SpaceId): GeneratedSymbols {
    const key = keyOf(id);
    let symbols = this.#generated.get(key);
    if (symbols === undefined) {
      symbols = { owner: null, functions: new RangeTable(FUNCTIONS_MAX), bytes: -1, nextIn: 0 };
      this.#generated.set(key, symbols);
      if (this.#generated.size > PROCESSES_MAX) this.#generated.delete(this.#generated.keys().next().value as string);
    }
    return symbols;
  }
}
