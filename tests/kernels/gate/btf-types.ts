// SPDX-License-Identifier: Apache-2.0
import { BTF_MAGIC, KIND, memberBytes } from "../../../apps/agent/src/libbpf/btf-format.ts";

/** BTF as a graph of types, for those who follow references; KernelBtf (apps/agent) answers questions about one name each. */

export interface BtfMember {
  readonly name: string;
  readonly type: number;
  /** Bits from the start of the struct. */
  readonly bitOffset: number;
  /** Width of a bit field; 0: it is none. */
  readonly bits: number;
}

export interface BtfType {
  readonly id: number;
  readonly kind: number;
  readonly name: string;
  /** Byte size, or the type that this one is of. */
  readonly sizeOrType: number;
  readonly hasFlag: boolean;
  /** Of structs and unions. */
  readonly members: readonly BtfMember[];
  /** Of enumerations, values by name; only their low 32 bits of 64. */
  readonly values: readonly { readonly name: string; readonly value: number; readonly high: number }[];
  /** Of arrays. */
  readonly array: { readonly type: number; readonly index: number; readonly length: number } | null;
  /** Of prototypes. */
  readonly parameters: readonly { readonly name: string; readonly type: number }[];
  /** Of sections. */
  readonly variables: readonly { readonly type: number; readonly offset: number; readonly size: number }[];
}

const VOID: BtfType = {
  id: 0,
  kind: 0,
  name: "",
  sizeOrType: 0,
  hasFlag: false,
  members: [],
  values: [],
  array: null,
  parameters: [],
  variables: [],
};

export class BtfTypes {
  readonly #bytes: Buffer;
  readonly #stringsAt: number;
  readonly #heads: number[] = [0];
  readonly #known = new Map<number, BtfType>();
  #byName: Map<string, number[]> | undefined;

  /** @param bytes a BTF file, or the section .BTF. Throws a TypeError if it is none. */
  constructor(bytes: Buffer) {
    if (bytes.length < 24 || bytes.readUInt16LE(0) !== BTF_MAGIC) throw new TypeError("not little-endian BTF");
    const headerBytes = bytes.readUInt32LE(4);
    const typesAt = headerBytes + bytes.readUInt32LE(8);
    const typesEnd = typesAt + bytes.readUInt32LE(12);
    this.#bytes = bytes;
    this.#stringsAt = headerBytes + bytes.readUInt32LE(16);
    for (let at = typesAt; at < typesEnd; ) {
      this.#heads.push(at);
      const info = bytes.readUInt32LE(at + 4);
      at += 12 + memberBytes((info >>> 24) & 0x1f, info & 0xffff);
    }
  }

  get count(): number {
    return this.#heads.length;
  }

  text(offset: number): string {
    const from = this.#stringsAt + offset;
    return this.#bytes.toString("latin1", from, this.#bytes.indexOf(0, from));
  }

  get(id: number): BtfType {
    if (id === 0) return VOID;
    let type = this.#known.get(id);
    if (type === undefined) {
      type = this.#read(id);
      this.#known.set(id, type);
    }
    return type;
  }

  /** Ids of types of that name and one of these kinds; a flavour (`name___what`) goes under the name in front of the underscores. */
  find(name: string, kinds: readonly number[]): number[] {
    if (this.#byName === undefined) {
      this.#byName = new Map();
      for (let id = 1; id < this.count; id++) {
        const essential = essentialName(this.#nameOf(id));
        if (essential === "") continue;
        const ids = this.#byName.get(essential);
        if (ids === undefined) this.#byName.set(essential, [id]);
        else ids.push(id);
      }
    }
    return (this.#byName.get(name) ?? []).filter((id) => kinds.includes(this.#kindOf(id)));
  }

  /** The type without typedefs and qualifiers. */
  plain(id: number): BtfType {
    let type = this.get(id);
    while (TRANSPARENT.includes(type.kind)) type = this.get(type.sizeOrType);
    return type;
  }

  sizeOf(id: number): number {
    const type = this.plain(id);
    if (type.kind === KIND.pointer) return 8;
    if (type.array !== null) return type.array.length * this.sizeOf(type.array.type);
    return type.sizeOrType;
  }

  #kindOf(id: number): number {
    return (this.#bytes.readUInt32LE((this.#heads[id] as number) + 4) >>> 24) & 0x1f;
  }

  #nameOf(id: number): string {
    return this.text(this.#bytes.readUInt32LE(this.#heads[id] as number));
  }

  #read(id: number): BtfType {
    const head = this.#heads[id];
    if (head === undefined) throw new RangeError(`no BTF type ${id}`);
    const bytes = this.#bytes;
    const u32 = (at: number): number => bytes.readUInt32LE(at);
    const info = u32(head + 4);
    const kind = (info >>> 24) & 0x1f;
    const hasFlag = info >>> 31 === 1;
    const at = head + 12;
    const list = <T>(of: readonly number[], size: number, read: (at: number) => T): T[] =>
      of.includes(kind) ? Array.from({ length: info & 0xffff }, (_, index) => read(at + index * size)) : [];
    const enumSize = kind === KIND.enum64 ? 12 : 8;
    return {
      id,
      kind,
      name: this.#nameOf(id),
      sizeOrType: u32(head + 8),
      hasFlag,
      members: list([KIND.struct, KIND.union], 12, (member) => ({
        name: this.text(u32(member)),
        type: u32(member + 4),
        bitOffset: hasFlag ? u32(member + 8) & 0xffffff : u32(member + 8),
        bits: hasFlag ? u32(member + 8) >>> 24 : 0,
      })),
      values: list([KIND.enum, KIND.enum64], enumSize, (member) => ({
        name: this.text(u32(member)),
        value: bytes.readInt32LE(member + 4),
        high: kind === KIND.enum64 ? bytes.readInt32LE(member + 8) : 0,
      })),
      array: kind === KIND.array ? { type: u32(at), index: u32(at + 4), length: u32(at + 8) } : null,
      parameters: list([KIND.funcProto], 8, (member) => ({ name: this.text(u32(member)), type: u32(member + 4) })),
      variables: list([KIND.datasec], 12, (member) => ({ type: u32(member), offset: u32(member + 4), size: u32(member + 8) })),
    };
  }
}

const TRANSPARENT: readonly number[] = [KIND.typedef, KIND.volatile, KIND.const, KIND.restrict, KIND.typeTag, KIND.declTag];

/** A flavour names one kernel's shape of a type: `task_struct___before_5_14` is about `task_struct`. */
export function essentialName(name: string): string {
  const at = name.indexOf("___");
  return at > 0 ? name.slice(0, at) : name;
}
