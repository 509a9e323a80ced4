// SPDX-License-Identifier: Apache-2.0
import { setTimeout } from "node:timers/promises";
import { catalogue, getSignalOrThrow, rowsMaxOf, type Signal } from "@waggle/signals";
import { type Account, Accounting } from "../accounting/accounting.ts";
import { quantitySources } from "../accounting/sources.ts";
import { BlockDevices } from "../kernel/block-device.ts";
import { readEphemeralPorts, readNetnsInum } from "../kernel/capability-report.ts";
import type { BpfMap } from "../libbpf/bpf-map.ts";
import { GracePeriod } from "../libbpf/grace-period.ts";
import { configuredConstants } from "../probes/configured-constants.ts";
import { coverageOf, type SignalCoverage } from "../probes/coverage.ts";
import { signalsOfProgram } from "../probes/hook-families.ts";
import { type Inventory, ProbeSet, type ProbeSetOptions } from "../probes/probe-set.ts";
import type { ProgramState } from "../probes/program-state.ts";
import { type Profile, Profiler } from "../profile/profiler.ts";
import type { MapFill } from "../window/source.ts";
import { Control } from "./control.ts";
import type { DimensionNames } from "./dimension-text.ts";
import { KeyRows } from "./key-rows.ts";
import { layoutProblem } from "./layout.ts";
import { type NameResolver, ProcessRegistry } from "./process-registry.ts";
import { nsPerEvent, ProgramCostReader, ProgramCosts } from "./program-costs.ts";
import { RowAccumulator } from "./row-accumulator.ts";
import { TextRegistry } from "./text-registry.ts";
import { exactMode, modeFields, qualify, signalsOff, unwantedPrograms, type WindowMode } from "./window-mode.ts";
import { WindowRows } from "./window-rows.ts";

export type { NameResolver, ProcessIdentity } from "./process-registry.ts";

/** Everything of one window. */
export interface WindowData {
  /** Wall clock of the flip: where this window ends and the next one starts. */
  readonly endedAtMs: number;
  /** Rows of the kernel's signals, by signal name; a covered signal without rows is there with none. */
  readonly rows: WindowRows;
  readonly coverage: SignalCoverage[];
  /** Price of each program: runs, and time inside it (few runs are timed, scaled by the runs). */
  readonly programs: { program: string; events: bigint; kernelNs: bigint; attached: boolean; reason: string }[];
  /** What programs have cost so far, as of a moment after the flip. */
  readonly costs: ProgramCosts;
  /** What the probes counted beside what the kernel's own figure rose by. */
  readonly accounting: Account[];
  /** What could not be kept as it should, by reason; only reasons that occurred. */
  readonly drops: { reason: string; count: bigint }[];
  /** Rows that were summed into `~other` because a signal had too many, by signal; known once `rows` were walked through. */
  readonly cuts: ReadonlyMap<string, number>;
  readonly mapBytes: number;
  /** The maps of signals, both copies together: how full the one that was read was. */
  readonly maps: { readonly map: string; readonly entries: number; readonly entriesMax: number; readonly bytes: number }[];
  /** How full each map was that was emptied. */
  readonly fills: readonly MapFill[];
  /** What all maps were planned to take, and were allowed to. */
  readonly mapPlan: { readonly bytes: number; readonly bytesMax: number };
  /** Events a second at the hooks of programs that were taken off them to save, by program: looked at for a moment. */
  readonly savedRates: ReadonlyMap<string, number>;
  /** Time between the flip and the last row, the grace period included. */
  readonly readMs: number;
}

export interface KernelSourceOptions extends ProbeSetOptions {
  readonly names: NameResolver;
  /** Numbers of the hierarchies of version 1 in which a process has groups that `names` can tell, in its order; none if absent. */
  readonly unitHierarchies?: readonly number[];
  /** Signals that are off from the first window on, by the reason (`setDisabled`). */
  readonly disabled?: ReadonlyMap<string, ReadonlySet<string>>;
  /** Rows per signal and window, at most; the rest is summed into `~other`. */
  readonly rowsMax?: number;
  /** Rows of one signal, below that; as the catalogue says (`rowsMaxOf`) if absent. */
  readonly rowCaps?: (signal: Signal) => number;
  /** Process names that are remembered before old ones are let go. */
  readonly processesMax?: number;
  /** Shortest wait that counts as off-CPU, in microseconds. */
  readonly offCpuMinUs?: number;
  /** Where the host's root directory is; `/` if absent. */
  readonly hostRoot?: string;
}

export const ROWS_MAX = 2_000;
/** How long programs that were taken off their hooks are put back on, once per window, to see what happens there. */
const LOOK_MS = 25;

/** Registries of texts that keys name by an id. */
const TEXT_MAPS = ["texts", "dns_names"] as const;

const LEFTOVERS = "holds also what an earlier window counted, whose map could not be read to its end then";

const UINT64_MAX = (1n << 64n) - 1n;

/** What programs need of a kernel map by one name. */
interface SignalMaps {
  readonly map: string;
  readonly signals: Signal[];
  /** Of each signal. */
  readonly keyRows: KeyRows[];
}

/** The kernel side of the agent: programs, maps, and the exact delta of each window. */
export class KernelSource implements Disposable {
  readonly #probes: ProbeSet;
  readonly #registry: ProcessRegistry;
  readonly #texts = new TextRegistry();
  readonly #devices = new BlockDevices();
  readonly #dimensionNames: DimensionNames;
  readonly #rowsMax: number;
  readonly #rowCaps: (signal: Signal) => number;
  readonly #maps: SignalMaps[] = [];
  /** What all maps together were planned to take, and may. */
  readonly mapPlan: WindowData["mapPlan"];
  readonly #plannedBytes: ReadonlyMap<string, number>;
  /** Signals that somebody switched off, by the reason. */
  readonly #disabled = new Map<string, ReadonlySet<string>>();
  #watched: ReadonlySet<string> = new Set();
  #savings: WindowMode = exactMode;
  /** How the window under way is measured, and how the next one will be. */
  #mode: WindowMode = exactMode;
  #nextMode: WindowMode = exactMode;
  /** Copies of maps that still hold what an earlier window counted, as they could not be read then; by map. */
  readonly #leftovers = new Map<string, Set<"a" | "b">>();
  /** What overflow arrays read as while they are not used, by their shape: histograms share one. */
  readonly #emptySlots = new Map<string, Buffer>();
  /** Signals whose structs do not fit the catalogue; they are not read. */
  readonly #misfits = new Map<string, string>();
  readonly #grace: GracePeriod | null;
  readonly #control: Control | null;
  readonly #costReader: ProgramCostReader | null;
  #profiler: Profiler | null = null;
  #iterators = new Map<string, Inventory>();
  #mapBytes = 0;
  #isReading = false;
  #isClosed = false;
  /** Cumulative figures at the end of the last window, and what had been dropped at the end of the one before. */
  #last: Cumulative = { drops: new Map(), misses: new Map(), costs: new ProgramCosts(0) };
  #dropsBefore: ReadonlyMap<string, bigint> = new Map();
  readonly #accounting = new Accounting(quantitySources(), () => this.#readNamedCounters("accounting"));

  private constructor(options: KernelSourceOptions) {
    this.#rowsMax = options.rowsMax ?? ROWS_MAX;
    this.#rowCaps = options.rowCaps ?? rowsMaxOf;
    this.#registry = new ProcessRegistry(options.names, options.processesMax);
    this.#probes = ProbeSet.load({
      ...options,
      constants: { ...configuredConstants(options), ...options.constants },
    });
    const { mapPlan } = this.#probes;
    this.mapPlan = { bytes: mapPlan.bytes, bytesMax: mapPlan.bytesMax };
    this.#plannedBytes = new Map(mapPlan.maps.map(({ name, bytes }) => [name, bytes]));
    for (const [reason, signals] of options.disabled ?? []) this.setDisabled(signals, reason);
    this.#dimensionNames = {
      text: (low, high) => this.#texts.get(low, high),
      device: (number) => this.#devices.nameOf(number),
      kernel: this.#probes.kernelNames,
    };
    try {
      const { maps, layouts } = this.#probes;
      const control = maps.get("control");
      const controlLayout = layouts.get("control");
      const modeLayout = layouts.get("window_mode");
      const [costMap, costLayout, oneCost] = [maps.get("program_costs"), layouts.get("program_costs"), layouts.get("program_cost")];
      this.#costReader =
        costMap === undefined || costLayout === undefined || oneCost === undefined ? null : new ProgramCostReader(costMap, costLayout, oneCost);
      // No program could be loaded: there is nothing to flip, and every signal says why.
      if (control === undefined || controlLayout === undefined || modeLayout === undefined) {
        this.#control = null;
        this.#grace = null;
        return;
      }
      this.#grace = new GracePeriod();
      this.#control = new Control(control, controlLayout, modeLayout, {
        netnsInum: readNetnsInum(),
        ephemeralPorts: readEphemeralPorts(),
        generation: this.#registry.generation,
        unitHierarchies: options.unitHierarchies ?? [],
      });
      this.#planMaps();
      for (const { map } of this.#maps) for (const copy of ["a", "b"]) this.#clearOther(this.#mapOf(`${map}_other_${copy}`));
      this.#iterators = this.#probes.attach();
      for (const map of maps.values()) this.#mapBytes += map.memoryBytes();
      this.#profiler = new Profiler({ probes: this.#probes, registry: this.#registry, hostRoot: options.hostRoot ?? "/" });
    } catch (error) {
      this.#probes[Symbol.dispose]();
      throw error;
    }
  }

  /**
   * Loads and attaches what this kernel allows; what it does not is in `programs()` and in each window's coverage. The first
   * window starts when the promise resolves.
   */
  static async open(options: KernelSourceOptions): Promise<KernelSource> {
    const source = new KernelSource(options);
    try {
      await source.#prime();
    } catch (error) {
      source.close();
      throw error;
    }
    return source;
  }

  /**
   * Signals that are not wanted, from the next window on; what was said under the same reason before is forgotten. Programs that feed nothing else leave
   * their hooks, in those that also feed others it is a test; coverage says `disabled` with the reason. Names that are not in the catalogue do nothing.
   */
  setDisabled(signals: ReadonlySet<string>, reason: string): void {
    this.#disabled.set(reason, signals);
    this.#planMode();
  }

  /** Names of processes whose rows are the last to go into `~other`. */
  setWatched(processes: ReadonlySet<string>): void {
    this.#watched = processes;
  }

  /** What each program has cost so far: cheap enough to be asked while a window is under way. */
  costs(): ProgramCosts {
    return this.#costReader?.read() ?? new ProgramCosts(performance.now());
  }

  /** How to save, from the next window on. */
  setSavings(mode: WindowMode): void {
    this.#savings = mode;
    this.#planMode();
  }

  #planMode(): void {
    const off = new Map(this.#savings.off);
    for (const [reason, signals] of this.#disabled) for (const signal of signals) off.set(signal, { state: "disabled", reason });
    this.#nextMode = { ...this.#savings, off };
  }

  programs(): ProgramState[] {
    return this.#probes.states();
  }

  /** Run time and count by the kernel's statistics (root switches them on); for the benchmark. */
  statistics(): Map<string, { runTimeNs: bigint; runCount: bigint }> {
    return this.#probes.statistics();
  }

  /**
   * Ends the window: the delta since the last call (or since `open`). Throws if a call is still under way.
   * @param rowsMax rows of one signal in this window; above the source's own cap it changes nothing
   * @param beforeFlip called when all that costs has run but the flip is still to come: what `setSavings` is told in there is in force in the window that follows
   */
  async readWindow(rowsMax?: number, beforeFlip: () => void = () => {}): Promise<WindowData> {
    if (this.#isReading) throw new Error("readWindow was called while a window is being read");
    if (this.#isClosed) throw new Error("readWindow was called after close");
    this.#isReading = true;
    try {
      const most = Math.min(this.#rowsMax, rowsMax ?? this.#rowsMax);
      return await this.#readWindow((signal) => Math.min(most, this.#rowCaps(getSignalOrThrow(signal))), beforeFlip);
    } catch (error) {
      // It is not known how far it came: whatever either copy holds next may be of this window.
      for (const { map } of this.#maps) this.#leftovers.set(map, new Set(["a", "b"]));
      throw error;
    } finally {
      this.#isReading = false;
      if (this.#isClosed) this.#release();
    }
  }

  /** Detaches everything; a window that is being read is read to its end first. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    if (!this.#isReading) this.#release();
  }

  #release(): void {
    this.#profiler?.close();
    this.#probes[Symbol.dispose]();
    this.#grace?.[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** Notes down what is older than the agent: tasks and their figures, who listens, then who is connected and which side that is. */
  async #prime(): Promise<void> {
    if (this.#control !== null) {
      for (const stage of ["listeners", "connections"] as const) {
        this.#control.setPriming(stage);
        for (const inventory of this.#iterators.values()) await inventory.run();
      }
      this.#control.setPriming("off");
      // The first window may lack signals already.
      this.#mode = this.#nextMode;
      this.#probes.keepDetached(unwantedPrograms(this.#mode));
      this.#writeMode(this.#control, this.#control.active);
    }
    this.#last = this.#readCumulative();
    this.#accounting.start();
  }

  async #readWindow(rowsMax: (signal: string) => number, beforeFlip: () => void): Promise<WindowData> {
    const broken = new Map<string, string>();
    const rows = new WindowRows(rowsMax, this.#watched);
    if (this.#control === null || this.#grace === null) {
      beforeFlip();
      const costs = this.costs();
      return {
        endedAtMs: Date.now(),
        rows,
        coverage: this.#coverage(broken),
        programs: this.#programs(costs, new Set()),
        costs,
        accounting: [],
        drops: [],
        cuts: rows.cuts,
        mapBytes: 0,
        maps: [],
        fills: [],
        mapPlan: this.mapPlan,
        savedRates: new Map(),
        readMs: 0,
      };
    }
    const mode = this.#mode;
    const off = signalsOff(mode);
    const wasUnwanted = unwantedPrograms(mode);
    // Inventories count into the window that is about to end. One that comes back is run at the end of the last window without it, too: what it finds
    // there is not shipped, and from there on it counts.
    await this.#runInventories((program) => !wasUnwanted.has(program), broken);
    beforeFlip();
    const next = this.#nextMode;
    const unwanted = unwantedPrograms(next);
    await this.#runInventories((program) => wasUnwanted.has(program) && !unwanted.has(program), broken);

    this.#registry.begin();
    this.#texts.begin();
    this.#devices.begin();
    const endedAtMs = Date.now();
    const startedAt = performance.now();
    const idle = this.#changeMode(this.#control, next, unwanted);
    const figures = this.#accounting.read();
    const savedRates = await this.#lookAtHooks(this.#grace);
    const now = this.#readCumulative();

    const fills: MapFill[] = [];
    this.#readMadeGroups(fills);
    this.#registry.settle();
    // A process registers before anything is counted under its id: whatever the idle copy holds is known after this.
    const processes = this.#probes.maps.get("processes");
    const processLayout = this.#probes.layouts.get("process");
    if (processes !== undefined && processLayout !== undefined) {
      const entries = processes.drain((keys, values, count) => this.#registry.add(keys, values, count, processLayout));
      fills.push({ map: "processes", copy: null, entries, entriesMax: processes.entriesMax });
    }

    const textLayout = this.#probes.layouts.get("text");
    for (const name of TEXT_MAPS) {
      const texts = this.#probes.maps.get(name);
      if (texts === undefined || textLayout === undefined) continue;
      const entries = texts.drain((keys, values, count) => this.#texts.add(keys, values, count, textLayout));
      fills.push({ map: name, copy: null, entries, entriesMax: texts.entriesMax });
    }

    let unregistered = 0n;
    const unread = new Map<string, string>();
    const mixed = new Set<string>();
    const maps: WindowData["maps"] = [];
    for (const { map, signals: all, keyRows } of this.#maps) {
      const signals = all.filter(({ name }) => !off.has(name));
      const accumulators = keyRows.filter(({ signal }) => signals.includes(signal)).map((keys) => new RowAccumulator(keys, this.#probes.layouts));
      try {
        const copy = this.#mapOf(`${map}_${idle}`);
        const entries = copy.drain((keys, values, count) => {
          for (const accumulator of accumulators) accumulator.add(keys, values, count);
        });
        fills.push({ map, copy: idle, entries, entriesMax: copy.entriesMax });
        maps.push({ map, entries, entriesMax: copy.entriesMax, bytes: 2 * (this.#plannedBytes.get(`${map}_${idle}`) ?? 0) });
        if (this.#mayHaveOverflowed(map, idle, now.drops)) this.#drainOther(this.#mapOf(`${map}_other_${idle}`), accumulators);
        if (this.#leftovers.get(map)?.delete(idle) === true) for (const { name } of signals) mixed.add(name);
      } catch (error) {
        // What was read is shipped and the rest comes with this copy's next turn: nothing is lost, and the states of both windows say so.
        this.#leftovers.set(map, (this.#leftovers.get(map) ?? new Set()).add(idle));
        for (const { name } of signals) unread.set(name, error instanceof Error ? error.message : String(error));
      }
      signals.forEach((signal, index) => {
        rows.set(signal.name, accumulators[index] as RowAccumulator);
      });
      unregistered += accumulators[0]?.unregistered ?? 0n;
    }
    const profile = await this.#readProfile(mode, idle, endedAtMs, rowsMax, rows, unread, fills);
    unregistered += profile?.unregistered ?? 0n;
    this.#registry.end();

    const drops = [...delta(now.drops, this.#last.drops)].map(([reason, count]) => ({ reason, count }));
    for (const [program, count] of delta(now.misses, this.#last.misses)) drops.push({ reason: `recursion:${program}`, count });
    if (unregistered > 0n) drops.push({ reason: "process_unregistered", count: unregistered });
    if (profile !== undefined) {
      drops.push({ reason: "stack_frames_late", count: BigInt(profile.unsent.late) });
      drops.push({ reason: "stack_frames_let_go", count: BigInt(profile.unsent.letGo) });
    }
    const coverage = qualify(this.#coverage(broken, unread), mode).map((entry) =>
      mixed.has(entry.signal) && entry.state === "exact" ? { signal: entry.signal, state: "fallback" as const, reason: LEFTOVERS } : entry,
    );
    // An estimate is not held against what the kernel counted, nor is what two windows counted.
    const measured = new Set(
      coverage.filter(({ signal, state }) => (state === "exact" || state === "fallback") && !mixed.has(signal)).map(({ signal }) => signal),
    );
    const data: WindowData = {
      endedAtMs,
      rows,
      coverage,
      programs: this.#programs(now.costs, wasUnwanted),
      costs: now.costs,
      accounting: this.#accounting.compare(figures, {
        isMeasured: (signal) => measured.has(signal),
        total: (signal, measure, where) => rows.total(signal, measure, where),
      }),
      drops: drops.filter((drop) => drop.count > 0n),
      cuts: rows.cuts,
      mapBytes: this.#mapBytes,
      maps,
      fills,
      mapPlan: this.mapPlan,
      savedRates,
      readMs: performance.now() - startedAt,
    };
    this.#dropsBefore = this.#last.drops;
    this.#last = now;
    return data;
  }

  /** Control groups that were made in the window name units also when they are gone by now. */
  #readMadeGroups(fills: MapFill[]): void {
    const groups = this.#probes.maps.get("made_groups");
    const [key, text] = ["made_group", "text"].map((name) => this.#probes.layouts.get(name));
    if (groups === undefined || key === undefined || text === undefined) return;
    const entries = groups.drain((keys, values, count) => this.#registry.addGroups(keys, values, count, { key, text }));
    fills.push({ map: "made_groups", copy: null, entries, entriesMax: groups.entriesMax });
  }

  /** @param broken takes why one failed, by program */
  async #runInventories(isDue: (program: string) => boolean, broken: Map<string, string>): Promise<void> {
    for (const [program, inventory] of this.#iterators) {
      if (!isDue(program)) continue;
      try {
        await inventory.run();
      } catch (error) {
        broken.set(program, `${program}: ${error instanceof Error ? error.message : String(error)}`);
      }
    }
  }

  /**
   * Ends the window: programs that are wanted again are on their hooks before the next one starts, those that are not leave when this one is over.
   * Returns the copy that is idle after a grace period.
   */
  #changeMode(control: Control, next: WindowMode, unwanted: ReadonlySet<string>): "a" | "b" {
    const returns = this.#probes.states().some(({ program, isDetached }) => isDetached && !unwanted.has(program));
    if (returns) {
      control.forgetStamps();
      const stay = new Set(unwanted);
      for (const { program, attached } of this.#probes.states()) if (attached) stay.delete(program);
      this.#probes.keepDetached(stay);
    }
    const isSeen = ({ off }: WindowMode, signal: string): boolean => !off.has(signal);
    if (
      this.#mode.sampling.get("switches")?.shift !== next.sampling.get("switches")?.shift ||
      ["run_queue_latency", "off_cpu"].some((signal) => isSeen(this.#mode, signal) !== isSeen(next, signal))
    )
      control.forgetSwitches();
    this.#mode = next;
    this.#writeMode(control, control.active === "a" ? "b" : "a", unwanted);
    const idle = control.flip(this.#registry.generation);
    this.#probes.keepDetached(unwanted);
    return idle;
  }

  #writeMode(control: Control, copy: "a" | "b", unwanted: ReadonlySet<string> = new Set()): void {
    const isAttached = (program: string): boolean => this.#probes.isAttached(program) && !unwanted.has(program);
    control.setMode(copy, modeFields(this.#mode, control.modeFields, isAttached));
  }

  /** Waits for the grace period; meanwhile, has the runs of programs counted that are off their hooks only to save. */
  async #lookAtHooks(grace: GracePeriod): Promise<ReadonlyMap<string, number>> {
    const shed = this.#probes
      .states()
      .filter(
        ({ program, isDetached }) => isDetached && signalsOfProgram(program).some((signal) => signalsOff(this.#mode).get(signal)?.state === "shed"),
      )
      .map(({ program }) => program);
    if (shed.length === 0) {
      await grace.wait();
      return new Map();
    }
    const startedAt = performance.now();
    const before = this.costs();
    const look = this.#probes.attachBriefly(shed);
    try {
      await Promise.all([grace.wait(), setTimeout(LOOK_MS)]);
    } finally {
      look[Symbol.dispose]();
    }
    const seconds = (performance.now() - startedAt) / 1_000;
    const after = this.costs();
    return new Map(shed.map((program) => [program, (after.get(program).events - before.get(program).events) / seconds]));
  }

  /** Undefined where there is no profile, or it could not be read. */
  async #readProfile(
    mode: WindowMode,
    idle: "a" | "b",
    endedAtMs: number,
    rowsMax: (signal: string) => number,
    rows: WindowRows,
    unread: Map<string, string>,
    fills: MapFill[],
  ): Promise<Profile | undefined> {
    if (this.#profiler === null) return undefined;
    try {
      const profile = await this.#profiler.read(idle, endedAtMs, rowsMax, this.#watched);
      fills.push(...profile.fills);
      for (const [signal, maker] of profile.rows) if (!signalsOff(mode).has(signal)) rows.set(signal, maker);
      return profile;
    } catch (error) {
      for (const { name, bpf } of catalogue) if (bpf?.stacks === true) unread.set(name, error instanceof Error ? error.message : String(error));
      return undefined;
    }
  }

  /** Which maps there are, and what signals read them. */
  #planMaps(): void {
    for (const signal of catalogue) {
      if (signal.bpf === null || signal.bpf.stacks === true || !this.#probes.maps.has(`${signal.bpf.map}_a`)) continue;
      const problem = layoutProblem(signal, this.#probes.layouts);
      if (problem !== undefined) {
        this.#misfits.set(signal.name, problem);
        continue;
      }
      const { map } = signal.bpf;
      let known = this.#maps.find((entry) => entry.map === map);
      if (known === undefined) {
        known = { map, signals: [], keyRows: [] };
        this.#maps.push(known);
      }
      known.signals.push(signal);
      known.keyRows.push(new KeyRows(signal, this.#registry, this.#probes.layouts, this.#dimensionNames));
    }
  }

  #mapOf(name: string): BpfMap {
    const map = this.#probes.maps.get(name);
    if (map === undefined) throw new Error(`no map ${name} in the BPF objects`);
    return map;
  }

  /** `broken`: programs that failed in this window; `unread`: signals whose map could not be read. */
  #coverage(broken: ReadonlyMap<string, string>, unread: ReadonlyMap<string, string> = new Map()): SignalCoverage[] {
    return coverageOf(this.#probes.states(), broken).map((entry) => {
      const problem = this.#misfits.get(entry.signal) ?? unread.get(entry.signal);
      if (problem !== undefined) return { signal: entry.signal, state: "failed", reason: problem };
      const note = this.#profiler?.note(entry.signal);
      return note !== undefined && entry.state === "exact" ? { signal: entry.signal, ...note } : entry;
    });
  }

  /**
   * Whether a copy's overflow array may hold something. Programs count that a map is full before they use the array, and the copy was written since the flip that
   * came between the last two readings: to read some 500 slots of every histogram for nothing would be a tenth of what reading the maps takes.
   */
  #mayHaveOverflowed(map: string, copy: "a" | "b", drops: ReadonlyMap<string, bigint>): boolean {
    const reason = `${map}_full`;
    const before = this.#dropsBefore.get(reason);
    return before === undefined || before !== drops.get(reason) || this.#leftovers.get(map)?.has(copy) === true;
  }

  #drainOther(other: BpfMap, accumulators: readonly RowAccumulator[]): void {
    const empty = this.#emptyOthers(other);
    let isUsed = false;
    other.readAll((_keys, values, count) => {
      if (values.compare(empty, 0, count * other.valueSize, 0, count * other.valueSize) === 0) return;
      isUsed = true;
      for (const accumulator of accumulators) accumulator.addOther(values, count);
    });
    if (isUsed) this.#clearOther(other);
  }

  /** As many slots as the map has, unused: zeros, but `min` at its neutral element, so that the first value wins. */
  #emptyOthers(other: BpfMap): Buffer {
    const layout = this.#probes.layouts.get(other.name.replace(/_other_[ab]$/, "_value"));
    const min = layout?.fields.find((field) => field.name === "min");
    const shape = `${other.entriesMax} ${other.valueSize} ${min?.offset}`;
    let empty = this.#emptySlots.get(shape);
    if (empty === undefined) {
      empty = Buffer.alloc(other.entriesMax * other.valueSize);
      if (min !== undefined) for (let at = min.offset; at < empty.length; at += other.valueSize) empty.writeBigUInt64LE(UINT64_MAX, at);
      this.#emptySlots.set(shape, empty);
    }
    return empty;
  }

  #clearOther(other: BpfMap): void {
    const keys = Buffer.from(Uint32Array.from({ length: other.entriesMax }, (_, index) => index).buffer);
    other.setAll(keys, this.#emptyOthers(other), other.entriesMax);
  }

  #programs(costs: ProgramCosts, wasUnwanted: ReadonlySet<string>): WindowData["programs"] {
    return this.#probes.states().map(({ program, attached, isDetached, failure }) => {
      const now = costs.get(program);
      const last = this.#last.costs.get(program);
      const events = now.events - last.events;
      const reason = isDetached ? `${program}: nobody wants what it counts` : (failure?.message ?? "");
      return {
        program,
        events: BigInt(events),
        kernelNs: BigInt(Math.round(events * nsPerEvent(last, now))),
        attached: attached || (isDetached && !wasUnwanted.has(program)),
        reason,
      };
    });
  }

  #readCumulative(): Cumulative {
    return { drops: this.#readNamedCounters("drops"), misses: this.#probes.recursionMisses(), costs: this.costs() };
  }

  /** A per-CPU map with one struct of __u64: its sums, by field name. */
  #readNamedCounters(name: string): Map<string, bigint> {
    const map = this.#probes.maps.get(name);
    const layout = this.#probes.layouts.get(name);
    if (map === undefined || layout === undefined) return new Map();
    const { bytes, stride, cpus } = map.getPerCpu();
    return new Map(layout.fields.map((field) => [field.name, sumPerCpu(bytes, stride, cpus, field.offset)]));
  }
}

interface Cumulative {
  readonly drops: Map<string, bigint>;
  readonly misses: Map<string, bigint>;
  readonly costs: ProgramCosts;
}

function sumPerCpu(bytes: Buffer, stride: number, cpus: number, offset: number): bigint {
  let sum = 0n;
  for (let cpu = 0; cpu < cpus; cpu++) sum += bytes.readBigUInt64LE(cpu * stride + offset);
  return BigInt.asUintN(64, sum);
}

/** How much each figure rose. */
function delta(now: ReadonlyMap<string, bigint>, last: ReadonlyMap<string, bigint>): Map<string, bigint> {
  return new Map([...now].map(([name, value]) => [name, BigInt.asUintN(64, value - (last.get(name) ?? 0n))]));
}
