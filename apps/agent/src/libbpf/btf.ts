// SPDX-License-Identifier: Apache-2.0
import { BTF_MAGIC, KIND, memberBytes } from "./btf-format.ts";
import { readSection } from "./elf.ts";

/**
 * Struct layouts out of an object file's .BTF section (Documentation/bpf/btf.rst), so that offsets are never typed twice:
 * the C file is where a struct is laid out, and what is decoded follows it.
 */

export interface StructField {
  readonly name: string;
  /** Bytes from the start of the struct. */
  readonly offset: number;
  readonly size: number;
  /** Name of the field's type: `__u64`, `__u8[16]`, `struct program_cost`. */
  readonly type: string;
}

export interface StructLayout {
  readonly name: string;
  readonly size: number;
  readonly fields: readonly StructField[];
}

interface Type {
  readonly kind: number;
  readonly name: string;
  readonly sizeOrType: number;
  readonly vlen: number;
  /** Where the kind's own data starts. */
  readonly at: number;
}

/** All named structs of an ELF object file. Throws a TypeError if it is not little-endian ELF64 with a .BTF section. */
export function readStructLayouts(elf: Buffer): Map<string, StructLayout> {
  const btf = readSection(elf, ".BTF");
  if (btf.readUInt16LE(0) !== BTF_MAGIC) throw new TypeError("section .BTF does not start with the BTF magic number");
  const headerBytes = btf.readUInt32LE(4);
  const typesAt = headerBytes + btf.readUInt32LE(8);
  const typesEnd = typesAt + btf.readUInt32LE(12);
  const stringsAt = headerBytes + btf.readUInt32LE(16);
  const text = (offset: number): string => btf.toString("utf8", stringsAt + offset, btf.indexOf(0, stringsAt + offset));

  const types: Type[] = [{ kind: 0, name: "void", sizeOrType: 0, vlen: 0, at: 0 }];
  for (let at = typesAt; at < typesEnd; ) {
    const info = btf.readUInt32LE(at + 4);
    const kind = (info >>> 24) & 0x1f;
    const vlen = info & 0xffff;
    types.push({ kind, name: text(btf.readUInt32LE(at)), sizeOrType: btf.readUInt32LE(at + 8), vlen, at: at + 12 });
    at += 12 + memberBytes(kind, vlen);
  }

  const sizeOf = (id: number): number => {
    const type = types[id] as Type;
    switch (type.kind) {
      case KIND.pointer:
        return 8;
      case KIND.array:
        return sizeOf(btf.readUInt32LE(type.at)) * btf.readUInt32LE(type.at + 8);
      case KIND.typedef:
      case KIND.volatile:
      case KIND.const:
      case KIND.restrict:
        return sizeOf(type.sizeOrType);
      default:
        return type.sizeOrType;
    }
  };
  const nameOf = (id: number): string => {
    const type = types[id] as Type;
    switch (type.kind) {
      case KIND.pointer:
        return `${nameOf(type.sizeOrType)} *`;
      case KIND.array:
        return `${nameOf(btf.readUInt32LE(type.at))}[${btf.readUInt32LE(type.at + 8)}]`;
      case KIND.struct:
        return `struct ${type.name}`;
      case KIND.volatile:
      case KIND.const:
      case KIND.restrict:
        return nameOf(type.sizeOrType);
      default:
        return type.name;
    }
  };

  const layouts = new Map<string, StructLayout>();
  for (const type of types) {
    if (type.kind !== KIND.struct || type.name === "") continue;
    const fields: StructField[] = [];
    for (let i = 0; i < type.vlen; i++) {
      const at = type.at + i * 12;
      const id = btf.readUInt32LE(at + 4);
      // With kind_flag set the upper 8 bits are a bit field's width; structs that cross to user space have none.
      const offset = (btf.readUInt32LE(at + 8) & 0xffffff) / 8;
      fields.push({ name: text(btf.readUInt32LE(at)), offset, size: sizeOf(id), type: nameOf(id) });
    }
    layouts.set(type.name, { name: type.name, size: type.sizeOrType, fields });
  }
  return layouts;
}
