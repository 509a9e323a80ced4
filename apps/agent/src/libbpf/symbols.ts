// SPDX-License-Identifier: Apache-2.0
import koffi from "koffi";

/**
 * Every C function this agent calls, declared once. Pointers that C owns are opaque (bigint in JavaScript, null when NULL);
 * memory that C only fills during a call is a Buffer or typed array.
 */

/** A pointer that C owns. */
export type Pointer = bigint;

export interface Libbpf {
  bpf_object__open_file(path: string, options: null): Pointer | null;
  bpf_object__load(object: Pointer): number;
  bpf_object__close(object: Pointer): void;
  bpf_object__next_program(object: Pointer, previous: Pointer | null): Pointer | null;
  bpf_object__next_map(object: Pointer, previous: Pointer | null): Pointer | null;
  bpf_program__name(program: Pointer): string;
  bpf_program__set_autoload(program: Pointer, autoload: boolean): number;
  bpf_program__set_log_buf(program: Pointer, buffer: unknown, size: number): number;
  bpf_program__set_log_level(program: Pointer, level: number): number;
  bpf_program__fd(program: Pointer): number;
  bpf_program__attach(program: Pointer): Pointer | null;
  bpf_program__attach_iter(program: Pointer, options: null): Pointer | null;
  bpf_link__fd(link: Pointer): number;
  bpf_link__destroy(link: Pointer): number;
  bpf_link_create(programFd: number, targetFd: number, type: number, options: Buffer): number;
  bpf_iter_create(linkFd: number): number;
  bpf_prog_test_run_opts: { async(programFd: number, options: Buffer, done: (error: unknown, result: number) => void): void };
  /** With a NULL name it attaches a program that knows its tracepoint itself (tp_btf). Returns the descriptor that holds it. */
  bpf_raw_tracepoint_open(name: null, programFd: number): number;
  bpf_map__name(map: Pointer): string;
  bpf_map__type(map: Pointer): number;
  bpf_map__fd(map: Pointer): number;
  bpf_map__key_size(map: Pointer): number;
  bpf_map__value_size(map: Pointer): number;
  bpf_map__max_entries(map: Pointer): number;
  bpf_map__set_max_entries(map: Pointer, entries: number): number;
  bpf_map__reuse_fd(map: Pointer, fd: number): number;
  bpf_map__initial_value(map: Pointer, size: BigUint64Array): Pointer | null;
  bpf_map_create(type: number, name: string, keySize: number, valueSize: number, entries: number, options: Buffer | null): number;
  bpf_map_lookup_elem(fd: number, key: Buffer, value: Buffer): number;
  bpf_map_update_elem: {
    (fd: number, key: Buffer, value: Buffer, flags: number): number;
    async(fd: number, key: Buffer, value: Buffer, flags: number, done: (error: unknown, result: number) => void): void;
  };
  bpf_map_lookup_batch(fd: number, inBatch: Buffer | null, outBatch: Buffer, keys: Buffer, values: Buffer, count: Uint32Array, options: null): number;
  bpf_map_update_batch(fd: number, keys: Buffer, values: Buffer, count: Uint32Array, options: null): number;
  bpf_map_lookup_and_delete_batch(
    fd: number,
    inBatch: Buffer | null,
    outBatch: Buffer,
    keys: Buffer,
    values: Buffer,
    count: Uint32Array,
    options: null,
  ): number;
  bpf_obj_get_info_by_fd(fd: number, info: Buffer, size: Uint32Array): number;
  bpf_enable_stats(type: number): number;
  libbpf_probe_bpf_map_type(type: number, options: null): number;
  libbpf_num_possible_cpus(): number;
  libbpf_version_string(): string;
}

export interface Libc {
  close(fd: number): number;
  dup(fd: number): number;
  getpagesize(): number;
  ioctl(fd: number, request: number, argument: number): number;
  /** perf_event_open(2), which has no function of its own in C libraries: `number` is that of the call. */
  perf_event_open(number: number, attributes: Buffer, pid: number, cpu: number, groupFd: number, flags: number): number;
  malloc_trim(pad: number): number;
  /** Advice about memory of this process, by its address as a number. */
  madvise(address: bigint, length: bigint, advice: number): number;
}

let libbpf: Libbpf | undefined;
let libc: Libc | undefined;

/** The C library's functions that Node does not offer. `malloc_trim` does nothing where the C library is not glibc. */
export function getLibc(): Libc {
  if (libc === undefined) {
    const library = koffi.load(null);
    let trim: Libc["malloc_trim"];
    try {
      trim = library.func("int malloc_trim(size_t pad)") as Libc["malloc_trim"];
    } catch {
      trim = () => 0;
    }
    libc = {
      close: library.func("int close(int fd)") as Libc["close"],
      dup: library.func("int dup(int fd)") as Libc["dup"],
      getpagesize: library.func("int getpagesize()") as Libc["getpagesize"],
      ioctl: library.func("int ioctl(int fd, unsigned long request, unsigned long argument)") as Libc["ioctl"],
      perf_event_open: library.func(
        "long syscall(long number, void *attributes, int pid, int cpu, int group_fd, unsigned long flags)",
      ) as Libc["perf_event_open"],
      malloc_trim: trim,
      madvise: library.func("int madvise(uintptr_t address, size_t length, int advice)") as Libc["madvise"],
    };
  }
  return libc;
}

/** libbpf.so.1, loaded at first use, its own printing switched off (every failure becomes a BpfError). Throws if it is not installed. */
export function getLibbpf(): Libbpf {
  if (libbpf !== undefined) return libbpf;
  let library: ReturnType<typeof koffi.load>;
  try {
    library = koffi.load("libbpf.so.1");
  } catch (cause) {
    throw new Error("libbpf.so.1 cannot be loaded: install libbpf 1.x (Debian and Ubuntu: apt install libbpf1)", { cause });
  }
  const f = (definition: string): never => library.func(definition) as never;
  (f("void *libbpf_set_print(void *print)") as (print: null) => unknown)(null);
  libbpf = {
    bpf_object__open_file: f("void *bpf_object__open_file(str path, void *opts)"),
    bpf_object__load: f("int bpf_object__load(void *obj)"),
    bpf_object__close: f("void bpf_object__close(void *obj)"),
    bpf_object__next_program: f("void *bpf_object__next_program(void *obj, void *prev)"),
    bpf_object__next_map: f("void *bpf_object__next_map(void *obj, void *prev)"),
    bpf_program__name: f("str bpf_program__name(void *prog)"),
    bpf_program__set_autoload: f("int bpf_program__set_autoload(void *prog, bool autoload)"),
    bpf_program__set_log_buf: f("int bpf_program__set_log_buf(void *prog, void *buf, size_t size)"),
    bpf_program__set_log_level: f("int bpf_program__set_log_level(void *prog, uint32_t level)"),
    bpf_program__fd: f("int bpf_program__fd(void *prog)"),
    bpf_program__attach: f("void *bpf_program__attach(void *prog)"),
    bpf_program__attach_iter: f("void *bpf_program__attach_iter(void *prog, void *opts)"),
    bpf_link__fd: f("int bpf_link__fd(void *link)"),
    bpf_link__destroy: f("int bpf_link__destroy(void *link)"),
    bpf_link_create: f("int bpf_link_create(int prog_fd, int target_fd, int attach_type, void *opts)"),
    bpf_iter_create: f("int bpf_iter_create(int link_fd)"),
    bpf_prog_test_run_opts: f("int bpf_prog_test_run_opts(int prog_fd, void *opts)"),
    bpf_raw_tracepoint_open: f("int bpf_raw_tracepoint_open(const char *name, int prog_fd)"),
    bpf_map__type: f("int bpf_map__type(void *map)"),
    bpf_map__name: f("str bpf_map__name(void *map)"),
    bpf_map__fd: f("int bpf_map__fd(void *map)"),
    bpf_map__key_size: f("uint32_t bpf_map__key_size(void *map)"),
    bpf_map__value_size: f("uint32_t bpf_map__value_size(void *map)"),
    bpf_map__max_entries: f("uint32_t bpf_map__max_entries(void *map)"),
    bpf_map__set_max_entries: f("int bpf_map__set_max_entries(void *map, uint32_t max_entries)"),
    bpf_map__reuse_fd: f("int bpf_map__reuse_fd(void *map, int fd)"),
    bpf_map__initial_value: f("void *bpf_map__initial_value(void *map, size_t *psize)"),
    bpf_map_create: f("int bpf_map_create(int type, str name, uint32_t key_size, uint32_t value_size, uint32_t max_entries, void *opts)"),
    bpf_map_lookup_elem: f("int bpf_map_lookup_elem(int fd, void *key, void *value)"),
    bpf_map_update_elem: f("int bpf_map_update_elem(int fd, void *key, void *value, uint64_t flags)"),
    bpf_map_lookup_batch: f(
      "int bpf_map_lookup_batch(int fd, void *in_batch, void *out_batch, void *keys, void *values, uint32_t *count, void *opts)",
    ),
    bpf_map_update_batch: f("int bpf_map_update_batch(int fd, void *keys, void *values, uint32_t *count, void *opts)"),
    bpf_map_lookup_and_delete_batch: f(
      "int bpf_map_lookup_and_delete_batch(int fd, void *in_batch, void *out_batch, void *keys, void *values, uint32_t *count, void *opts)",
    ),
    bpf_obj_get_info_by_fd: f("int bpf_obj_get_info_by_fd(int fd, void *info, uint32_t *info_len)"),
    libbpf_probe_bpf_map_type: f("int libbpf_probe_bpf_map_type(int map_type, void *opts)"),
    bpf_enable_stats: f("int bpf_enable_stats(int type)"),
    libbpf_num_possible_cpus: f("int libbpf_num_possible_cpus()"),
    libbpf_version_string: f("str libbpf_version_string()"),
  };
  return libbpf;
}

/** Memory that C owns, as bytes: what is written into them, C reads. Valid as long as C keeps it. */
export function bytesAt(pointer: Pointer, size: number): Uint8Array {
  return new Uint8Array(koffi.view(pointer, size));
}

/** Where a native buffer lies, for structs that hold its address. */
export function addressOf(pointer: unknown): bigint {
  return koffi.address(pointer);
}

/** errno of the last call on this thread. */
export function lastErrno(): number {
  return koffi.errno();
}

/** Memory that outlives a call, for a C library that keeps the pointer. */
export class NativeBuffer implements Disposable {
  readonly size: number;
  #pointer: unknown;

  constructor(size: number) {
    this.size = size;
    this.#pointer = koffi.alloc("char", size);
    koffi.encode(this.#pointer, "char", 0);
  }

  get pointer(): unknown {
    if (this.#pointer === null) throw new Error("native buffer is used after it was freed");
    return this.#pointer;
  }

  /** The bytes themselves; not to be used after the buffer is freed. */
  bytes(): Uint8Array {
    return new Uint8Array(koffi.view(this.pointer as Pointer, this.size));
  }

  /** The bytes up to the first zero. */
  text(): string {
    return koffi.decode.string(this.pointer);
  }

  [Symbol.dispose](): void {
    if (this.#pointer !== null) koffi.free(this.#pointer);
    this.#pointer = null;
  }
}
