// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type MapPlan, planMaps } from "../governor/map-plan.ts";
import { KernelBtf } from "../kernel/kernel-btf.ts";
import { type KernelNames, readKernelNames } from "../kernel/kernel-names.ts";
import { type BpfMap, possibleCpus } from "../libbpf/bpf-map.ts";
import { attachAgain, BpfObject, type MapShape, readProgramInfo } from "../libbpf/bpf-object.ts";
import { readStructLayouts, type StructLayout } from "../libbpf/btf.ts";
import { CpuClock } from "../libbpf/cpu-clock.ts";
import { BpfError } from "../libbpf/error.ts";
import { runProgram } from "../libbpf/program-run.ts";
import { getLibc } from "../libbpf/symbols.ts";
import { disabledProgram, explainFailure, type FailureStep, type ProgramFailure, unsupportedProgram, untriedProgram } from "./failure.ts";
import { decideProgram, isWanted } from "./prediction.ts";
import type { ProgramDecision, ProgramPlan } from "./program-plan.ts";
import type { ProgramState } from "./program-state.ts";
import { programPlans } from "./programs.ts";

/** A program that looks at everything it is for, once each time it is run. */
export interface Inventory {
  run(): Promise<void>;
}

export interface ProbeSetOptions {
  /** Folder of the `*.bpf.o` files. */
  readonly objectDirectory: string;
  /** Bytes that all maps together may take; larger ones are shrunk until they do (governor/map-plan.ts). */
  readonly mapBytesMax?: number;
  /** Sizes that differ from those in the C files and the plan, by map name. */
  readonly mapEntries?: Readonly<Record<string, number>>;
  /** Constants of programs that come from the configuration and not from the kernel, by program. */
  readonly constants?: Readonly<Record<string, Readonly<Record<string, number>>>>;
  /** Samples per second and CPU of what hangs on the CPUs' clocks; 0: it is not attached. */
  readonly sampleHz?: number;
  /** Milliseconds after which no further program is loaded; those left over are failures of step `wait`. */
  readonly loadMsMax?: number;
  /** Programs to load; all if absent. */
  readonly programs?: readonly ProgramPlan[];
}

/** Also for 128 CPUs. */
export const MAP_BYTES_MAX = 32 * 1024 * 1024;

/** A prime number beside the rates at which things tend to happen (100, 50 a second), so that samples do not keep step with them. */
export const SAMPLE_HZ = 49;

interface Loaded {
  readonly plan: ProgramPlan;
  readonly object: BpfObject;
  readonly infoFd: number;
}

/**
 * The programs, each loaded and attached on its own, and the maps they share. A program that cannot be loaded is a state with
 * a reason and keeps none of the others from running.
 */
export class ProbeSet implements Disposable {
  /** Maps by their full name in the C files. */
  readonly maps = new Map<string, BpfMap>();
  /** Structs by name, over all objects. */
  readonly layouts = new Map<string, StructLayout>();
  readonly #describedObjects = new Set<string>();
  /** Looked up while the kernel's BTF is at hand. */
  readonly kernelNames: KernelNames;
  /** Clocks by the program they run. */
  readonly clocks = new Map<string, CpuClock>();
  readonly #plans: readonly ProgramPlan[];
  readonly #options: ProbeSetOptions;
  readonly #loaded = new Map<string, Loaded>();
  readonly #failures = new Map<string, ProgramFailure>();
  readonly #decisions = new Map<string, ProgramDecision>();
  /** What holds each program to its hook, by program. */
  readonly #links = new Map<string, Disposable>();
  /** Programs that could be attached and are not, because nobody wants what they count. */
  readonly #detached = new Set<string>();
  /** Sizes of the maps, computed before they were made. */
  readonly mapPlan: MapPlan;
  readonly #infoFds = new Map<string, number>();
  readonly #attached = new Set<string>();

  private constructor(options: ProbeSetOptions, kernel: KernelBtf | null) {
    this.#options = options;
    this.kernelNames = readKernelNames(kernel);
    this.#plans = options.programs ?? programPlans;
    this.mapPlan = ProbeSet.plan(options);
  }

  /** Sizes of all maps, with nothing made. */
  static plan({ objectDirectory, programs, mapBytesMax }: Pick<ProbeSetOptions, "objectDirectory" | "programs" | "mapBytesMax">): MapPlan {
    return planMaps(readMapShapes(objectDirectory, programs ?? programPlans), possibleCpus(), mapBytesMax ?? MAP_BYTES_MAX);
  }

  /** Loads every program; attaches none yet, so that maps can be filled first. */
  static load(options: ProbeSetOptions): ProbeSet {
    const kernel = KernelBtf.open();
    const set = new ProbeSet(options, kernel);
    const until = performance.now() + (options.loadMsMax ?? Number.POSITIVE_INFINITY);
    const later: ProgramPlan[] = [];
    const byObject = new Map<string, ProgramPlan[]>();
    for (const plan of set.#plans) {
      // Whether what it stands in for can be loaded is not known yet.
      if (!isWanted(plan, set.#failures)) later.push(plan);
      else if (set.#decide(plan, kernel)) {
        const name = set.#objectOf(plan);
        byObject.set(name, [...(byObject.get(name) ?? []), plan]);
      }
    }
    const isInTime = (plan: ProgramPlan): boolean => {
      if (performance.now() < until) return true;
      set.#failures.set(plan.name, untriedProgram(plan, options.loadMsMax ?? 0));
      return false;
    };
    for (const [object, plans] of byObject) {
      if (plans.length > 1 && performance.now() < until && set.#loadTogether(object, plans)) continue;
      for (const plan of plans) if (isInTime(plan)) set.#load(plan);
    }
    for (const plan of later) if (isWanted(plan, set.#failures) && isInTime(plan) && set.#decide(plan, kernel)) set.#load(plan);
    // Each load has parsed the kernel's BTF (megabytes); what the allocator keeps of that counts as the agent's memory.
    getLibc().malloc_trim(0);
    return set;
  }

  /** Decides by the kernel's own description whether and how the program is loaded; false if it is not. */
  #decide(plan: ProgramPlan, kernel: KernelBtf | null): boolean {
    if (kernel === null) return true;
    const decision = decideProgram(plan, kernel);
    this.#decisions.set(plan.name, decision);
    if (decision.unsupported === undefined) return true;
    this.#failures.set(plan.name, unsupportedProgram(plan, decision.unsupported));
    return false;
  }

  #objectOf(plan: ProgramPlan): string {
    return this.#decisions.get(plan.name)?.object ?? plan.object;
  }

  /**
   * Loads programs of one object at once, for which libbpf parses the kernel's BTF once: that takes as long as to verify most of them. If one of them is refused none is
   * loaded, and each has to be tried alone.
   */
  #loadTogether(object: string, plans: readonly ProgramPlan[]): boolean {
    try {
      this.#loadOnce(plans, object, false);
      return true;
    } catch {
      return false;
    }
  }

  #load(plan: ProgramPlan): void {
    const better = this.#decisions.get(plan.name)?.object;
    if (better !== undefined) {
      try {
        this.#loadOnce([plan], better, false);
        return;
      } catch {
        // The object for every kernel counts the same, at a higher price; what keeps that one from running will be said.
      }
    }
    try {
      this.#loadOnce([plan], plan.object, false);
    } catch (error) {
      if (error instanceof BpfError && error.op === "load") this.#loadAgain(plan);
      else this.#fail(plan, "open", error);
    }
  }

  /** The verifier's log costs memory and time, so it is written only for a program that was refused already. */
  #loadAgain(plan: ProgramPlan): void {
    try {
      this.#loadOnce([plan], plan.object, true);
    } catch (error) {
      this.#fail(plan, "load", error);
    }
  }

  #loadOnce(plans: readonly ProgramPlan[], objectName: string, withLog: boolean): void {
    const path = join(this.#options.objectDirectory, `${objectName}.bpf.o`);
    const object = BpfObject.open(path);
    const infoFds = new Map<string, number>();
    try {
      const programs = object.selectPrograms(plans.map(({ name }) => name));
      for (const [map, entries] of Object.entries({ ...this.mapPlan.shrunk, ...this.#options.mapEntries })) object.setMapEntries(map, entries);
      object.reuseMaps(this.maps);
      object.setConstants(this.#constantsOf(plans));
      if (withLog) for (const program of programs) object.captureLog(program);
      object.load();
      for (const program of programs) infoFds.set(program.name, program.duplicateFd());
      for (const map of object.newMaps(this.maps)) this.maps.set(map.name, map);
      this.#readLayouts(path);
    } catch (error) {
      for (const fd of infoFds.values()) getLibc().close(fd);
      object[Symbol.dispose]();
      throw error;
    }
    for (const plan of plans) {
      const infoFd = infoFds.get(plan.name) as number;
      this.#infoFds.set(plan.name, infoFd);
      this.#loaded.set(plan.name, { plan, object, infoFd });
    }
  }

  /** Throws an Error if two of them want one variable to be different things. */
  #constantsOf(plans: readonly ProgramPlan[]): Record<string, number> {
    const all: Record<string, number> = {};
    for (const { name } of plans) {
      for (const [constant, value] of Object.entries({ ...this.#decisions.get(name)?.constants, ...this.#options.constants?.[name] })) {
        if (all[constant] !== undefined && all[constant] !== value)
          throw new Error(`${constant} is ${value} to ${name} and ${all[constant]} to another program`);
        all[constant] = value;
      }
    }
    return all;
  }

  /** All programs of an object share its structs. */
  #readLayouts(path: string): void {
    if (this.#describedObjects.has(path)) return;
    this.#describedObjects.add(path);
    for (const [name, layout] of readStructLayouts(readFileSync(path))) if (!this.layouts.has(name)) this.layouts.set(name, layout);
  }

  /** Attaches what was loaded. Returns the iterators by program name; they run when they are told to. */
  attach(): Map<string, Inventory> {
    const iterators = new Map<string, Inventory>();
    for (const { plan, object } of this.#loaded.values()) {
      try {
        const program = object.program(plan.name);
        if (plan.attach === "clock") {
          this.#startClock(plan);
        } else if (plan.attach === "on-demand") {
          // Nothing to attach: it is run by whoever needs it.
        } else if (plan.attach === "run") {
          iterators.set(plan.name, this.#runnable(plan));
        } else if (plan.tracepoint === null) {
          const iterator = program.attachIterator();
          iterators.set(plan.name, iterator);
          this.#links.set(plan.name, iterator);
        } else {
          this.#links.set(plan.name, program.attach());
        }
        if (!this.#failures.has(plan.name)) this.#attached.add(plan.name);
      } catch (error) {
        this.#fail(plan, "attach", error);
      }
    }
    // The links hold the programs, the file descriptors hold the maps: libbpf's copies of the objects are not needed any more.
    for (const { object } of this.#loaded.values()) object[Symbol.dispose]();
    this.#loaded.clear();
    getLibc().malloc_trim(0);
    return iterators;
  }

  #runnable(plan: ProgramPlan): Inventory {
    const fd = this.programFd(plan.name);
    if (fd === undefined) throw new Error(`program ${plan.name} was not loaded`);
    return { run: () => runProgram(fd, plan.name) };
  }

  #startClock(plan: ProgramPlan): void {
    const hz = this.#options.sampleHz ?? SAMPLE_HZ;
    const fd = this.programFd(plan.name);
    if (hz === 0) this.#failures.set(plan.name, disabledProgram(plan, "the configuration asks for no samples"));
    else if (fd !== undefined) this.clocks.set(plan.name, new CpuClock(plan.name, fd, hz));
  }

  /**
   * Attaches or detaches programs, so that those in `unwanted` cost nothing until they are wanted again. Iterators stay: they cost nothing unless they
   * are run. The order is that of attach(), and its reverse for detaching.
   * @returns whether a program was attached again
   */
  keepDetached(unwanted: ReadonlySet<string>): boolean {
    let hasAttached = false;
    for (const plan of this.#plans) {
      if (!this.#detached.has(plan.name) || unwanted.has(plan.name)) continue;
      this.#detached.delete(plan.name);
      try {
        const fd = this.programFd(plan.name);
        if (plan.attach === "clock") this.#startClock(plan);
        else if (fd !== undefined) this.#links.set(plan.name, attachAgain(fd, plan.name));
        this.#attached.add(plan.name);
        hasAttached = true;
      } catch (error) {
        this.#fail(plan, "attach", error);
      }
    }
    for (const plan of this.#plans.toReversed()) {
      if (!unwanted.has(plan.name) || !this.#attached.has(plan.name) || !isDetachable(plan)) continue;
      this.#links.get(plan.name)?.[Symbol.dispose]();
      this.#links.delete(plan.name);
      this.clocks.get(plan.name)?.[Symbol.dispose]();
      this.clocks.delete(plan.name);
      this.#attached.delete(plan.name);
      this.#detached.add(plan.name);
    }
    return hasAttached;
  }

  isAttached(name: string): boolean {
    return this.#attached.has(name);
  }

  isDetached(name: string): boolean {
    return this.#detached.has(name);
  }

  /** Puts detached programs on their tracepoints until what is returned is disposed of: their runs are counted then. */
  attachBriefly(names: readonly string[]): Disposable {
    const links: Disposable[] = [];
    for (const name of names) {
      const fd = this.programFd(name);
      if (fd === undefined || !this.#detached.has(name)) continue;
      try {
        links.push(attachAgain(fd, name));
      } catch {
        // It will be tried again, and say so, when it is wanted.
      }
    }
    return {
      [Symbol.dispose]: () => {
        for (const link of links) link[Symbol.dispose]();
      },
    };
  }

  /** A descriptor of a loaded program, for as long as this set lives; undefined if it was not loaded. */
  programFd(name: string): number | undefined {
    return this.#infoFds.get(name);
  }

  #fail(plan: ProgramPlan, step: FailureStep, error: unknown): void {
    this.#failures.set(plan.name, explainFailure(plan, step, error));
  }

  /** How each known program fares; of those that stand in for another, only the ones that do. */
  states(): ProgramState[] {
    const wanted = this.#plans.filter((plan) => isWanted(plan, this.#failures));
    return wanted.map((plan) => ({
      program: plan.name,
      hook: plan.hook,
      attached: this.#attached.has(plan.name),
      isDetached: this.#detached.has(plan.name),
      failure: this.#failures.get(plan.name) ?? null,
      decision: this.#decisions.get(plan.name) ?? {},
      without: plan.without ?? null,
      insteadOf: plan.insteadOf ?? null,
    }));
  }

  /** Runs the kernel skipped because the program was already running on that CPU, since load, by program. */
  recursionMisses(): Map<string, bigint> {
    return new Map([...this.#infoFds].map(([name, fd]) => [name, readProgramInfo(fd, name).recursionMisses]));
  }

  /** Run time and count by the kernel's own statistics, 0 unless they are switched on. */
  statistics(): Map<string, { runTimeNs: bigint; runCount: bigint }> {
    return new Map([...this.#infoFds].map(([name, fd]) => [name, readProgramInfo(fd, name)]));
  }

  /** Bytes of machine code of each loaded program; 0: it is interpreted, or this process may not know. */
  jitedBytes(): Map<string, number> {
    return new Map([...this.#infoFds].map(([name, fd]) => [name, readProgramInfo(fd, name).jitedBytes]));
  }

  [Symbol.dispose](): void {
    for (const clock of this.clocks.values()) clock[Symbol.dispose]();
    this.clocks.clear();
    for (const link of this.#links.values()) link[Symbol.dispose]();
    this.#links.clear();
    for (const { object } of this.#loaded.values()) object[Symbol.dispose]();
    this.#loaded.clear();
    for (const fd of this.#infoFds.values()) getLibc().close(fd);
    this.#infoFds.clear();
    for (const map of this.maps.values()) map[Symbol.dispose]();
    this.maps.clear();
    this.#attached.clear();
  }
}

/** What is on a tracepoint or a clock; anything else runs only when it is told to. */
function isDetachable(plan: ProgramPlan): boolean {
  return plan.tracepoint !== null || plan.attach === "clock";
}

/** All maps of the objects that these programs are in. An object that cannot be read has none; loading it will say why. */
export function readMapShapes(directory: string, plans: readonly ProgramPlan[]): MapShape[] {
  const shapes = new Map<string, MapShape>();
  for (const object of new Set(plans.map((plan) => plan.object))) {
    try {
      using file = BpfObject.open(join(directory, `${object}.bpf.o`));
      for (const shape of file.mapShapes()) if (!shapes.has(shape.name)) shapes.set(shape.name, shape);
    } catch (error) {
      if (!(error instanceof BpfError)) throw error;
    }
  }
  return [...shapes.values()];
}
