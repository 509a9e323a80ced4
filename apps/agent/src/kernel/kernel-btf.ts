// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from "node:fs";
import { BTF_MAGIC, KIND, memberBytes } from "../libbpf/btf-format.ts";

/**
 * What the running kernel says of itself in BTF (Documentation/bpf/btf.rst): which tracepoints it has and with what arguments, which fields its
 * structs have, what its enumerations are called. Programs are chosen by this evidence and never by a version: distributions carry changes
 * back, and stable releases have changed tracepoints.
 */

export const KERNEL_BTF_PATH = "/sys/kernel/btf/vmlinux";

/**
 * A kernel's BTF, held in memory (5 to 10 MB) as long as the object lives: open it, ask, let it go.
 */
export class KernelBtf {
  readonly #bytes: Buffer;
  readonly #stringsAt: number;
  readonly #stringsEnd: number;
  /** Position of each type's head, by type id. */
  readonly #heads: Uint32Array;

  /** @param bytes the content of a BTF file. Throws a TypeError if it is none. */
  constructor(bytes: Buffer) {
    if (bytes.length < 24 || bytes.readUInt16LE(0) !== BTF_MAGIC) throw new TypeError("not little-endian BTF");
    const headerBytes = bytes.readUInt32LE(4);
    const typesAt = headerBytes + bytes.readUInt32LE(8);
    const typesEnd = typesAt + bytes.readUInt32LE(12);
    this.#bytes = bytes;
    this.#stringsAt = headerBytes + bytes.readUInt32LE(16);
    this.#stringsEnd = this.#stringsAt + bytes.readUInt32LE(20);
    if (typesEnd > bytes.length || this.#stringsEnd > bytes.length) throw new TypeError("BTF ends before its header says");
    let heads = new Uint32Array(1 << 16);
    let count = 1;
    for (let at = typesAt; at < typesEnd; ) {
      if (count === heads.length) {
        const larger = new Uint32Array(heads.length * 2);
        larger.set(heads);
        heads = larger;
      }
      heads[count++] = at;
      const info = bytes.readUInt32LE(at + 4);
      at += 12 + memberBytes((info >>> 24) & 0x1f, info & 0xffff);
    }
    this.#heads = heads.subarray(0, count);
  }

  /** The running kernel's; null if it has none or it cannot be read. */
  static open(path = KERNEL_BTF_PATH): KernelBtf | null {
    let bytes: Buffer;
    try {
      bytes = readFileSync(path);
    } catch {
      return null;
    }
    return new KernelBtf(bytes);
  }

  /** Number of types, void left out. */
  get typeCount(): number {
    return this.#heads.length - 1;
  }

  /** Whether the kernel has the tracepoint (a `tp_btf` program can name it). */
  hasTracepoint(name: string): boolean {
    return this.#nameOffset(`btf_trace_${name}`) !== null;
  }

  /** Whether programs can call the helper, by its name in `enum bpf_func_id` without `BPF_FUNC_`. */
  hasHelper(name: string): boolean {
    return [...(this.enumeration("bpf_func_id")?.values() ?? [])].includes(`BPF_FUNC_${name}`);
  }

  /**
   * Types of a tracepoint's arguments as a program sees them (without the leading `void *`), such as `["const struct sock *", "const int"]` with
   * qualifiers left out: `["struct sock *", "int"]`. Null if the kernel does not have the tracepoint.
   */
  tracepointArguments(name: string): readonly string[] | null {
    const id = this.#find(`btf_trace_${name}`, KIND.typedef);
    if (id === null) return null;
    const pointer = this.#typeOf(id);
    const prototype = this.#typeOf(pointer);
    if (this.#kind(prototype) !== KIND.funcProto) return null;
    const at = this.#head(prototype) + 12;
    return Array.from({ length: this.#members(prototype) }, (_, index) => this.#typeName(this.#bytes.readUInt32LE(at + index * 8 + 4))).slice(1);
  }

  /** Whether `struct <name>` exists and has the field, also inside an anonymous struct or union of it. */
  hasField(struct: string, field: string): boolean {
    const id = this.#find(struct, KIND.struct) ?? this.#find(struct, KIND.union);
    return id !== null && this.#hasField(id, field);
  }

  /** Whether the kernel has `struct <name>`. */
  hasStruct(name: string): boolean {
    return this.#find(name, KIND.struct) !== null;
  }

  /** Whether the kernel has a function of that name in BTF (its own, not a module's). */
  hasFunction(name: string): boolean {
    return this.#find(name, KIND.function) !== null;
  }

  /** Names of an enumeration's values, by value; null if the kernel has no such enumeration. */
  enumeration(name: string): ReadonlyMap<number, string> | null {
    const id = this.#find(name, KIND.enum) ?? this.#find(name, KIND.enum64);
    if (id === null) return null;
    const size = this.#kind(id) === KIND.enum64 ? 12 : 8;
    const at = this.#head(id) + 12;
    return new Map(
      Array.from({ length: this.#members(id) }, (_, index) => {
        const member = at + index * size;
        return [this.#bytes.readInt32LE(member + 4), this.#text(this.#bytes.readUInt32LE(member))];
      }),
    );
  }

  /** Value of the constant of that name, whatever enumeration it is of, also of one without a name; null if the kernel has no such constant. */
  enumerator(name: string): number | null {
    const offset = this.#nameOffset(name);
    if (offset === null) return null;
    for (let id = 1; id < this.#heads.length; id++) {
      const kind = this.#kind(id);
      if (kind !== KIND.enum && kind !== KIND.enum64) continue;
      const size = kind === KIND.enum64 ? 12 : 8;
      for (let index = 0, at = this.#head(id) + 12; index < this.#members(id); index++, at += size)
        if (this.#bytes.readUInt32LE(at) === offset) return this.#bytes.readInt32LE(at + 4);
    }
    return null;
  }

  #hasField(struct: number, field: string): boolean {
    const at = this.#head(struct) + 12;
    for (let index = 0; index < this.#members(struct); index++) {
      const name = this.#text(this.#bytes.readUInt32LE(at + index * 12));
      if (name === field) return true;
      if (name !== "") continue;
      const inner = this.#plain(this.#bytes.readUInt32LE(at + index * 12 + 4));
      const kind = this.#kind(inner);
      if ((kind === KIND.struct || kind === KIND.union) && this.#hasField(inner, field)) return true;
    }
    return false;
  }

  /** The type without typedefs and qualifiers. */
  #plain(id: number): number {
    let plain = id;
    for (;;) {
      const kind = this.#kind(plain);
      if (
        kind !== KIND.typedef &&
        kind !== KIND.volatile &&
        kind !== KIND.const &&
        kind !== KIND.restrict &&
        kind !== KIND.typeTag &&
        kind !== KIND.declTag
      )
        return plain;
      plain = this.#typeOf(plain);
    }
  }

  #typeName(id: number): string {
    if (id === 0) return "void";
    const kind = this.#kind(id);
    const name = this.#text(this.#bytes.readUInt32LE(this.#head(id)));
    switch (kind) {
      case KIND.pointer:
        return `${this.#typeName(this.#typeOf(id))} *`;
      case KIND.volatile:
      case KIND.const:
      case KIND.restrict:
      case KIND.typeTag:
        return this.#typeName(this.#typeOf(id));
      case KIND.struct:
        return `struct ${name}`;
      case KIND.union:
        return `union ${name}`;
      case KIND.enum:
      case KIND.enum64:
        return `enum ${name}`;
      case KIND.forward:
        return `struct ${name}`;
      case KIND.funcProto:
        return "function";
      default:
        return name;
    }
  }

  /** Id of the named type of that kind. A name stands once among the strings, so looking for its offset compares numbers. */
  #find(name: string, kind: number): number | null {
    const offset = this.#nameOffset(name);
    if (offset === null) return null;
    for (let id = 1; id < this.#heads.length; id++) {
      if (this.#bytes.readUInt32LE(this.#head(id)) === offset && this.#kind(id) === kind) return id;
    }
    return null;
  }

  #nameOffset(name: string): number | null {
    const at = this.#bytes.indexOf(`\0${name}\0`, this.#stringsAt, "latin1");
    return at < 0 || at >= this.#stringsEnd ? null : at + 1 - this.#stringsAt;
  }

  #text(offset: number): string {
    const from = this.#stringsAt + offset;
    return this.#bytes.toString("latin1", from, this.#bytes.indexOf(0, from));
  }

  #head(id: number): number {
    return this.#heads[id] as number;
  }

  #kind(id: number): number {
    return id === 0 ? 0 : (this.#bytes.readUInt32LE(this.#head(id) + 4) >>> 24) & 0x1f;
  }

  #members(id: number): number {
    return this.#bytes.readUInt32LE(this.#head(id) + 4) & 0xffff;
  }

  #typeOf(id: number): number {
    return this.#bytes.readUInt32LE(this.#head(id) + 8);
  }
}
