// SPDX-License-Identifier: Apache-2.0
import { KIND } from "../../../apps/agent/src/libbpf/btf-format.ts";
import { type ElfSection, sectionsOf } from "../../../apps/agent/src/libbpf/elf.ts";
import { BtfTypes } from "./btf-types.ts";
import { type Relocation, readRelocations } from "./relocations.ts";

const SYMBOL_BYTES = 24;
const LINK_BYTES = 16;
const FUNCTION = 2;

interface ElfSymbol {
  readonly name: string;
  readonly type: number;
  readonly section: number;
  readonly value: number;
  readonly size: number;
}

/** Where an instruction refers to: a place in another section. */
export interface Reference {
  readonly section: string;
  /** Bytes from the start of that section, without what the instruction adds. */
  readonly offset: number;
}

export interface ObjectFile {
  readonly types: BtfTypes;
  /** Instructions by section. */
  readonly code: ReadonlyMap<string, Buffer>;
  readonly rodata: Buffer;
  /** Variables of .rodata by name. */
  readonly constants: ReadonlyMap<string, { readonly offset: number; readonly size: number }>;
  /** Programs by name. */
  readonly programs: ReadonlyMap<string, Reference>;
  /** What instructions refer to, by section and offset. */
  readonly references: ReadonlyMap<string, ReadonlyMap<number, Reference>>;
  readonly relocations: ReadonlyMap<string, ReadonlyMap<number, Relocation>>;
  /** Types of the maps that the object makes (enum bpf_map_type). */
  readonly mapTypes: ReadonlySet<number>;
}

/** Reads a compiled BPF object (elf(5), and Documentation/bpf/llvm_reloc.rst). Throws a TypeError if it is none. */
export function readObjectFile(elf: Buffer): ObjectFile {
  const sections = sectionsOf(elf);
  const content = (name: string): Buffer => {
    const section = sections.find((candidate) => candidate.name === name);
    if (section === undefined) throw new TypeError(`no section ${name}`);
    return section.content;
  };
  const types = new BtfTypes(content(".BTF"));
  const symbols = readSymbols(sections);
  const nameOf = (index: number): string => sections[index]?.name ?? "";
  const references = new Map<string, Map<number, Reference>>();
  for (const { name, content } of sections) {
    if (!name.startsWith(".rel") || name.startsWith(".rel.BTF")) continue;
    const found = new Map<number, Reference>();
    for (let at = 0; at + LINK_BYTES <= content.length; at += LINK_BYTES) {
      const symbol = symbols[content.readUInt32LE(at + 12)];
      if (symbol !== undefined) found.set(Number(content.readBigUInt64LE(at)), { section: nameOf(symbol.section), offset: symbol.value });
    }
    references.set(name.slice(".rel".length), found);
  }
  const functions = symbols.filter(({ type }) => type === FUNCTION);
  const codeSections = new Set(functions.map(({ section }) => nameOf(section)));
  const relocations = readRelocations(content(".BTF.ext"), types);
  return {
    types,
    code: new Map(sections.filter(({ name }) => codeSections.has(name)).map(({ name, content }) => [name, content])),
    rodata: sections.find(({ name }) => name === ".rodata")?.content ?? Buffer.alloc(0),
    constants: new Map(
      symbols.filter(({ section }) => nameOf(section) === ".rodata").map(({ name, value, size }) => [name, { offset: value, size }]),
    ),
    programs: new Map(functions.map(({ name, section, value }) => [name, { section: nameOf(section), offset: value }])),
    references,
    relocations: new Map([...relocations].map(([section, list]) => [section, new Map(list.map((relocation) => [relocation.offset, relocation]))])),
    mapTypes: readMapTypes(types),
  };
}

function readSymbols(sections: readonly ElfSection[]): ElfSymbol[] {
  const table = sections.find(({ name }) => name === ".symtab");
  const strings = sections[table?.link ?? -1]?.content;
  if (table === undefined || strings === undefined) throw new TypeError("no symbols");
  return Array.from({ length: table.content.length / SYMBOL_BYTES }, (_, index) => {
    const at = index * SYMBOL_BYTES;
    const nameAt = table.content.readUInt32LE(at);
    return {
      name: strings.toString("latin1", nameAt, strings.indexOf(0, nameAt)),
      type: table.content.readUInt8(at + 4) & 0xf,
      section: table.content.readUInt16LE(at + 6),
      value: Number(table.content.readBigUInt64LE(at + 8)),
      size: Number(table.content.readBigUInt64LE(at + 16)),
    };
  });
}

/** A map is a variable of section .maps; its type is the length of the array that its member `type` points to (libbpf's __uint()). */
function readMapTypes(types: BtfTypes): Set<number> {
  const found = new Set<number>();
  for (let id = 1; id < types.count; id++) {
    const section = types.get(id);
    if (section.kind !== KIND.datasec || section.name !== ".maps") continue;
    for (const { type } of section.variables) {
      const struct = types.plain(types.get(type).sizeOrType);
      const member = struct.members.find(({ name }) => name === "type");
      const array = member === undefined ? null : types.plain(types.plain(member.type).sizeOrType).array;
      if (array !== null) found.add(array.length);
    }
  }
  return found;
}
