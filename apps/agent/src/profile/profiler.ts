// SPDX-License-Identifier: Apache-2.0
import { getSignalOrThrow, stackName, type WireRow } from "@waggle/signals";
import type { ProbeSet } from "../probes/probe-set.ts";
import { KeyTable } from "../snapshot/key-table.ts";
import { fieldOf } from "../snapshot/layout.ts";
import type { ProcessName, ProcessRegistry } from "../snapshot/process-registry.ts";
import type { RowMaker } from "../snapshot/window-rows.ts";
import type { MapFill } from "../window/source.ts";
import { AddressSpaces, keyOf, type MappedCode, type SpaceId } from "./address-spaces.ts";
import { FrameDictionary, type UnsentStacks } from "./frame-dictionary.ts";
import { addFrame, joinFrames, KERNEL_MARK, UNKNOWN } from "./frames-text.ts";
import { KernelSymbols } from "./kernel-symbols.ts";
import { STACK_LOST, STACK_NONE, STACK_NOT_TAKEN, StackRegistry } from "./stack-registry.ts";
import { StackRows } from "./stack-rows.ts";
import { UserSymbols } from "./user-symbols.ts";

/** Signals whose keys name stacks; each has its own map of that name. */
const stackSignals = ["cpu_profile", "off_cpu"] as const;
type StackSignal = (typeof stackSignals)[number];
const FRAMES = "stack_frames";

/**
 * How long a process that samples begin to come from may wait until its mappings are read: where such come one after another, and on a host that has had none for some
 * time. To wake up four times a second for nothing was a fifth of what the agent took.
 */
const SWEEP_MS = 250;
const SWEEP_MS_MAX = 1_000;
const READS_PER_SWEEP = 8;
const READS_PER_WINDOW = 64;
/** Windows after which an address space that no stack came from is let go. */
const SPACE_WINDOWS = 60;
/** Stacks whose name is remembered by their addresses, so that it need not be made again. */
const NAMES_MAX = 8_192;

/** Names that stand in for stacks that are not there. */
const LOST = "[lost]";
const NOT_TAKEN = "[user]";

/** Addresses, or the id that says why there are none. */
type Stack = readonly number[] | typeof STACK_NONE | typeof STACK_LOST | typeof STACK_NOT_TAKEN;

/** What `cpu_profile_key` and `off_cpu_key` have in common (packages/bpf/src/profile/profile.h), without the process. */
interface RawStack extends SpaceId {
  /** Of these bytes in `#keys`. */
  readonly number: number;
  readonly kernel: Stack;
  readonly user: Stack;
  /** Of the first measure in the window; beyond 2^53 the last digits do not count. */
  weight: number;
  name: string;
  /** Empty if the name was remembered. */
  text: string;
  /** Windows for which it will have the same name when it is met again. */
  lasts: number;
}

interface RememberedName {
  readonly name: string;
  /** Window in which it is to be found out again. */
  readonly until: number;
}

/** What is not known of a window's stacks. */
interface Missing {
  readonly kernel: Set<number>;
  readonly files: Map<MappedCode, { readonly offsets: Set<number>; readonly tgid: number }>;
  /** By the process. */
  readonly generated: Map<string, { readonly id: SpaceId; readonly addresses: number[] }>;
}

const newMissing = (): Missing => ({ kernel: new Set(), files: new Map(), generated: new Map() });

/** The entries of one signal's map. */
interface Uses {
  readonly stacks: RawStack[];
  readonly names: ProcessName[];
  /** Of all measures, one entry after another; each number as its lower and its upper half. */
  readonly values: number[];
}

/** Rows of the stack signals in one window. */
export interface Profile {
  readonly rows: ReadonlyMap<string, RowMaker>;
  /** Events under a process id that never registered. */
  readonly unregistered: bigint;
  /** Stacks that rows name and whose frames are not sent. */
  readonly unsent: UnsentStacks;
  /** How full the maps were that were emptied for it. */
  readonly fills: readonly MapFill[];
}

export interface ProfilerOptions {
  readonly probes: ProbeSet;
  readonly registry: ProcessRegistry;
  /** Where the host's root directory is. */
  readonly hostRoot: string;
}

/** Turns the stacks that programs took into rows: what the addresses are called is found out here, per window. */
export class Profiler {
  readonly #probes: ProbeSet;
  readonly #registry: ProcessRegistry;
  readonly #stacks = new StackRegistry();
  readonly #kernel: KernelSymbols;
  readonly #spaces: AddressSpaces;
  readonly #user: UserSymbols;
  readonly #frames = new FrameDictionary();
  /** The bytes of keys that mean the stack, numbered, and the names that are remembered by these numbers. */
  readonly #keys: KeyTable;
  readonly #names = new Map<number, RememberedName>();
  /** Of kernel stacks that this window has, and that the last one had, by their addresses (`StackRegistry` keeps one array for as long). Many processes wait in one place. */
  #kernelTexts = new Map<readonly number[], string>();
  #kernelTextsBefore = new Map<readonly number[], string>();
  /** Used again for every stack. */
  readonly #frameList: string[] = [];
  #window = 0;
  #timer: NodeJS.Timeout | undefined;
  #sweeping: Promise<void> | undefined;
  #isReading = false;
  #startedAtMs = Date.now();
  #clockProblem = "";
  /** Waits that were thinned out, in the last window and since the start. */
  #thinned = 0n;
  #thinnedTotal = 0n;

  constructor({ probes, registry, hostRoot }: ProfilerOptions) {
    this.#probes = probes;
    this.#registry = registry;
    const fdOf = (program: string): number | undefined =>
      probes.states().some((state) => state.program === program && state.attached) ? probes.programFd(program) : undefined;
    const walksAll = probes.states().some(({ program, decision }) => program === "on_task_vma" && decision.constants?.walks_all_tasks === 1);
    this.#keys = new KeyTable(stackMask(probes));
    this.#kernel = new KernelSymbols(fdOf("on_kernel_symbols"), probes.maps.get("kernel_symbols"));
    this.#spaces = new AddressSpaces(fdOf("on_task_vma"), probes.layouts.get("mapping"), walksAll ? probes.maps.get("wanted_mappings") : undefined);
    this.#user = new UserSymbols(hostRoot);
    if (stackSignals.some((signal) => probes.maps.has(`${signal}_a`))) this.#sweepIn(SWEEP_MS);
  }

  /** In what way the last window's rows of a signal are not what they should be, in words; undefined if they are. */
  note(signal: string): { readonly state: "fallback" | "sampled"; readonly reason: string } | undefined {
    if (!(stackSignals as readonly string[]).includes(signal) && signal !== FRAMES) return undefined;
    const reasons = [];
    const isThinned = signal === "off_cpu" && this.#thinned > 0n;
    // Without the number: each new text of a reason would be one more series of agent_coverage.
    if (isThinned) reasons.push("more than 256 waits a second on a CPU: of those beyond a part is counted, each for several");
    if (this.#kernel.problem !== "") reasons.push(`kernel functions have no names: ${this.#kernel.problem}`);
    if (this.#spaces.problem !== "") reasons.push(`user functions have no names: ${this.#spaces.problem}`);
    if (signal === "cpu_profile" && this.#clockProblem !== "") reasons.push(`not all CPUs are sampled: ${this.#clockProblem}`);
    return reasons.length === 0 ? undefined : { state: isThinned ? "sampled" : "fallback", reason: reasons.join("; ") };
  }

  /**
   * The window that ended at `endedAtMs`, out of the idle copy of the maps, for the caller to own alone.
   * @param rowsMax rows of a signal; the rest is summed into `~other`
   * @param watched names of processes whose rows are summed last
   */
  async read(idle: "a" | "b", endedAtMs: number, rowsMax: (signal: string) => number, watched?: ReadonlySet<string>): Promise<Profile> {
    this.#isReading = true;
    try {
      await this.#sweeping;
      return await this.#read(idle, endedAtMs, rowsMax, watched);
    } finally {
      this.#isReading = false;
    }
  }

  close(): void {
    clearTimeout(this.#timer);
  }

  async #read(idle: "a" | "b", endedAtMs: number, rowsMax: (signal: string) => number, watched?: ReadonlySet<string>): Promise<Profile> {
    this.#window++;
    this.#refreshClocks();
    this.#readPace();
    this.#stacks.begin();
    this.#spaces.begin();
    this.#user.begin();
    [this.#kernelTextsBefore, this.#kernelTexts] = [this.#kernelTexts, this.#kernelTextsBefore];
    this.#kernelTexts.clear();
    if (this.#frames.begin(this.#startedAtMs)) {
      this.#names.clear();
      this.#kernelTextsBefore.clear();
      this.#kernel.forget();
    }
    if (this.#keys.size > NAMES_MAX) {
      this.#keys.clear();
      this.#names.clear();
    }
    this.#startedAtMs = endedAtMs;
    const fills: MapFill[] = [];
    this.#drainChunks(fills);

    const signals = stackSignals.filter((signal) => this.#probes.maps.has(`${signal}_${idle}`));
    const rows = new Map(signals.map((signal) => [signal, new StackRows(getSignalOrThrow(signal))]));
    const raw: RawStack[] = [];
    const uses = new Map<StackSignal, Uses>();
    let unregistered = 0n;
    for (const signal of signals) {
      uses.set(signal, { stacks: [], names: [], values: [] });
      unregistered += this.#drainUses(signal, idle, raw, uses.get(signal) as Uses, fills);
      this.#drainOther(signal, idle, rows.get(signal) as StackRows);
    }
    await this.#nameAll(raw);
    const texts = new Map<string, string>();
    for (const { name, text } of raw) if (text !== "") texts.set(name, text);
    for (const [signal, { stacks, names, values }] of uses) {
      const made = rows.get(signal) as StackRows;
      for (let use = 0; use < stacks.length; use++)
        made.add(names[use] as ProcessName, (stacks[use] as RawStack).name, values, (use * values.length) / stacks.length);
    }
    for (const [signal, made] of rows) made.cutTo(rowsMax(signal), watched);
    for (const made of rows.values()) this.#frames.add(made.stacks().map(({ stack, share }) => ({ stack, text: texts.get(stack), share })));
    this.#spaces.forget(SPACE_WINDOWS);
    const frames = this.#frames.take(rowsMax(FRAMES));
    this.#remember(raw);
    return { rows: new Map<string, RowMaker>([...rows, [FRAMES, fixed(frames)]]), unregistered, unsent: this.#frames.unsent, fills };
  }

  #refreshClocks(): void {
    try {
      for (const clock of this.#probes.clocks.values()) clock.refresh();
      this.#clockProblem = "";
    } catch (error) {
      this.#clockProblem = error instanceof Error ? error.message : String(error);
    }
  }

  #readPace(): void {
    const map = this.#probes.maps.get("off_cpu_pace");
    const layout = this.#probes.layouts.get("off_cpu_pace");
    if (map === undefined || layout === undefined) return;
    const { bytes, stride, cpus } = map.getPerCpu();
    let total = 0n;
    for (let cpu = 0; cpu < cpus; cpu++) total += bytes.readBigUInt64LE(cpu * stride + fieldOf(layout, "thinned").offset);
    this.#thinned = total - this.#thinnedTotal;
    this.#thinnedTotal = total;
  }

  #drainChunks(fills: MapFill[]): void {
    const chunks = this.#probes.maps.get("stack_chunks");
    const key = this.#probes.layouts.get("stack_chunk_key");
    const value = this.#probes.layouts.get("stack_chunk");
    if (chunks === undefined || key === undefined || value === undefined) return;
    const entries = chunks.drain((keys, values, count) => this.#stacks.add(keys, values, count, { key, value }));
    fills.push({ map: "stack_chunks", copy: null, entries, entriesMax: chunks.entriesMax });
  }

  /** Returns the events under processes that never registered. */
  #drainUses(signal: StackSignal, idle: "a" | "b", raw: RawStack[], uses: Uses, fills: MapFill[]): bigint {
    const keyLayout = this.#probes.layouts.get(`${signal}_key`);
    const valueLayout = this.#probes.layouts.get(`${signal}_value`);
    const map = this.#probes.maps.get(`${signal}_${idle}`);
    if (keyLayout === undefined || valueLayout === undefined || map === undefined) return 0n;
    const [processAt, kernelAt, userAt, tgidAt, spaceAt] = ["process_id", "kernel_stack", "user_stack", "tgid", "space"].map(
      (name) => fieldOf(keyLayout, name).offset,
    ) as [number, number, number, number, number];
    const measures = getSignalOrThrow(signal).measures.map(({ name }) => fieldOf(valueLayout, name).offset);
    const byKey = new Map(raw.map((stack) => [stack.number, stack]));
    let unregistered = 0n;
    const entries = map.drain((keys, values, count) => {
      const words = new Uint32Array(keys.buffer, keys.byteOffset, Math.floor(keys.length / 4));
      for (let i = 0; i < count; i++) {
        const at = i * keyLayout.size;
        let key = this.#keys.find(words, at / 4);
        if (key < 0) key = this.#keys.add(words, at / 4);
        let stack = byKey.get(key);
        if (stack === undefined) {
          stack = {
            number: key,
            key: undefined,
            kernel: this.#stackOf(words, (at + kernelAt) / 4),
            user: this.#stackOf(words, (at + userAt) / 4),
            tgid: words[(at + tgidAt) / 4] as number,
            space: words[(at + spaceAt) / 4] as number,
            weight: 0,
            name: "",
            text: "",
            lasts: 0,
          };
          byKey.set(key, stack);
          raw.push(stack);
        }
        const value = i * valueLayout.size;
        stack.weight += values.readUInt32LE(value + (measures[0] as number)) + values.readUInt32LE(value + (measures[0] as number) + 4) * 2 ** 32;
        const low = keys.readInt32LE(at + processAt);
        const high = keys.readInt32LE(at + processAt + 4);
        const process = low === 0 && high === 0 ? this.#registry.unknown : this.#registry.find(low, high);
        if (process === undefined) unregistered += values.readBigUInt64LE(value + (measures[0] as number));
        uses.stacks.push(stack);
        uses.names.push(process ?? this.#registry.unknown);
        for (const offset of measures) uses.values.push(values.readUInt32LE(value + offset), values.readUInt32LE(value + offset + 4));
      }
    });
    fills.push({ map: signal, copy: idle, entries, entriesMax: map.entriesMax });
    return unregistered;
  }

  /** The stack whose id lies at word `at`. */
  #stackOf(words: Uint32Array, at: number): Stack {
    const low = (words[at] as number) | 0;
    const high = (words[at + 1] as number) | 0;
    if (high === 0 && (low === STACK_NONE || low === STACK_NOT_TAKEN)) return low;
    return this.#stacks.get(low, high) ?? STACK_LOST;
  }

  #drainOther(signal: StackSignal, idle: "a" | "b", rows: StackRows): void {
    const layout = this.#probes.layouts.get(`${signal}_value`);
    const map = this.#probes.maps.get(`${signal}_other_${idle}`);
    const slot = Buffer.alloc(4);
    const value = map?.get(slot);
    if (map === undefined || layout === undefined || value === undefined) return;
    const offsets = getSignalOrThrow(signal).measures.map(({ name }) => fieldOf(layout, name).offset);
    rows.addOther(offsets.flatMap((offset) => [value.readUInt32LE(offset), value.readUInt32LE(offset + 4)]));
    if (value.some((byte) => byte !== 0)) map.set(slot, Buffer.alloc(map.valueSize));
  }

  /** Names all stacks of a window; those that are remembered have no text. */
  async #nameAll(raw: readonly RawStack[]): Promise<void> {
    /** The heaviest first: what there is no time for in one window shall be light. */
    const unnamed: RawStack[] = [];
    for (const stack of raw) {
      const known = this.#names.get(stack.number);
      // One whose frames were let go has to be told anew.
      if (known === undefined || known.until <= this.#window || !this.#frames.has(known.name)) unnamed.push(stack);
      else stack.name = known.name;
    }
    unnamed.sort((a, b) => b.weight - a.weight);
    await this.#readSpaces(unnamed);
    const missing = newMissing();
    const again: RawStack[] = [];
    for (const stack of unnamed) if (this.#write(stack, missing)) again.push(stack);
    await this.#learn(missing);
    for (const stack of again) this.#write(stack, undefined);
    for (const stack of unnamed) stack.name = stackName(stack.text);
  }

  #remember(raw: readonly RawStack[]): void {
    for (const { number, name, lasts } of raw)
      if (lasts > 0 && this.#frames.has(name)) this.#names.set(number, { name, until: this.#window + lasts });
  }

  /** Reads the mappings of processes that are not known, or have mapped more since. */
  async #readSpaces(stacks: readonly RawStack[]): Promise<void> {
    const wanted = new Map<string, SpaceId>();
    for (const stack of stacks) {
      const innermost = addressesOf(stack.user)[0];
      if (innermost === undefined || wanted.size >= READS_PER_WINDOW) continue;
      const mappings = this.#spaces.use(stack);
      if (mappings === undefined || (this.#spaces.isOld(mappings) && mappings.find(innermost) < 0)) wanted.set(keyOf(stack), stack);
    }
    await this.#spaces.read([...wanted.values()]);
  }

  /** Finds out the names of what was missing. */
  async #learn({ kernel, files, generated }: Missing): Promise<void> {
    await this.#kernel.learn(kernel);
    for (const [code, { offsets, tgid }] of files) await this.#user.learnFile(code, offsets, tgid);
    for (const { id, addresses } of generated.values()) await this.#user.learnGenerated(id, addresses);
  }

  /**
   * Writes a stack's text by what is known.
   * @param missing takes note of what is not, or may have changed
   * @returns whether there was something of that
   */
  #write(stack: RawStack, missing: Missing | undefined): boolean {
    let isMissing = false;
    let lasts = Number.POSITIVE_INFINITY;
    const frames = this.#frameList;
    frames.length = 0;
    if (stack.user === STACK_NOT_TAKEN) frames.push(NOT_TAKEN);
    else if (stack.user !== STACK_NONE) {
      const addresses = addressesOf(stack.user);
      const mappings = this.#spaces.use(stack);
      if (addresses.length === 0) frames.push(LOST);
      if (addresses.length === 0 || mappings === undefined) lasts = 0;
      for (let index = addresses.length - 1; index >= 0; index--) {
        const address = userAddress(addresses[index] as number, index);
        const mapping = mappings?.find(address) ?? -1;
        if (mappings === undefined || mapping < 0) {
          addFrame(frames, UNKNOWN);
          continue;
        }
        const code = mappings.codeOf(mapping);
        const offset = mappings.offsetOf(mapping, address);
        addFrame(frames, this.#user.frame(stack, address, code, offset));
        lasts = Math.min(lasts, this.#user.lasts);
        if (missing !== undefined && this.#note(missing, stack, address, code, offset)) isMissing = true;
      }
    }
    if (stack.kernel !== STACK_NONE) {
      const addresses = addressesOf(stack.kernel);
      if (addresses.length === 0 || this.#kernel.problem !== "") lasts = 0;
      if (addresses.length === 0) frames.push(`${LOST}${KERNEL_MARK}`);
      else {
        const text = this.#kernelText(addresses, missing);
        if (text === "") isMissing = true;
        else if (!this.#kernelTexts.has(addresses)) lasts = 0;
        frames.push(text);
      }
    }
    if (isMissing) return true;
    stack.text = frames.length === 0 ? LOST : joinFrames(frames);
    stack.lasts = lasts;
    return false;
  }

  /** Notes an address whose frame is not known, or may be another one by now. Returns whether it is such. */
  #note({ files, generated }: Missing, stack: RawStack, address: number, code: MappedCode, offset: number): boolean {
    if (code.kind === "anonymous") {
      const key = keyOf(stack);
      const process = generated.get(key);
      if (process === undefined) generated.set(key, { id: stack, addresses: [address] });
      else process.addresses.push(address);
      return true;
    }
    if (code.kind !== "file" || this.#user.lasts > 0 || !this.#user.isUnknown(code, offset)) return false;
    const file = files.get(code);
    if (file === undefined) files.set(code, { offsets: new Set([offset]), tgid: stack.tgid });
    else file.offsets.add(offset);
    return true;
  }

  /** The kernel's part of a stack as text, remembered as long as it comes; empty, with the addresses noted as missing, if not all of them are known. */
  #kernelText(addresses: readonly number[], missing: Missing | undefined): string {
    const known = this.#kernelTexts.get(addresses) ?? this.#kernelTextsBefore.get(addresses);
    if (known !== undefined) {
      this.#kernelTexts.set(addresses, known);
      return known;
    }
    let isWhole = true;
    for (let index = 0; index < addresses.length; index++) {
      const address = kernelAddress(addresses[index] as number, index);
      if (this.#kernel.has(address)) continue;
      isWhole = false;
      missing?.kernel.add(address);
    }
    if (!isWhole && missing !== undefined) return "";
    const frames: string[] = [];
    for (let index = addresses.length - 1; index >= 0; index--) frames.push(this.#kernel.frame(kernelAddress(addresses[index] as number, index)));
    const text = joinFrames(frames);
    if (isWhole) this.#kernelTexts.set(addresses, text);
    return text;
  }

  #sweepIn(ms: number): void {
    this.#timer = setTimeout(() => this.#sweepIn(this.#startSweep() ? SWEEP_MS : Math.min(SWEEP_MS_MAX, ms * 2)), ms).unref();
  }

  /** Reads the mappings of processes that stacks begin to come from: at the end of the window many are gone. Returns whether there are such. */
  #startSweep(): boolean {
    if (this.#isReading || this.#sweeping !== undefined || !this.#spaces.isCheap) return false;
    const spaces = this.#probes.maps.get("stack_spaces");
    if (spaces === undefined) return false;
    const wanted: SpaceId[] = [];
    try {
      spaces.drain((keys, _values, count) => {
        for (let i = 0; i < count && wanted.length < READS_PER_SWEEP; i++) {
          const id = { tgid: keys.readUInt32LE(i * 8), space: keys.readUInt32LE(i * 8 + 4) };
          if (!this.#spaces.has(id)) wanted.push(id);
        }
      });
    } catch {
      // The map will be read again in a moment; what it is for is asked for at the end of the window too.
      return false;
    }
    if (wanted.length === 0) return false;
    this.#sweeping = this.#sweep(wanted).finally(() => {
      this.#sweeping = undefined;
    });
    return true;
  }

  async #sweep(ids: readonly SpaceId[]): Promise<void> {
    await this.#spaces.read(ids);
    for (const id of ids) if (this.#spaces.hasGenerated(id)) await this.#user.learnOwner(id);
  }
}

const noAddresses: readonly number[] = [];

/** As the kernel's formatting of return addresses wants it: it looks up the byte before, which is wrong of the innermost. */
function kernelAddress(address: number, index: number): number {
  return index === 0 ? address + 1 : address;
}

/** A return address may be the first byte behind its function, so the byte before is looked up; the innermost is where the task was. */
function userAddress(address: number, index: number): number {
  return index === 0 ? address : address - 1;
}

function addressesOf(stack: Stack): readonly number[] {
  return typeof stack === "number" ? noAddresses : stack;
}

/** The bytes of the signals' keys that mean the stack; they lie alike in all. Throws a TypeError if they do not. */
function stackMask(probes: ProbeSet): Buffer {
  const layouts = stackSignals.map((signal) => probes.layouts.get(`${signal}_key`)).filter((layout) => layout !== undefined);
  const masks = layouts.map((layout) => {
    const mask = Buffer.alloc(layout.size);
    for (const name of ["kernel_stack", "user_stack", "tgid", "space"]) {
      const { offset, size } = fieldOf(layout, name);
      mask.fill(0xff, offset, offset + size);
    }
    return mask;
  });
  const [first = Buffer.alloc(0), ...others] = masks;
  if (others.some((mask) => !mask.equals(first))) throw new TypeError(`stacks lie differently in the keys of ${stackSignals.join(" and ")}`);
  return first;
}

function fixed(rows: readonly WireRow[]): RowMaker {
  return { rows: () => [...rows], total: () => BigInt(rows.length), cut: 0 };
}
