// SPDX-License-Identifier: Apache-2.0

/** What is read of ELF64 files (elf(5)): sections and symbols by name. */

export interface ElfSection {
  readonly name: string;
  readonly content: Buffer;
  /** Number of a related section: for a symbol table, that of its strings. */
  readonly link: number;
}

const SYMBOL_BYTES = 24;

/** Content of the section. Throws a TypeError if the file is not little-endian ELF64 or has no such section. */
export function readSection(elf: Buffer, name: string): Buffer {
  const section = sectionsOf(elf).find((candidate) => candidate.name === name);
  if (section === undefined) throw new TypeError(`no section ${name}: was the object compiled with -g?`);
  return section.content;
}

/** Offset (bytes from the start of its section) and size of each named symbol. Of two with one name the later one counts. */
export function readSymbols(elf: Buffer): Map<string, { readonly offset: number; readonly size: number }> {
  const sections = sectionsOf(elf);
  const table = sections.find(({ name }) => name === ".symtab");
  const strings = sections[table?.link ?? -1]?.content;
  const symbols = new Map<string, { offset: number; size: number }>();
  if (table === undefined || strings === undefined) return symbols;
  for (let at = 0; at + SYMBOL_BYTES <= table.content.length; at += SYMBOL_BYTES) {
    const nameAt = table.content.readUInt32LE(at);
    if (nameAt === 0) continue;
    symbols.set(strings.toString("latin1", nameAt, strings.indexOf(0, nameAt)), {
      offset: Number(table.content.readBigUInt64LE(at + 8)),
      size: Number(table.content.readBigUInt64LE(at + 16)),
    });
  }
  return symbols;
}

/** All sections, in the order of their numbers. Throws a TypeError if the file is not little-endian ELF64. */
export function sectionsOf(elf: Buffer): ElfSection[] {
  if (elf.length < 64 || elf.readUInt32BE(0) !== 0x7f454c46 || elf[4] !== 2 || elf[5] !== 1) throw new TypeError("not a little-endian ELF64 file");
  const headersAt = Number(elf.readBigUInt64LE(40));
  const headerBytes = elf.readUInt16LE(58);
  const count = elf.readUInt16LE(60);
  const header = (index: number): Buffer => elf.subarray(headersAt + index * headerBytes, headersAt + (index + 1) * headerBytes);
  const content = (section: Buffer): Buffer => {
    const at = Number(section.readBigUInt64LE(24));
    return elf.subarray(at, at + Number(section.readBigUInt64LE(32)));
  };
  const names = content(header(elf.readUInt16LE(62)));
  return Array.from({ length: count }, (_, index) => {
    const section = header(index);
    const nameAt = section.readUInt32LE(0);
    return { name: names.toString("latin1", nameAt, names.indexOf(0, nameAt)), content: content(section), link: section.readUInt32LE(40) };
  });
}
