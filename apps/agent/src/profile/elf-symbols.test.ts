// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { addressOfOffset, findFunctions, openSame, readElfIndex } from "./elf-symbols.ts";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "waggle-elf-"));
});
afterEach(() => rmSync(directory, { recursive: true }));

interface MadeUpSymbol {
  name: string;
  start: number;
  bytes: number;
  type?: "function" | "object" | "ifunc";
  binding?: "local" | "global";
  isUndefined?: boolean;
}

/** An ELF64 file with one loaded segment (file offset 0x1000 at address 0x401000), a symbol table of that section type, and its strings. */
function makeElf(symbols: readonly MadeUpSymbol[], sectionType = 2): Buffer {
  const strings = Buffer.from(`\0${symbols.map(({ name }) => `${name}\0`).join("")}`);
  const table = Buffer.alloc(symbols.length * 24);
  let nameAt = 1;
  symbols.forEach(({ name, start, bytes, type = "function", binding = "global", isUndefined = false }, index) => {
    table.writeUInt32LE(nameAt, index * 24);
    table[index * 24 + 4] = ({ function: 2, object: 1, ifunc: 10 } as const)[type] | ((binding === "global" ? 1 : 0) << 4);
    table.writeUInt16LE(isUndefined ? 0 : 1, index * 24 + 6);
    table.writeBigUInt64LE(BigInt(start), index * 24 + 8);
    table.writeBigUInt64LE(BigInt(bytes), index * 24 + 16);
    nameAt += name.length + 1;
  });
  const header = Buffer.alloc(64);
  Buffer.from([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]).copy(header);
  const programAt = 64;
  const tableAt = programAt + 56;
  const stringsAt = tableAt + table.length;
  const sectionsAt = stringsAt + strings.length;
  header.writeBigUInt64LE(BigInt(programAt), 32);
  header.writeBigUInt64LE(BigInt(sectionsAt), 40);
  header.writeUInt16LE(56, 54);
  header.writeUInt16LE(1, 56);
  header.writeUInt16LE(64, 58);
  header.writeUInt16LE(3, 60);
  const program = Buffer.alloc(56);
  program.writeUInt32LE(1, 0);
  program.writeBigUInt64LE(0x1000n, 8);
  program.writeBigUInt64LE(0x401000n, 16);
  program.writeBigUInt64LE(0x2000n, 32);
  const section = (type: number, at: number, bytes: number, link: number): Buffer => {
    const entry = Buffer.alloc(64);
    entry.writeUInt32LE(type, 4);
    entry.writeBigUInt64LE(BigInt(at), 24);
    entry.writeBigUInt64LE(BigInt(bytes), 32);
    entry.writeUInt32LE(link, 40);
    return entry;
  };
  return Buffer.concat([
    header,
    program,
    table,
    strings,
    section(0, 0, 0, 0),
    section(sectionType, tableAt, table.length, 2),
    section(3, stringsAt, strings.length, 0),
  ]);
}

async function find(elf: Buffer, addresses: number[]) {
  const path = join(directory, "file");
  writeFileSync(path, elf);
  await using file = await open(path);
  return await findFunctions(file, await readElfIndex(file), addresses);
}

describe("findFunctions", () => {
  const symbols: MadeUpSymbol[] = [
    { name: "third", start: 0x401300, bytes: 0x100 },
    { name: "first", start: 0x401100, bytes: 0x80 },
    { name: "data", start: 0x401180, bytes: 0x80, type: "object" },
    { name: "elsewhere", start: 0x401180, bytes: 0x80, isUndefined: true },
    { name: "second", start: 0x401200, bytes: 0x100, type: "ifunc" },
  ];

  it("finds the function of each address and what it reaches over, in any order of the table", async () => {
    expect(await find(makeElf(symbols), [0x4013ff, 0x401100, 0x40117f, 0x401250])).toEqual([
      { start: 0x401100, end: 0x401180, name: "first" },
      { start: 0x401200, end: 0x401300, name: "second" },
      { start: 0x401300, end: 0x401400, name: "third" },
    ]);
  });

  it("knows how far a stretch without functions goes", async () => {
    expect(await find(makeElf(symbols), [0x401190, 0x401010, 0x401500])).toEqual([
      { start: 0, end: 0x401100, name: "" },
      { start: 0x401180, end: 0x401200, name: "" },
      { start: 0x401400, end: Number.MAX_SAFE_INTEGER, name: "" },
    ]);
  });

  it("takes the inner of two that cover an address, and of two that start together the one others may call", async () => {
    const nested: MadeUpSymbol[] = [
      { name: "outer", start: 0x401000, bytes: 0x1000 },
      { name: "inner", start: 0x401100, bytes: 0x100 },
      { name: "alias", start: 0x401100, bytes: 0x100, binding: "local" },
    ];
    for (const order of [nested, nested.toReversed()]) {
      expect((await find(makeElf(order), [0x401150])).map(({ name }) => name)).toEqual(["inner"]);
      // The outer one ends, for this purpose, where the inner one starts.
      expect(await find(makeElf(order), [0x401050])).toEqual([{ start: 0x401000, end: 0x401100, name: "outer" }]);
    }
  });

  it("reads the dynamic symbols of a stripped library, and finds nothing where there are none", async () => {
    expect((await find(makeElf(symbols, 11), [0x401110])).map(({ name }) => name)).toEqual(["first"]);
    expect(await find(makeElf([], 7), [0x401110])).toMatchObject([{ name: "" }]);
  });

  it("streams tables that are larger than what is read at a time", async () => {
    const many = Array.from({ length: 20_000 }, (_, index) => ({ name: `f${index}`, start: 0x500000 + index * 16, bytes: 16 }));
    expect((await find(makeElf(many), [0x500000, 0x500000 + 8_192 * 16, 0x500000 + 19_999 * 16 + 15])).map(({ name }) => name)).toEqual([
      "f0",
      "f8192",
      "f19999",
    ]);
  });
});

describe("readElfIndex", () => {
  const index = async (bytes: Buffer) => {
    const path = join(directory, "file");
    writeFileSync(path, bytes);
    await using file = await open(path);
    return await readElfIndex(file);
  };

  it("turns offsets in the file into addresses, where they are loaded", async () => {
    const elf = await index(makeElf([]));
    expect([0xfff, 0x1000, 0x1234, 0x2fff, 0x3000].map((offset) => addressOfOffset(elf, offset))).toEqual([
      undefined,
      0x401000,
      0x401234,
      0x402fff,
      undefined,
    ]);
  });

  it("refuses what is no ELF64 file, what is cut off, and headers that say what cannot be", async () => {
    await expect(index(Buffer.from("#!/bin/sh\n"))).rejects.toThrow("ends before");
    await expect(index(Buffer.alloc(100))).rejects.toThrow("not a little-endian ELF64");
    const elf = makeElf([]);
    await expect(index(elf.subarray(0, elf.length - 70))).rejects.toThrow("ends before");
    const wrong = Buffer.from(elf);
    wrong.writeUInt16LE(0xffff, 60);
    await expect(index(wrong)).rejects.toThrow("what cannot be");
    const far = Buffer.from(elf);
    far.writeBigUInt64LE(2n ** 63n, 40);
    await expect(index(far)).rejects.toThrow("what cannot be");
  });
});

describe("openSame", () => {
  it("opens the first path that holds that very file, and none that only has its name", async () => {
    const [mine, other] = [join(directory, "mine"), join(directory, "other")];
    writeFileSync(mine, "mine");
    writeFileSync(other, "other");
    const identity = { inode: statSync(mine).ino, bytes: 4 };
    const opened = async (paths: string[], wanted = identity): Promise<boolean> => {
      const file = await openSame(paths, wanted);
      await file?.close();
      return file !== null;
    };
    expect(await opened([join(directory, "missing"), other, mine])).toBe(true);
    expect(await opened([other])).toBe(false);
    expect(await opened([mine], { ...identity, bytes: 5 })).toBe(false);
    expect(await opened([directory])).toBe(false);
  });

  it("does not wait for somebody to write into a pipe", async () => {
    const pipe = join(directory, "pipe");
    execFileSync("mkfifo", [pipe]);
    expect(await openSame([pipe], { inode: statSync(pipe).ino, bytes: 0 })).toBeNull();
  });
});
