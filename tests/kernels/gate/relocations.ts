// SPDX-License-Identifier: Apache-2.0
import { KIND } from "../../../apps/agent/src/libbpf/btf-format.ts";
import { type BtfMember, type BtfType, type BtfTypes, essentialName } from "./btf-types.ts";

/** Kinds of CO-RE relocations (enum bpf_core_relo_kind, include/uapi/linux/bpf.h). */
export const RELOCATION = {
  fieldOffset: 0,
  fieldSize: 1,
  fieldExists: 2,
  fieldSigned: 3,
  fieldLeftShift: 4,
  fieldRightShift: 5,
  typeIdLocal: 6,
  typeIdTarget: 7,
  typeExists: 8,
  typeSize: 9,
  enumValueExists: 10,
  enumValue: 11,
  typeMatches: 12,
} as const;

export interface Relocation {
  /** Bytes from the start of its section. */
  readonly offset: number;
  readonly type: number;
  /** `0:1:2`: which field, or which value of an enumeration. */
  readonly access: string;
  readonly kind: number;
}

/** Relocations by section, out of the section .BTF.ext (Documentation/bpf/btf.rst). */
export function readRelocations(ext: Buffer, local: BtfTypes): Map<string, Relocation[]> {
  const headerBytes = ext.readUInt32LE(4);
  const relocations = new Map<string, Relocation[]>();
  // Objects without a single relocation have the short header.
  if (headerBytes < 32) return relocations;
  const from = headerBytes + ext.readUInt32LE(24);
  const end = from + ext.readUInt32LE(28);
  if (end === from) return relocations;
  const recordBytes = ext.readUInt32LE(from);
  for (let at = from + 4; at < end; ) {
    const section = local.text(ext.readUInt32LE(at));
    const count = ext.readUInt32LE(at + 4);
    at += 8;
    const list = relocations.get(section) ?? [];
    for (let i = 0; i < count; i++, at += recordBytes) {
      list.push({
        offset: ext.readUInt32LE(at),
        type: ext.readUInt32LE(at + 4),
        access: local.text(ext.readUInt32LE(at + 8)),
        kind: ext.readUInt32LE(at + 12),
      });
    }
    relocations.set(section, list);
  }
  return relocations;
}

/** What a relocation comes to on a kernel. */
export interface Resolved {
  /** null: the kernel has no such thing, and the instruction cannot be run. */
  readonly value: bigint | null;
  /** What it is about, for people: `task_struct.__state`. */
  readonly subject: string;
  /** Struct that the access starts from; empty for enumerations. */
  readonly root: string;
}

/** Resolves as libbpf does (its relo_core.c): by names, across anonymous members, over all types of the name. */
export function resolve(relocation: Relocation, local: BtfTypes, kernel: BtfTypes): Resolved {
  const { kind } = relocation;
  const type = local.plain(relocation.type);
  const name = essentialName(type.name);
  const subject = (what: string): Pick<Resolved, "subject" | "root"> => ({
    subject: what,
    root: isComposite(type) ? `${type.kind === KIND.union ? "union" : "struct"} ${name}` : "",
  });
  switch (kind) {
    case RELOCATION.typeIdLocal:
      return { value: BigInt(relocation.type), ...subject(name) };
    case RELOCATION.typeIdTarget:
    case RELOCATION.typeExists:
    case RELOCATION.typeSize:
    case RELOCATION.typeMatches: {
      const [found] = kernel.find(name, kindsLike(type));
      const isQuestion = kind === RELOCATION.typeExists || kind === RELOCATION.typeMatches;
      if (found === undefined) return { value: isQuestion ? 0n : null, ...subject(name) };
      return { value: isQuestion ? 1n : BigInt(kind === RELOCATION.typeSize ? kernel.sizeOf(found) : found), ...subject(name) };
    }
    case RELOCATION.enumValueExists:
    case RELOCATION.enumValue: {
      const wanted = essentialName(type.values[Number(relocation.access)]?.name ?? "");
      const values = kernel.find(name, [KIND.enum, KIND.enum64]).flatMap((id) => kernel.get(id).values);
      const found = values.find((value) => essentialName(value.name) === wanted);
      if (kind === RELOCATION.enumValueExists) return { value: found === undefined ? 0n : 1n, ...subject(`${name}.${wanted}`) };
      return { value: found === undefined ? null : BigInt(found.value), ...subject(`${name}.${wanted}`) };
    }
    default: {
      const path = pathOf(relocation, local);
      const what = [name, ...path.steps.flatMap((step) => ("name" in step ? [step.name] : []))].join(".");
      for (const id of kernel.find(name, kindsLike(type))) {
        const field = follow(path, id, local, kernel);
        if (field === null) continue;
        return { value: fieldValue(kind, field, kernel), ...subject(what) };
      }
      return { value: kind === RELOCATION.fieldExists ? 0n : null, ...subject(what) };
    }
  }
}

interface Path {
  readonly first: number;
  readonly steps: readonly ({ readonly name: string; readonly type: number } | { readonly index: number; readonly type: number })[];
}

/** The access as names and indices; anonymous members are passed through, as they may differ. */
function pathOf({ type, access }: Relocation, local: BtfTypes): Path {
  const [first = 0, ...rest] = access.split(":").map(Number);
  const steps: Path["steps"][number][] = [];
  let at = local.plain(type);
  for (const index of rest) {
    if (isComposite(at)) {
      const member = at.members[index] as BtfMember;
      if (member.name !== "") steps.push({ name: member.name, type: member.type });
      at = local.plain(member.type);
    } else if (at.array !== null) {
      steps.push({ index, type: at.array.type });
      at = local.plain(at.array.type);
    } else throw new TypeError(`access ${access} leads into a type without members`);
  }
  return { first, steps };
}

interface Field {
  readonly bitOffset: number;
  readonly bits: number;
  readonly type: number;
}

function follow({ first, steps }: Path, root: number, local: BtfTypes, kernel: BtfTypes): Field | null {
  let field: Field = { bitOffset: first * kernel.sizeOf(root) * 8, bits: 0, type: root };
  for (const step of steps) {
    const type = kernel.plain(field.type);
    if ("name" in step) {
      const member = memberOf(type, step.name, kernel);
      if (member === null || !areCompatible(local, step.type, kernel, member.type)) return null;
      field = { bitOffset: field.bitOffset + member.bitOffset, bits: member.bits, type: member.type };
    } else {
      if (type.array === null || (step.index >= type.array.length && type.array.length > 0)) return null;
      field = { bitOffset: field.bitOffset + step.index * kernel.sizeOf(type.array.type) * 8, bits: 0, type: type.array.type };
    }
  }
  return field;
}

/** The member, also inside anonymous members. */
function memberOf(type: BtfType, name: string, types: BtfTypes): Field | null {
  for (const member of type.members) {
    if (member.name === name) return member;
    if (member.name !== "") continue;
    const inner = memberOf(types.plain(member.type), name, types);
    if (inner !== null) return { ...inner, bitOffset: member.bitOffset + inner.bitOffset };
  }
  return null;
}

/** As bpf_core_fields_are_compat(): what was a pointer is one, what was a struct is one, arrays hold the like; whole numbers may change their width. */
function areCompatible(local: BtfTypes, localId: number, kernel: BtfTypes, kernelId: number): boolean {
  const a = local.plain(localId);
  const b = kernel.plain(kernelId);
  // The shelf leaves structs out that nobody looks into.
  if (isComposite(a) && (isComposite(b) || b.kind === KIND.forward)) return true;
  const isEnum = (type: BtfType): boolean => type.kind === KIND.enum || type.kind === KIND.enum64;
  if (isEnum(a) && isEnum(b)) return a.name === "" || b.name === "" || essentialName(a.name) === essentialName(b.name);
  if (a.kind !== b.kind) return false;
  if (a.array !== null && b.array !== null) return areCompatible(local, a.array.type, kernel, b.array.type);
  return true;
}

function fieldValue(kind: number, field: Field, kernel: BtfTypes): bigint | null {
  switch (kind) {
    case RELOCATION.fieldExists:
      return 1n;
    case RELOCATION.fieldOffset:
      return BigInt(Math.floor(field.bitOffset / 8));
    case RELOCATION.fieldSize:
      return BigInt(kernel.sizeOf(field.type));
    case RELOCATION.fieldSigned:
      return kernel.plain(field.type).kind === KIND.enum ? 1n : 0n;
    default:
      // Shifts of bit fields: they are there, and nothing is decided by them.
      return -1n;
  }
}

function isComposite({ kind }: BtfType): boolean {
  return kind === KIND.struct || kind === KIND.union;
}

function kindsLike({ kind }: BtfType): number[] {
  return kind === KIND.enum || kind === KIND.enum64 ? [KIND.enum, KIND.enum64] : [kind];
}
