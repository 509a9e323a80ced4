// SPDX-License-Identifier: Apache-2.0
import { stackName } from "@waggle/signals";
import { byRole, type FamilyContext, named, roundByChance, type SignalFamily, Templates } from "./family.ts";
import type { HostWindow } from "./host-window.ts";
import type { NamedRows } from "./named-rows.ts";
import { LOOKUP_TIMEOUT_NS } from "./net.ts";
import type { HostProcess } from "./processes.ts";
import type { RowShares } from "./row-shares.ts";
import { type CpuStack, stacksOf, type WaitStack } from "./stacks.ts";
import { CounterTable } from "./tables.ts";

const SAMPLES_PER_SECOND = 49;
const HOUR_MS = 3_600_000;
/**
 * Frames come with a stack's first use in an hour, as real agents send them, and again this often: a young fleet shall have names before the hour is over. Each
 * host at its own moment.
 */
const FRAMES_EVERY_MS = 300_000;
/** Of the times a thread waits, those that take a millisecond or more. */
const LONG_WAIT_SHARE = 0.08;
const IDLE_SHARE = 0.9;

type Running = CpuStack & { readonly process: number };
type Waiting = WaitStack & { readonly process: number };

class ProfileTemplate {
  readonly running: readonly Running[];
  readonly profile: NamedRows;
  /** Row of the stack that a loop of the main process is in; -1: there is no room for it. */
  readonly loop: number;
  readonly waiting: readonly Waiting[];
  readonly offCpu: NamedRows;
  readonly frames: NamedRows;
  readonly threads: readonly number[];

  constructor(processes: readonly HostProcess[], shares: RowShares) {
    const owner = (process: number) => ({ process: (processes[process] as HostProcess).process, unit: (processes[process] as HostProcess).unit });
    const all = processes.map((host, process) => ({ host, process }));
    const running = all.flatMap(({ host, process }) =>
      stacksOf(host.program).running.map((stack) => ({ ...stack, process, weight: stack.share * host.cpuNs * host.weight })),
    );
    this.running = running.sort((a, b) => b.weight - a.weight).slice(0, shares.of("cpu_profile"));
    const [main] = processes as readonly [HostProcess];
    this.loop = this.running.findIndex(({ process, frames }) => process === 0 && frames === stacksOf(main.program).running[0]?.frames);
    // Waits for disks and resolvers are what is looked for.
    const waiting = all.flatMap(({ host, process }) =>
      stacksOf(host.program).waiting.map((stack) => ({
        ...stack,
        process,
        weight: host.waits * host.weight * (stack.kind === "idle" ? stack.share : 2),
      })),
    );
    this.waiting = waiting.sort((a, b) => b.weight - a.weight).slice(0, shares.of("off_cpu"));
    const nameOf = ({ process, frames }: Running | Waiting) => ({ ...owner(process), stack: stackName(frames) });
    this.profile = named("cpu_profile", this.running.map(nameOf));
    this.offCpu = named("off_cpu", this.waiting.map(nameOf));
    const texts = [...new Set([...this.running, ...this.waiting].map(({ frames }) => frames))];
    this.frames = named(
      "stack_frames",
      texts.map((frames) => ({ stack: stackName(frames), frames })),
    );
    this.threads = processes.map(({ threads }) => threads);
  }
}

/** Where programs spend their time: on a CPU, and waiting. */
export class ProfileFamily implements SignalFamily {
  readonly #templates: Templates<ProfileTemplate>;
  readonly #profile: CounterTable;
  readonly #offCpu: CounterTable;
  readonly #frames: CounterTable;

  constructor({ shares, processes }: FamilyContext) {
    this.#templates = new Templates(byRole, ({ role }) => new ProfileTemplate(processes(role), shares));
    const [running, waiting] = [shares.of("cpu_profile"), shares.of("off_cpu")];
    this.#profile = new CounterTable("cpu_profile", running);
    this.#offCpu = new CounterTable("off_cpu", waiting);
    this.#frames = new CounterTable("stack_frames", running + waiting);
  }

  /** Follows what the CPUs, files and lookups say. */
  make(window: HostWindow): void {
    window.draw("profiles");
    const template = this.#templates.of(window.host);
    this.#makeProfile(window, template);
    this.#makeWaits(window, template);
    this.#makeFrames(window, template);
  }

  #makeProfile(window: HostWindow, { running, profile, loop }: ProfileTemplate): void {
    const { random, ailments } = window;
    this.#profile.begin();
    for (const [row, { process, share }] of running.entries()) {
      // A loop is in one place: the first stack of the main process.
      const isLooping = ailments.busyCpu && process === 0;
      const looping = isLooping ? 0.85 : 0;
      const mine = share * (1 - looping) + (row === loop ? looping : 0);
      const samples = roundByChance(((window.cpuNs[process] as number) / 1e9) * SAMPLES_PER_SECOND * mine, random.next());
      if (samples > 0) this.#profile.add(row, samples);
    }
    window.push(this.#profile, profile);
  }

  #makeWaits(window: HostWindow, { waiting, offCpu, threads }: ProfileTemplate): void {
    const { random, windowMs } = window;
    this.#offCpu.begin();
    for (const [row, { process, kind, share }] of waiting.entries()) {
      const lost = window.lookupsLost[process] as number;
      const synced = window.syncs[process] as number;
      if (kind === "disk") {
        if (synced > 0) this.#offCpu.add(row, synced, window.syncNs[process] as number);
      } else if (kind === "resolver") {
        if (lost > 0) this.#offCpu.add(row, lost, lost * LOOKUP_TIMEOUT_NS);
      } else {
        const count = roundByChance((window.waits[process] as number) * LONG_WAIT_SHARE * share, random.next());
        const idleNs = Math.max(0, (threads[process] as number) * windowMs * 1e6 - (window.cpuNs[process] as number));
        if (count > 0) this.#offCpu.add(row, count, Math.floor(idleNs * IDLE_SHARE * share));
      }
    }
    window.push(this.#offCpu, offCpu);
  }

  #makeFrames(window: HostWindow, { frames }: ProfileTemplate): void {
    const { startMs, windowMs, host } = window;
    this.#frames.begin();
    const count = frames.capacity;
    const isNewHour = startMs % HOUR_MS < windowMs;
    for (let row = 0; row < count; row++) {
      // Spread over the five minutes, so that no window has all of them.
      const dueMs = Math.floor((((row + host.index * 7) % count) / count) * FRAMES_EVERY_MS);
      const nextMs = Math.ceil((startMs - dueMs) / FRAMES_EVERY_MS) * FRAMES_EVERY_MS + dueMs;
      if (isNewHour || nextMs < startMs + windowMs) this.#frames.add(row, 1);
    }
    window.push(this.#frames, frames);
  }
}
