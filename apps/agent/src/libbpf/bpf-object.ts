// SPDX-License-Identifier: Apache-2.0
import { closeSync, read, readFileSync } from "node:fs";
import { BpfMap } from "./bpf-map.ts";
import { readSymbols } from "./elf.ts";
import { BpfError } from "./error.ts";
import { bytesAt, getLibbpf, getLibc, lastErrno, NativeBuffer, type Pointer } from "./symbols.ts";

const VERIFIER_LOG_BYTES = 256 * 1024;
const EAGAIN = "EAGAIN";
const EINVAL = 22;
/** libbpf's own maps for an object's data sections are named `<object>.rodata`; every object has its own. */
const isDataSection = (map: string): boolean => map.includes(".");

/** A map as an object describes it, before it exists. */
export interface MapShape {
  readonly name: string;
  /** enum bpf_map_type */
  readonly type: number;
  readonly keySize: number;
  /** Bytes of one value on one CPU. */
  readonly valueSize: number;
  readonly entries: number;
}

/** An opened object file: open, choose, load, attach; in that order, which the class enforces. */
export class BpfObject implements Disposable {
  readonly path: string;
  #pointer: Pointer | null;
  #isLoaded = false;
  #log: NativeBuffer | undefined;

  private constructor(path: string, pointer: Pointer) {
    this.path = path;
    this.#pointer = pointer;
  }

  /** Throws a BpfError{op: "open"} if the file is missing or is no BPF object. */
  static open(path: string): BpfObject {
    const pointer = getLibbpf().bpf_object__open_file(path, null);
    if (pointer === null) throw new BpfError("open", lastErrno(), path);
    return new BpfObject(path, pointer);
  }

  get pointer(): Pointer {
    if (this.#pointer === null) throw new Error(`object ${this.path} is used after it was closed`);
    return this.#pointer;
  }

  /** The program of that name. Throws a BpfError{op: "open", errno: ENOENT} if the object has none. */
  program(name: string): BpfProgram {
    for (const pointer of this.#programs()) if (getLibbpf().bpf_program__name(pointer) === name) return new BpfProgram(this, name, pointer);
    throw new BpfError("open", 2, `program ${name} of ${this.path}`);
  }

  /** Loads these programs only. Before load. */
  selectPrograms(names: readonly string[]): BpfProgram[] {
    this.#assertNotLoaded();
    const chosen = names.map((name) => this.program(name));
    for (const pointer of this.#programs())
      getLibbpf().bpf_program__set_autoload(
        pointer,
        chosen.some((program) => program.pointer === pointer),
      );
    return chosen;
  }

  /** Changes a map's size. Before load. No effect on a map that is taken from elsewhere. */
  setMapEntries(name: string, entries: number): void {
    this.#assertNotLoaded();
    for (const map of this.#maps()) {
      if (getLibbpf().bpf_map__name(map) !== name) continue;
      const result = getLibbpf().bpf_map__set_max_entries(map, entries);
      if (result < 0) throw new BpfError("map_resize", -result, name);
    }
  }

  /** The object's maps as they would be created, without its data sections. */
  mapShapes(): MapShape[] {
    const b = getLibbpf();
    return [...this.#maps()]
      .map((map) => ({
        name: b.bpf_map__name(map),
        type: b.bpf_map__type(map),
        keySize: b.bpf_map__key_size(map),
        valueSize: b.bpf_map__value_size(map),
        entries: b.bpf_map__max_entries(map),
      }))
      .filter(({ name }) => !isDataSection(name));
  }

  /**
   * Sets `const volatile` variables of the object (its .rodata), by name. The verifier takes them for constants, so that branches they switch off may even
   * read what this kernel does not have. Before load. Throws a BpfError{op: "constant"} for a variable that the object does not have.
   */
  setConstants(values: Readonly<Record<string, number>>): void {
    this.#assertNotLoaded();
    if (Object.keys(values).length === 0) return;
    const symbols = readSymbols(readFileSync(this.path));
    for (const [name, value] of Object.entries(values)) {
      const symbol = symbols.get(name);
      const bytes = this.#rodata();
      if (symbol === undefined || bytes === undefined || symbol.offset + symbol.size > bytes.length || ![1, 2, 4, 8].includes(symbol.size))
        throw new BpfError("constant", EINVAL, `${name} of ${this.path}`);
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      if (symbol.size === 1) view.setUint8(symbol.offset, value);
      else if (symbol.size === 2) view.setUint16(symbol.offset, value, true);
      else if (symbol.size === 4) view.setUint32(symbol.offset, value, true);
      else view.setBigUint64(symbol.offset, BigInt(value), true);
    }
  }

  #rodata(): Uint8Array | undefined {
    for (const map of this.#maps()) {
      if (!getLibbpf().bpf_map__name(map).endsWith(".rodata")) continue;
      const size = new BigUint64Array(1);
      const pointer = getLibbpf().bpf_map__initial_value(map, size);
      return pointer === null ? undefined : bytesAt(pointer, Number(size[0]));
    }
    return undefined;
  }

  /** Uses maps that exist already instead of creating them. Before load. */
  reuseMaps(existing: ReadonlyMap<string, BpfMap>): void {
    this.#assertNotLoaded();
    for (const map of this.#maps()) {
      const name = getLibbpf().bpf_map__name(map);
      const shared = existing.get(name);
      if (shared === undefined) continue;
      const result = getLibbpf().bpf_map__reuse_fd(map, shared.fd);
      if (result < 0) throw new BpfError("map_reuse", -result, name);
    }
  }

  /** Keeps the verifier's words, should it refuse `program`. Before load. */
  captureLog(program: BpfProgram): void {
    this.#assertNotLoaded();
    this.#log ??= new NativeBuffer(VERIFIER_LOG_BYTES);
    getLibbpf().bpf_program__set_log_buf(program.pointer, this.#log.pointer, this.#log.size);
    getLibbpf().bpf_program__set_log_level(program.pointer, 1);
  }

  /** Creates the maps and gives the chosen programs to the verifier. Throws a BpfError{op: "load"}. */
  load(): this {
    this.#assertNotLoaded();
    const result = getLibbpf().bpf_object__load(this.pointer);
    if (result < 0) throw new BpfError("load", -result, this.path, this.#log === undefined ? "" : logTail(this.#log.text()));
    this.#isLoaded = true;
    return this;
  }

  /** The object's maps that `existing` does not hold, each with a file descriptor of its own. After load. */
  newMaps(existing: ReadonlyMap<string, BpfMap>): BpfMap[] {
    if (!this.#isLoaded) throw new Error(`maps of ${this.path} are asked for before it was loaded`);
    const b = getLibbpf();
    const maps: BpfMap[] = [];
    for (const map of this.#maps()) {
      const name = b.bpf_map__name(map);
      if (existing.has(name) || isDataSection(name)) continue;
      const fd = getLibc().dup(b.bpf_map__fd(map));
      if (fd < 0) throw new BpfError("dup", lastErrno(), name);
      maps.push(
        new BpfMap(fd, { name, keySize: b.bpf_map__key_size(map), valueSize: b.bpf_map__value_size(map), entriesMax: b.bpf_map__max_entries(map) }),
      );
    }
    return maps;
  }

  *#programs(): Generator<Pointer> {
    for (let p = getLibbpf().bpf_object__next_program(this.pointer, null); p !== null; p = getLibbpf().bpf_object__next_program(this.pointer, p))
      yield p;
  }

  *#maps(): Generator<Pointer> {
    for (let m = getLibbpf().bpf_object__next_map(this.pointer, null); m !== null; m = getLibbpf().bpf_object__next_map(this.pointer, m)) yield m;
  }

  #assertNotLoaded(): void {
    if (this.#isLoaded) throw new Error(`object ${this.path} is already loaded`);
  }

  [Symbol.dispose](): void {
    if (this.#pointer !== null) getLibbpf().bpf_object__close(this.#pointer);
    this.#pointer = null;
    this.#log?.[Symbol.dispose]();
    this.#log = undefined;
  }
}

/** The last lines the verifier wrote, without its closing statistics. */
function logTail(log: string): string {
  const lines = log.split("\n").filter((line) => line.trim() !== "" && !/^(processed|verification time|stack depth|mark_precise)/.test(line));
  return lines.slice(-3).join(" | ").slice(-400);
}

/** A program of an object; lives as long as the object. */
export class BpfProgram {
  readonly name: string;
  readonly #object: BpfObject;
  readonly #pointer: Pointer;

  constructor(object: BpfObject, name: string, pointer: Pointer) {
    this.#object = object;
    this.name = name;
    this.#pointer = pointer;
  }

  get pointer(): Pointer {
    // Touching the object's pointer makes a closed object an ordinary error.
    void this.#object.pointer;
    return this.#pointer;
  }

  /** Attaches to the hook its section names. Throws a BpfError{op: "attach"}. */
  attach(): BpfLink {
    const link = getLibbpf().bpf_program__attach(this.pointer);
    if (link === null) throw new BpfError("attach", lastErrno(), this.name);
    return new BpfLink(this.name, link);
  }

  /** Attaches an iterator program. Throws a BpfError{op: "attach"}. */
  attachIterator(): BpfIterator {
    const link = getLibbpf().bpf_program__attach_iter(this.pointer, null);
    if (link === null) throw new BpfError("attach", lastErrno(), this.name);
    return new BpfIterator(new BpfLink(this.name, link));
  }

  /** A file descriptor of its own, for asking the kernel about the program after the object is closed. */
  duplicateFd(): number {
    const fd = getLibc().dup(getLibbpf().bpf_program__fd(this.pointer));
    if (fd < 0) throw new BpfError("dup", lastErrno(), this.name);
    return fd;
  }
}

/** An attachment; closing it detaches the program. */
export class BpfLink implements Disposable {
  readonly program: string;
  #pointer: Pointer | null;

  constructor(program: string, pointer: Pointer) {
    this.program = program;
    this.#pointer = pointer;
  }

  get fd(): number {
    if (this.#pointer === null) throw new Error(`link of ${this.program} is used after it was closed`);
    return getLibbpf().bpf_link__fd(this.#pointer);
  }

  [Symbol.dispose](): void {
    if (this.#pointer !== null) getLibbpf().bpf_link__destroy(this.#pointer);
    this.#pointer = null;
  }
}

/** Attaches a loaded tp_btf program once more, by its descriptor. Closing what is returned detaches it. Throws a BpfError{op: "attach"}. */
export function attachAgain(programFd: number, name: string): Disposable {
  const fd = getLibbpf().bpf_raw_tracepoint_open(null, programFd);
  if (fd < 0) throw new BpfError("attach", -fd, name);
  return { [Symbol.dispose]: () => getLibc().close(fd) };
}

/** An attached iterator program that writes nothing to its reader: it is run for what it does to maps. */
export class BpfIterator implements Disposable {
  readonly #link: BpfLink;
  readonly #sink = Buffer.alloc(4096);

  constructor(link: BpfLink) {
    this.#link = link;
  }

  /** Walks everything once, on a worker thread. */
  async run(): Promise<void> {
    const fd = getLibbpf().bpf_iter_create(this.#link.fd);
    if (fd < 0) throw new BpfError("iter_create", -fd, this.#link.program);
    try {
      for (;;) {
        // EAGAIN: the kernel pauses after a million objects without output; reading on goes on.
        const bytes = await new Promise<number>((resolve, reject) => {
          read(fd, this.#sink, 0, this.#sink.length, null, (error, count) => {
            if (error === null) resolve(count);
            else if (error.code === EAGAIN) resolve(1);
            else reject(new BpfError("iter_read", -(error.errno ?? -5), this.#link.program));
          });
        });
        if (bytes === 0) return;
      }
    } finally {
      closeSync(fd);
    }
  }

  [Symbol.dispose](): void {
    this.#link[Symbol.dispose]();
  }
}

const INFO_BYTES = 256;
/** Offsets in struct bpf_prog_info (include/uapi/linux/bpf.h). */
const INFO_JITED_BYTES = 16;
const INFO_RUN_TIME_NS = 192;
const INFO_RUN_COUNT = 200;
const INFO_RECURSION_MISSES = 208;

/** What the kernel knows of a loaded program. Run time and count stay 0 unless BPF statistics are on. */
export function readProgramInfo(fd: number, name: string): { jitedBytes: number; runTimeNs: bigint; runCount: bigint; recursionMisses: bigint } {
  const info = Buffer.alloc(INFO_BYTES);
  const result = getLibbpf().bpf_obj_get_info_by_fd(fd, info, new Uint32Array([INFO_BYTES]));
  if (result < 0) throw new BpfError("program_info", -result, name);
  return {
    jitedBytes: info.readUInt32LE(INFO_JITED_BYTES),
    runTimeNs: info.readBigUInt64LE(INFO_RUN_TIME_NS),
    runCount: info.readBigUInt64LE(INFO_RUN_COUNT),
    recursionMisses: info.readBigUInt64LE(INFO_RECURSION_MISSES),
  };
}
