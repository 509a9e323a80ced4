// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import type { ObjectFile } from "./object-file.ts";
import { reach } from "./reach.ts";
import type { Resolved } from "./relocations.ts";

/** An instruction: operation code, target, source, offset, immediate. */
const op = (code: number, target = 0, source = 0, offset = 0, immediate = 0): Buffer => {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt8(code, 0);
  bytes.writeUInt8((source << 4) | target, 1);
  bytes.writeInt16LE(offset, 2);
  bytes.writeInt32LE(immediate, 4);
  return bytes;
};
const loadArgument = (target: number, index: number) => op(0x79, target, 1, 8 * index);
const look = (target: number, from: number, offset = 0) => op(0x71, target, from, offset);
const store = (from: number, offset: number) => op(0x7b, 10, from, offset);
const loadStack = (target: number, offset: number) => op(0x79, target, 10, offset);
const ifZero = (register: number, skip: number) => op(0x15, register, 0, skip, 0);
const call = (helper: number) => op(0x85, 0, 0, 0, helper);
const exit = op(0x95);

const SECTION = "tp_btf/test";
function run(code: readonly Buffer[], more: { rodata?: Buffer; constants?: Record<string, number>; missingAt?: number; rodataAt?: number } = {}) {
  const object: ObjectFile = {
    types: null as never,
    code: new Map([[SECTION, Buffer.concat(code)]]),
    rodata: more.rodata ?? Buffer.alloc(0),
    constants: new Map([["has_more", { offset: 0, size: 1 }]]),
    programs: new Map(),
    references: new Map([[SECTION, new Map(more.rodataAt === undefined ? [] : [[more.rodataAt * 8, { section: ".rodata", offset: 0 }]])]]),
    relocations: new Map(),
    mapTypes: new Set(),
  };
  const missing: Resolved = { value: null, subject: "sock.gone", root: "struct sock" };
  return reach({
    object,
    entry: { section: SECTION, offset: 0 },
    constants: more.constants ?? {},
    resolve: (_section, offset) => (more.missingAt !== undefined && offset === more.missingAt * 8 ? missing : undefined),
  });
}

describe("what a program comes to", () => {
  it("takes no branch that a constant switches off, and takes it when the constant is set", () => {
    const code = [op(0x18, 2), op(0), look(2, 2), ifZero(2, 1), loadArgument(3, 5), exit];
    const rodata = Buffer.from([0]);
    expect([...run(code, { rodata, rodataAt: 0 }).arguments]).toEqual([]);
    expect([...run(code, { rodata, rodataAt: 0, constants: { has_more: 1 } }).arguments]).toEqual([5]);
  });

  it("misses what the kernel does not have only where it would be run", () => {
    const code = [op(0xb7, 2), ifZero(2, 1), look(3, 1), exit];
    expect(run(code, { missingAt: 2 }).missing).toEqual([]);
    expect(run([loadArgument(2, 0), ifZero(2, 1), look(3, 2), exit], { missingAt: 2 }).missing).toEqual(["sock.gone"]);
  });

  it("tells whether an argument was compared with NULL before it was looked into, also by way of the stack", () => {
    expect(run([loadArgument(2, 3), look(0, 2), exit]).uses).toEqual([{ argument: 3, as: "", checked: false }]);
    expect(run([loadArgument(2, 3), ifZero(2, 1), look(0, 2), exit]).uses).toEqual([{ argument: 3, as: "", checked: true }]);
    const spilled = [loadArgument(2, 3), store(2, -8), ifZero(2, 2), loadStack(4, -8), look(0, 4), exit];
    expect(run(spilled).uses).toEqual([{ argument: 3, as: "", checked: true }]);
  });

  it("does not take a comparison on one way for one on both", () => {
    // If r6 is set, nothing is compared.
    const code = [loadArgument(2, 3), loadArgument(6, 0), ifZero(6, 1), op(0x05, 0, 0, 1), ifZero(2, 1), look(0, 2), exit];
    expect(run(code).uses).toContainEqual({ argument: 3, as: "", checked: false });
  });

  it("names helpers, goes into subprograms, and tells an exchange from an addition", () => {
    expect([...run([call(14), exit]).helpers]).toEqual([14]);
    const withSubprogram = [op(0x85, 0, 1, 0, 1), exit, loadArgument(2, 1), call(5), exit];
    expect([...run(withSubprogram).helpers]).toEqual([5]);
    const atomic = (immediate: number) => run([loadArgument(2, 0), op(0xdb, 2, 3, 0, immediate), exit]).exchanges;
    expect(atomic(0)).toBe(false);
    expect(atomic(0xe1)).toBe(true);
  });
});
