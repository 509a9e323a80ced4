// SPDX-License-Identifier: Apache-2.0
import type { ObjectFile, Reference } from "./object-file.ts";
import type { Resolved } from "./relocations.ts";

/**
 * What a program may come to on a kernel, as its verifier sees it: branches that constants switch off are not taken. Constants are those of .rodata (with
 * what the agent sets) and what relocations come to. Nothing else is followed but the arguments of the tracepoint, whether they were compared with NULL, and the stack.
 */

export interface ReachInput {
  readonly object: ObjectFile;
  readonly entry: Reference;
  /** Constants that the agent sets before it loads the program, by name. */
  readonly constants: Readonly<Record<string, number>>;
  /** What the relocation at a place comes to; undefined: there is none. */
  readonly resolve: (section: string, offset: number) => Resolved | undefined;
}

/** A look into an argument of the tracepoint as if it were a pointer to a struct. */
export interface ArgumentUse {
  readonly argument: number;
  /** `struct sock`; empty: not by a field of a struct. */
  readonly as: string;
  /** Compared with NULL before. */
  readonly checked: boolean;
}

export interface Reach {
  /** Things that the kernel does not have, at instructions it would run: the verifier refuses them. */
  readonly missing: readonly string[];
  /** Helpers (enum bpf_func_id) that are called. */
  readonly helpers: ReadonlySet<number>;
  /** Whether anything atomic is done beyond adding. */
  readonly exchanges: boolean;
  /** Arguments of the tracepoint that are read. */
  readonly arguments: ReadonlySet<number>;
  readonly uses: readonly ArgumentUse[];
  readonly instructions: number;
}

type Value =
  | { readonly kind: "constant"; readonly value: bigint }
  | { readonly kind: "rodata" | "stack"; readonly offset: number }
  | { readonly kind: "argument"; readonly index: number; readonly checked: boolean }
  | { readonly kind: "context" }
  | undefined;

interface State {
  readonly registers: readonly Value[];
  readonly stack: ReadonlyMap<number, Value>;
}

/** Where a program goes on, and with what. */
interface Edge {
  readonly section: string;
  readonly at: number;
  readonly state: State;
}

function edge(section: string, at: number, state: State): Edge[] {
  return [{ section, at, state }];
}

const INSTRUCTION_BYTES = 8;
const LOAD_IMMEDIATE_64 = 0x18;
const CALL = 0x85;
const EXIT = 0x95;
const CLASS = { load: 0, loadX: 1, store: 2, storeX: 3, alu: 4, jump: 5, jump32: 6, alu64: 7 } as const;
const MODE_MEMORY = 0x60;
const MODE_MEMORY_SIGNED = 0x80;
const MODE_ATOMIC = 0xc0;
const ATOMIC_ADD = 0;
const REFERS_TO_FUNCTION = 4;
const CALLS_SUBPROGRAM = 1;

export function reach({ object, entry, constants, resolve }: ReachInput): Reach {
  const rodata = Buffer.from(object.rodata);
  for (const [name, value] of Object.entries(constants)) {
    const place = object.constants.get(name);
    if (place === undefined) throw new TypeError(`no constant ${name} in the object`);
    writeConstant(rodata, place, value);
  }
  const missing = new Set<string>();
  const helpers = new Set<number>();
  const args = new Set<number>();
  const uses = new Map<string, ArgumentUse>();
  let exchanges = false;

  const states = new Map<string, State>();
  const waiting: { section: string; at: number }[] = [];
  const go = (section: string, at: number, state: State): void => {
    const key = `${section} ${at}`;
    const known = states.get(key);
    const joined = known === undefined ? state : join(known, state);
    if (known !== undefined && joined === known) return;
    states.set(key, joined);
    waiting.push({ section, at });
  };
  go(entry.section, entry.offset, { registers: [undefined, { kind: "context" }], stack: new Map() });

  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    for (const { section, at, state } of step(next.section, next.at, states.get(`${next.section} ${next.at}`) as State)) go(section, at, state);
  }
  return { missing: [...missing], helpers, exchanges, arguments: args, uses: [...uses.values()], instructions: states.size };

  function step(section: string, at: number, state: State): Edge[] {
    const code = object.code.get(section);
    if (code === undefined || at + INSTRUCTION_BYTES > code.length) throw new RangeError(`${section} is left at ${at}`);
    const opcode = code.readUInt8(at);
    const target = code.readUInt8(at + 1) & 0xf;
    const source = code.readUInt8(at + 1) >>> 4;
    const offset = code.readInt16LE(at + 2);
    const immediate = code.readInt32LE(at + 4);
    const resolved = resolve(section, at);
    if (resolved !== undefined && resolved.value === null) {
      missing.add(resolved.subject);
      // The verifier stops here.
      return [];
    }
    const after = at + (opcode === LOAD_IMMEDIATE_64 ? 2 : 1) * INSTRUCTION_BYTES;
    const register = (index: number): Value => (index === 10 ? { kind: "stack", offset: 0 } : state.registers[index]);
    const set = (value: Value, stack = state.stack): State => {
      const registers = [...state.registers];
      registers[target] = value;
      return { registers, stack };
    };
    const reference = object.references.get(section)?.get(at);
    const kind = opcode & 0x07;
    if (opcode === LOAD_IMMEDIATE_64) {
      if (source === REFERS_TO_FUNCTION && reference !== undefined)
        go(reference.section, reference.offset + immediate, { registers: [], stack: new Map() });
      if (reference !== undefined)
        return edge(section, after, set(reference.section === ".rodata" ? { kind: "rodata", offset: reference.offset + immediate } : undefined));
      const value = resolved?.value ?? BigInt.asUintN(64, (BigInt(code.readInt32LE(at + 12)) << 32n) | BigInt(immediate >>> 0));
      return edge(section, after, set(constant(value)));
    }
    if (kind === CLASS.loadX) return edge(section, after, set(load(state, register(source), resolved, offset, opcode)));
    if (kind === CLASS.store || kind === CLASS.storeX) {
      const mode = opcode & 0xe0;
      noteUse(register(target), resolved);
      if (kind === CLASS.storeX && mode === MODE_ATOMIC) {
        if (immediate !== ATOMIC_ADD) exchanges = true;
        // Fetching ones change their source, or r0.
        const registers = [...state.registers];
        registers[source] = undefined;
        registers[0] = undefined;
        return edge(section, after, { registers: immediate === ATOMIC_ADD ? state.registers : registers, stack: state.stack });
      }
      const place = register(target);
      if (place?.kind !== "stack") return edge(section, after, state);
      const stack = new Map(state.stack);
      const stored = kind === CLASS.store ? constant(BigInt.asUintN(64, BigInt(immediate))) : register(source);
      // Only whole words are remembered; a part of one makes it unknown.
      const word = place.offset + offset;
      for (let byte = -7; byte < 8; byte++) stack.delete(word + byte);
      if ((opcode & 0x18) === 0x18 && stored !== undefined) stack.set(word, stored);
      return edge(section, after, { registers: state.registers, stack });
    }
    if (kind === CLASS.alu || kind === CLASS.alu64) {
      const operand = (opcode & 0x08) !== 0 ? register(source) : constant(resolved?.value ?? BigInt.asUintN(64, BigInt(immediate)));
      const value =
        resolved !== undefined && (opcode & 0xf0) === 0xb0
          ? constant(resolved.value as bigint)
          : compute(opcode, register(target), operand, kind === CLASS.alu);
      return edge(section, after, set(value));
    }
    if (opcode === EXIT) return [];
    if (opcode === CALL) {
      const called = [...state.registers];
      for (let index = 0; index <= 5; index++) called[index] = undefined;
      if (source === CALLS_SUBPROGRAM) {
        const to =
          reference === undefined
            ? { section, offset: at + (immediate + 1) * INSTRUCTION_BYTES }
            : { section: reference.section, offset: reference.offset + (immediate + 1) * INSTRUCTION_BYTES };
        const passed = state.registers.map((value, index) => (index >= 1 && index <= 5 && value?.kind !== "stack" ? value : undefined));
        go(to.section, to.offset, { registers: passed, stack: new Map() });
        // A subprogram may write to the caller's stack through a pointer.
        return edge(section, after, { registers: called, stack: new Map() });
      }
      helpers.add(immediate);
      const stack = state.registers.slice(1, 6).some((value) => value?.kind === "stack") ? new Map<number, Value>() : state.stack;
      return edge(section, after, { registers: called, stack });
    }
    return jump(section, state, { opcode, target, source, offset, immediate, after });
  }

  function jump(
    section: string,
    state: State,
    {
      opcode,
      target,
      source,
      offset,
      immediate,
      after,
    }: { opcode: number; target: number; source: number; offset: number; immediate: number; after: number },
  ): Edge[] {
    const to = after + offset * INSTRUCTION_BYTES;
    const operation = opcode & 0xf0;
    const isNarrow = (opcode & 0x07) === CLASS.jump32;
    if (operation === 0x00) return edge(section, isNarrow ? after + immediate * INSTRUCTION_BYTES : to, state);
    const left = target === 10 ? undefined : state.registers[target];
    const right = (opcode & 0x08) !== 0 ? state.registers[source] : constant(BigInt.asUintN(64, BigInt(immediate)));
    if (left?.kind === "constant" && right?.kind === "constant")
      return edge(section, compare(operation, left.value, right.value, isNarrow) ? to : after, state);
    const isNull = (value: Value): boolean => value?.kind === "constant" && value.value === 0n;
    const argument = left?.kind === "argument" && isNull(right) ? left : right?.kind === "argument" && isNull(left) ? right : undefined;
    if (argument !== undefined && (operation === 0x10 || operation === 0x50)) {
      const [ifNull, ifNot] = operation === 0x10 ? [to, after] : [after, to];
      go(section, ifNull, replaced(state, argument.index, constant(0n)));
      return edge(section, ifNot, replaced(state, argument.index, { ...argument, checked: true }));
    }
    return [...edge(section, to, state), ...edge(section, after, state)];
  }

  function load(state: State, from: Value, resolved: Resolved | undefined, offset: number, opcode: number): Value {
    const size = [4, 2, 1, 8][(opcode & 0x18) >>> 3] as number;
    const mode = opcode & 0xe0;
    if (mode !== MODE_MEMORY && mode !== MODE_MEMORY_SIGNED) return undefined;
    if (from?.kind === "context") {
      const index = offset / 8;
      args.add(index);
      return { kind: "argument", index, checked: false };
    }
    if (from?.kind === "stack") return size === 8 ? state.stack.get(from.offset + offset) : undefined;
    if (from?.kind === "rodata") {
      const at = from.offset + offset;
      if (at < 0 || at + size > rodata.length) return undefined;
      return constant(size === 8 ? rodata.readBigUInt64LE(at) : BigInt(rodata.readUIntLE(at, size)));
    }
    noteUse(from, resolved);
    return undefined;
  }

  function noteUse(value: Value, resolved: Resolved | undefined): void {
    if (value?.kind !== "argument") return;
    const use = { argument: value.index, as: resolved?.root ?? "", checked: value.checked };
    uses.set(JSON.stringify(use), use);
  }
}

function constant(value: bigint): Value {
  return { kind: "constant", value: BigInt.asUintN(64, value) };
}

/** All copies of an argument are the same pointer: what is found out of one holds for the others. */
function replaced(state: State, index: number, value: Value): State {
  const swap = (known: Value): Value => (known?.kind === "argument" && known.index === index ? value : known);
  return { registers: state.registers.map(swap), stack: new Map([...state.stack].map(([at, known]) => [at, swap(known)])) };
}

/** What holds on both ways; `a` itself where `b` adds no doubt. */
function join(a: State, b: State): State {
  let isSame = true;
  const both = (x: Value, y: Value): Value => {
    const value = joinValues(x, y);
    if (value !== x) isSame = false;
    return value;
  };
  const registers = a.registers.map((value, index) => both(value, b.registers[index]));
  const stack = new Map<number, Value>();
  for (const [at, value] of a.stack) {
    const joined = both(value, b.stack.get(at));
    if (joined !== undefined) stack.set(at, joined);
  }
  return isSame ? a : { registers, stack };
}

function joinValues(x: Value, y: Value): Value {
  if (x === undefined || y === undefined || x.kind !== y.kind) return undefined;
  if (x.kind === "constant") return y.kind === "constant" && x.value === y.value ? x : undefined;
  if (x.kind === "argument" && y.kind === "argument") {
    if (x.index !== y.index) return undefined;
    return x.checked && !y.checked ? y : x;
  }
  if ((x.kind === "rodata" || x.kind === "stack") && "offset" in y) return x.offset === y.offset ? x : undefined;
  return x;
}

function compute(opcode: number, left: Value, right: Value, isNarrow: boolean): Value {
  const operation = opcode & 0xf0;
  if (operation === 0xb0) {
    if (right?.kind === "constant") return constant(isNarrow ? BigInt.asUintN(32, right.value) : right.value);
    return isNarrow ? undefined : right;
  }
  if (right?.kind !== "constant" || left === undefined) return undefined;
  if (left.kind === "rodata" || left.kind === "stack") {
    const by = Number(BigInt.asIntN(64, right.value));
    if (isNarrow) return undefined;
    if (operation === 0x00) return { kind: left.kind, offset: left.offset + by };
    return operation === 0x10 ? { kind: left.kind, offset: left.offset - by } : undefined;
  }
  if (left.kind !== "constant") return undefined;
  const width = isNarrow ? 32 : 64;
  const [a, b] = [BigInt.asUintN(width, left.value), BigInt.asUintN(width, right.value)];
  const shift = b & BigInt(width - 1);
  const results: Record<number, bigint> = {
    0: a + b,
    16: a - b,
    32: a * b,
    64: a | b,
    80: a & b,
    96: a << shift,
    112: a >> shift,
    160: a ^ b,
    192: BigInt.asIntN(width, a) >> shift,
  };
  const result = results[operation];
  return result === undefined ? undefined : constant(BigInt.asUintN(width, result));
}

function compare(operation: number, left: bigint, right: bigint, isNarrow: boolean): boolean {
  const width = isNarrow ? 32 : 64;
  const [a, b] = [BigInt.asUintN(width, left), BigInt.asUintN(width, right)];
  const [signedA, signedB] = [BigInt.asIntN(width, a), BigInt.asIntN(width, b)];
  const results: Record<number, boolean> = {
    16: a === b,
    32: a > b,
    48: a >= b,
    64: (a & b) !== 0n,
    80: a !== b,
    96: signedA > signedB,
    112: signedA >= signedB,
    160: a < b,
    176: a <= b,
    192: signedA < signedB,
    208: signedA <= signedB,
  };
  const result = results[operation];
  if (result === undefined) throw new TypeError(`unknown jump ${operation.toString(16)}`);
  return result;
}

function writeConstant(rodata: Buffer, { offset, size }: { readonly offset: number; readonly size: number }, value: number): void {
  if (size === 8) rodata.writeBigUInt64LE(BigInt(value), offset);
  else rodata.writeUIntLE(value, offset, size);
}
