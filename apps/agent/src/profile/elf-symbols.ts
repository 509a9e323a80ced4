// SPDX-License-Identifier: Apache-2.0
import { constants, readSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { lowerBound } from "./range-table.ts";

/**
 * Names of functions in ELF64 files (elf(5)), for a few addresses at a time: the symbol table is streamed past them and not kept, as that of one large
 * program takes more memory than the agent has.
 */

const SYMBOL_BYTES = 24;
const SYMBOLS_PER_READ = 16_384;
const SHT_SYMTAB = 2;
const SHT_DYNSYM = 11;
const STT_FUNC = 2;
const STT_GNU_IFUNC = 10;
const STB_LOCAL = 0;
const PT_LOAD = 1;
const NAME_BYTES_MAX = 256;
/** A file with more than this in its headers is broken, or means harm. */
const HEADERS_BYTES_MAX = 1 << 20;
const SYMBOLS_MAX = 4_000_000;

/** A part of the file that is loaded into memory. */
interface Segment {
  readonly offset: number;
  readonly bytes: number;
  readonly address: number;
}

interface Table {
  readonly offset: number;
  readonly count: number;
  readonly names: { readonly offset: number; readonly bytes: number };
}

/** Bytes that a pass over the table reads. */
export function passBytes({ table }: ElfIndex): number {
  return (table?.count ?? 0) * SYMBOL_BYTES;
}

/** What has to be known of a file to look up symbols; a few numbers. */
export interface ElfIndex {
  readonly segments: readonly Segment[];
  /** null: stripped. */
  readonly table: Table | null;
}

/** A function's range of addresses (as the file counts them); an empty name is a stretch that no function covers. */
export interface FunctionRange {
  readonly start: number;
  readonly end: number;
  readonly name: string;
}

/** A file that is the one that is mapped. */
export interface FileIdentity {
  readonly inode: number;
  readonly bytes: number;
}

/**
 * Opens the first of the paths that holds that very file: by inode number and size, as a path may mean another file to the agent than to the process.
 * Null if none does or it cannot be read.
 */
export async function openSame(paths: readonly string[], identity: FileIdentity): Promise<FileHandle | null> {
  for (const path of paths) {
    let file: FileHandle | undefined;
    try {
      // Opening a pipe that was put in the file's place must not wait for a writer.
      file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
      const found = await file.stat();
      if (found.isFile() && found.ino === identity.inode && found.size === identity.bytes) return file;
    } catch {
      // Not there, or not for this user: the next path may do.
    }
    await file?.close();
  }
  return null;
}

/** Reads where things are. Throws a TypeError if the file is no little-endian ELF64 or contradicts itself. */
export async function readElfIndex(file: FileHandle): Promise<ElfIndex> {
  const header = await readAt(file, 0, 64);
  if (header.readUInt32BE(0) !== 0x7f454c46 || header[4] !== 2 || header[5] !== 1) throw new TypeError("not a little-endian ELF64 file");
  const programs = await readTable(file, header, { at: 32, entryBytesAt: 54, countAt: 56 });
  const segments: Segment[] = [];
  for (const entry of programs) {
    if (entry.readUInt32LE(0) !== PT_LOAD) continue;
    segments.push({ offset: u64(entry, 8), address: u64(entry, 16), bytes: u64(entry, 32) });
  }
  const sections = await readTable(file, header, { at: 40, entryBytesAt: 58, countAt: 60 });
  const section = sections.find((entry) => entry.readUInt32LE(4) === SHT_SYMTAB) ?? sections.find((entry) => entry.readUInt32LE(4) === SHT_DYNSYM);
  const names = section === undefined ? undefined : sections[section.readUInt32LE(40)];
  if (section === undefined || names === undefined) return { segments, table: null };
  const count = Math.min(Math.floor(u64(section, 32) / SYMBOL_BYTES), SYMBOLS_MAX);
  return { segments, table: { offset: u64(section, 24), count, names: { offset: u64(names, 24), bytes: u64(names, 32) } } };
}

/** Address, as the file counts them, of a byte of the file; undefined if it is not loaded. */
export function addressOfOffset({ segments }: ElfIndex, offset: number): number | undefined {
  for (const segment of segments)
    if (offset >= segment.offset && offset < segment.offset + segment.bytes) return segment.address + (offset - segment.offset);
  return undefined;
}

let symbols: Uint32Array | undefined;

/**
 * The ranges that the addresses lie in: one per address at most, fewer where several lie in one function. Calls take turns.
 * Of two symbols that cover an address the one that starts later counts; of two that start together, one that is not local.
 */
export async function findFunctions(file: FileHandle, { table }: ElfIndex, addresses: Iterable<number>): Promise<FunctionRange[]> {
  const wanted = Float64Array.from(new Set(addresses)).sort();
  const found = new Found(wanted);
  if (table !== null && wanted.length > 0) {
    // One for all files, which are read one after the other.
    symbols ??= new Uint32Array((SYMBOLS_PER_READ * SYMBOL_BYTES) / 4);
    const bytes = new Uint8Array(symbols.buffer);
    for (let at = 0; at < table.count; at += SYMBOLS_PER_READ) {
      const count = Math.min(SYMBOLS_PER_READ, table.count - at);
      const { bytesRead } = await file.read(bytes, 0, count * SYMBOL_BYTES, table.offset + at * SYMBOL_BYTES);
      found.take(symbols, Math.floor(bytesRead / SYMBOL_BYTES));
      if (bytesRead < count * SYMBOL_BYTES) break;
    }
  }
  const ranges: FunctionRange[] = [];
  for (const { start, end, nameAt } of found.ranges()) {
    const name = nameAt < 0 || table === null ? "" : readName(file, table, nameAt);
    ranges.push({ start, end, name });
  }
  return ranges;
}

/** What is known of each wanted address while symbols pass by. */
class Found {
  readonly #wanted: Float64Array;
  readonly #starts: Float64Array;
  readonly #ends: Float64Array;
  readonly #names: Float64Array;
  readonly #isLocal: Uint8Array;
  /** Where the nearest functions before end and after start. */
  readonly #endsBefore: Float64Array;
  readonly #startsAfter: Float64Array;

  constructor(wanted: Float64Array) {
    this.#wanted = wanted;
    this.#starts = new Float64Array(wanted.length).fill(-1);
    this.#ends = new Float64Array(wanted.length);
    this.#names = new Float64Array(wanted.length).fill(-1);
    this.#isLocal = new Uint8Array(wanted.length);
    this.#endsBefore = new Float64Array(wanted.length);
    this.#startsAfter = new Float64Array(wanted.length).fill(Number.MAX_SAFE_INTEGER);
  }

  /** @param words the symbols (Elf64_Sym), as words of 4 bytes */
  take(words: Uint32Array, count: number): void {
    const wanted = this.#wanted;
    const startsAfter = this.#startsAfter;
    const endsBefore = this.#endsBefore;
    const greatest = wanted[wanted.length - 1] as number;
    for (let symbol = 0, at = 0; symbol < count; symbol++, at += SYMBOL_BYTES / 4) {
      // st_info in the lowest byte, st_shndx in the upper half.
      const info = words[at + 1] as number;
      const type = info & 0xf;
      if ((type !== STT_FUNC && type !== STT_GNU_IFUNC) || info >>> 16 === 0) continue;
      const start = (words[at + 2] as number) + (words[at + 3] as number) * 2 ** 32;
      const end = start + (words[at + 4] as number) + (words[at + 5] as number) * 2 ** 32;
      const first = start > greatest ? wanted.length : lowerBound(wanted, start);
      if (first > 0 && start < (startsAfter[first - 1] as number)) startsAfter[first - 1] = start;
      if (first === wanted.length) continue;
      const index = end > (wanted[first] as number) ? this.#cover(first, start, end, words[at] as number, (info >>> 4) & 0xf) : first;
      if (index < wanted.length && end > (endsBefore[index] as number)) endsBefore[index] = end;
    }
  }

  /** Notes down the function for all wanted addresses from `first` on that it covers; returns the first one behind it. */
  #cover(first: number, start: number, end: number, nameAt: number, binding: number): number {
    const isLocal = binding === STB_LOCAL ? 1 : 0;
    let index = first;
    for (; index < this.#wanted.length && (this.#wanted[index] as number) < end; index++) {
      const known = this.#starts[index] as number;
      if (start < known || (start === known && isLocal >= (this.#isLocal[index] as number))) continue;
      this.#starts[index] = start;
      this.#ends[index] = end;
      this.#names[index] = nameAt;
      this.#isLocal[index] = isLocal;
    }
    return index;
  }

  /** Ranges without overlap: a function ends where a later one starts. */
  *ranges(): Generator<{ start: number; end: number; nameAt: number }> {
    const count = this.#wanted.length;
    for (let index = count - 2; index >= 0; index--)
      this.#startsAfter[index] = Math.min(this.#startsAfter[index] as number, this.#startsAfter[index + 1] as number);
    for (let index = 1; index < count; index++)
      this.#endsBefore[index] = Math.max(this.#endsBefore[index] as number, this.#endsBefore[index - 1] as number);
    let coveredTo = -1;
    for (let index = 0; index < count; index++) {
      const address = this.#wanted[index] as number;
      if (address < coveredTo) continue;
      const after = this.#startsAfter[index] as number;
      const isNamed = (this.#starts[index] as number) >= 0;
      const start = isNamed ? (this.#starts[index] as number) : Math.min(address, this.#endsBefore[index] as number);
      const end = isNamed ? Math.min(this.#ends[index] as number, after) : after;
      coveredTo = end;
      yield { start: Math.max(start, 0), end, nameAt: this.#names[index] as number };
    }
  }
}

const nameBytes = Buffer.alloc(NAME_BYTES_MAX);

/** At once and not on a worker thread: a name takes a microsecond to read, and the way there and back fifty. */
function readName(file: FileHandle, { names }: Table, at: number): string {
  if (at >= names.bytes) return "";
  const count = readSync(file.fd, nameBytes, 0, Math.min(NAME_BYTES_MAX, names.bytes - at), names.offset + at);
  const end = nameBytes.subarray(0, count).indexOf(0);
  return nameBytes.toString("latin1", 0, end < 0 ? count : end);
}

async function readTable(file: FileHandle, header: Buffer, where: { at: number; entryBytesAt: number; countAt: number }): Promise<Buffer[]> {
  const offset = u64(header, where.at);
  const entryBytes = header.readUInt16LE(where.entryBytesAt);
  const count = header.readUInt16LE(where.countAt);
  if (offset === 0 || count === 0) return [];
  if (entryBytes < 56 || entryBytes * count > HEADERS_BYTES_MAX) throw new TypeError("an ELF header says what cannot be");
  const bytes = await readAt(file, offset, entryBytes * count);
  return Array.from({ length: count }, (_, index) => bytes.subarray(index * entryBytes, (index + 1) * entryBytes));
}

async function readAt(file: FileHandle, position: number, bytes: number): Promise<Buffer> {
  const buffer = Buffer.alloc(bytes);
  const { bytesRead } = await file.read(buffer, 0, bytes, position);
  if (bytesRead < bytes) throw new TypeError("the ELF file ends before its headers say");
  return buffer;
}

/** File offsets and sizes stay far below 2^53; what does not is broken. */
function u64(bytes: Buffer, at: number): number {
  const value = bytes.readUInt32LE(at) + bytes.readUInt32LE(at + 4) * 2 ** 32;
  if (!Number.isSafeInteger(value)) throw new TypeError("an ELF header says what cannot be");
  return value;
}
