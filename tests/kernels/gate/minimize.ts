// SPDX-License-Identifier: Apache-2.0
import { BTF_MAGIC, KIND } from "../../../apps/agent/src/libbpf/btf-format.ts";
import { type BtfType, type BtfTypes, essentialName } from "./btf-types.ts";

/** What is kept of a kernel's BTF. */
export interface Wanted {
  /** Structs, unions and enumerations that are kept whole, by name; of others only the name is. */
  readonly types: ReadonlySet<string>;
  /** Tracepoints whose prototypes are kept. */
  readonly tracepoints: ReadonlySet<string>;
  readonly functions: ReadonlySet<string>;
  /** Constants whose enumerations are kept, those without a name too. */
  readonly enumerators: ReadonlySet<string>;
}

/** BTF with the wanted types alone, in a form that every reader of BTF takes: some 50 KB instead of 5 to 10 MB. */
export function minimize(full: BtfTypes, wanted: Wanted): Buffer {
  const strings = new Strings();
  const ids = new Map<string, number>();
  const encoded: (() => Buffer)[] = [];
  const buffers: Buffer[] = [];
  const prototypes = new Set<number>();

  const emit = (key: string, encode: () => Buffer): number => {
    let id = ids.get(key);
    if (id === undefined) {
      id = encoded.push(encode);
      ids.set(key, id);
    }
    return id;
  };
  const head = (name: string, kind: number, members: number, sizeOrType: number, hasFlag = false): Buffer => {
    const buffer = Buffer.alloc(12);
    buffer.writeUInt32LE(strings.add(name), 0);
    buffer.writeUInt32LE((((hasFlag ? 1 : 0) << 31) | (kind << 24) | members) >>> 0, 4);
    buffer.writeUInt32LE(sizeOrType, 8);
    return buffer;
  };
  const words = (...values: number[]): Buffer => Buffer.from(Uint32Array.from(values.map((value) => value >>> 0)).buffer);

  /** @param isPart it lies inside of a type that is kept, so that it is looked into by way of that one */
  const keep = (id: number, isPart = false): number => {
    const type = full.get(id);
    if (type.kind === 0) return 0;
    const isWhole = isPart || type.name === "" || wanted.types.has(essentialName(type.name));
    switch (type.kind) {
      case KIND.struct:
      case KIND.union:
        if (!isWhole) return emit(`forward ${type.kind} ${type.name}`, () => head(type.name, KIND.forward, 0, 0, type.kind === KIND.union));
        return emit(`${id}`, () =>
          Buffer.concat([
            head(type.name, type.kind, type.members.length, type.sizeOrType, type.hasFlag),
            ...type.members.map(({ name, type: of, bitOffset, bits }) =>
              words(strings.add(name), keep(of, true), type.hasFlag ? (bits << 24) | bitOffset : bitOffset),
            ),
          ]),
        );
      case KIND.enum:
      case KIND.enum64: {
        const isAskedFor = type.values.some(({ name }) => wanted.enumerators.has(name));
        const values = isAskedFor || (isWhole && type.name !== "") ? type.values : [];
        return emit(`${id}`, () =>
          Buffer.concat([
            head(type.name, type.kind, values.length, type.sizeOrType, type.hasFlag),
            ...values.map(({ name, value, high }) =>
              type.kind === KIND.enum64 ? words(strings.add(name), value, high) : words(strings.add(name), value),
            ),
          ]),
        );
      }
      case KIND.forward:
        return emit(`forward ${type.hasFlag ? KIND.union : KIND.struct} ${type.name}`, () => head(type.name, KIND.forward, 0, 0, type.hasFlag));
      case KIND.funcProto: {
        const isKept = prototypes.has(id);
        return emit(isKept ? `${id}` : "prototype", () =>
          isKept
            ? Buffer.concat([
                head("", KIND.funcProto, type.parameters.length, keep(type.sizeOrType)),
                ...type.parameters.map(({ name, type: of }) => words(strings.add(name), keep(of))),
              ])
            : head("", KIND.funcProto, 0, 0),
        );
      }
      case KIND.array: {
        const array = type.array as NonNullable<BtfType["array"]>;
        return emit(`${id} ${isPart}`, () =>
          Buffer.concat([head("", KIND.array, 0, 0), words(keep(array.type, isPart), keep(array.index), array.length)]),
        );
      }
      case KIND.int:
        // Which bits of it are used matters to nobody here: all of them.
        return emit(`${id}`, () => Buffer.concat([head(type.name, KIND.int, 0, type.sizeOrType), words(type.sizeOrType * 8)]));
      case KIND.float:
        return emit(`${id}`, () => head(type.name, KIND.float, 0, type.sizeOrType));
      case KIND.typeTag:
      case KIND.declTag:
        return keep(type.sizeOrType, isPart);
      case KIND.pointer:
        return emit(`${id}`, () => head(type.name, type.kind, 0, keep(type.sizeOrType)));
      default:
        return emit(`${id} ${isPart}`, () => head(type.name, type.kind, 0, keep(type.sizeOrType, isPart)));
    }
  };

  for (const name of wanted.types) for (const id of full.find(name, [KIND.struct, KIND.union, KIND.enum, KIND.enum64])) keep(id);
  for (let id = 1; id < full.count; id++) if (full.get(id).values.some(({ name }) => wanted.enumerators.has(name))) keep(id);
  for (const name of wanted.tracepoints) {
    for (const id of full.find(`btf_trace_${name}`, [KIND.typedef])) {
      prototypes.add(full.get(full.get(id).sizeOrType).sizeOrType);
      keep(id);
    }
  }
  for (const name of wanted.functions) for (const id of full.find(name, [KIND.function])) keep(id);

  // Encoding one may bring others up.
  for (let index = 0; index < encoded.length; index++) buffers.push((encoded[index] as () => Buffer)());
  const types = Buffer.concat(buffers);
  const texts = strings.bytes();
  const header = Buffer.alloc(24);
  header.writeUInt16LE(BTF_MAGIC, 0);
  header.writeUInt8(1, 2);
  header.writeUInt32LE(24, 4);
  header.writeUInt32LE(types.length, 12);
  header.writeUInt32LE(types.length, 16);
  header.writeUInt32LE(texts.length, 20);
  return Buffer.concat([header, types, texts]);
}

class Strings {
  readonly #offsets = new Map([["", 0]]);
  #size = 1;

  add(text: string): number {
    let offset = this.#offsets.get(text);
    if (offset === undefined) {
      offset = this.#size;
      this.#offsets.set(text, offset);
      this.#size += Buffer.byteLength(text, "latin1") + 1;
    }
    return offset;
  }

  bytes(): Buffer {
    return Buffer.from([...this.#offsets.keys()].map((text) => `${text}\0`).join(""), "latin1");
  }
}
