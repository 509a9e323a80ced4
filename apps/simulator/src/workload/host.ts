// SPDX-License-Identifier: Apache-2.0
import { type ColumnBlock, encodeBlock, getSignalOrThrow } from "@waggle/signals";
import { CPUS, MEMORY_BYTES, type SimulatedHost } from "../fleet.ts";
import { counterTable, type FamilyContext, named, roundByChance, type SignalFamily } from "./family.ts";
import type { HostWindow } from "./host-window.ts";
import type { NamedRows } from "./named-rows.ts";

/** How often a host says what it is: not the hour of real agents, so that a young fleet is known soon. Each host at its own moment. */
const FACTS_EVERY_MS = 60_000;
const SLAB_BYTES = 900 * 1024 ** 2;
const DIRTY_SECONDS = 6;
/** Of the time that processes wait for their disk, the part that does not fall on another's wait. */
const IO_PRESSURE = 0.6;
const IDLE_WATTS = 70;
const BUSY_WATTS = 190;
const DRAM_WATTS = 22;

const resources = ["cpu", "memory", "io", "irq"] as const;
const domains = ["package-0", "package-0 dram"] as const;

/** Whether its processors have a meter that can be read. */
export function hasEnergyMeter({ facts }: SimulatedHost): boolean {
  return facts.get("virtual_machine") === "no";
}

/** The host as a whole: follows what its processes, files and devices say. */
export class HostFamily implements SignalFamily {
  readonly #loadNames: NamedRows;
  readonly #pressureNames: NamedRows;
  readonly #energyNames: NamedRows;
  readonly #load;
  readonly #pressure;
  readonly #energy;

  constructor({ shares }: FamilyContext) {
    this.#loadNames = named("host_load", [{}]);
    this.#pressureNames = named(
      "host_pressure",
      resources.map((resource) => ({ resource })),
    );
    this.#energyNames = named(
      "energy",
      domains.map((domain) => ({ domain })),
    );
    this.#load = counterTable("host_load", shares);
    this.#pressure = counterTable("host_pressure", shares);
    this.#energy = counterTable("energy", shares);
  }

  make(window: HostWindow): void {
    window.draw("host");
    const { ailments, random, windowMs, seconds, utilisation } = window;
    const wallNs = windowMs * 1e6;
    const waitShare = Math.min(0.9, (window.diskWaitNs / wallNs) * IO_PRESSURE);
    const used = window.cpuUserNs + window.cpuSystemNs;
    const irq = Math.floor((window.segmentsReceived + window.segmentsSent) * 700);
    const idle = Math.max(0, CPUS * wallNs - used - irq);
    const ioWait = Math.floor(idle * Math.min(0.6, waitShare / 2));
    const blocked = ailments.slowDisk ? 2 + Math.floor(6 * random.next()) : roundByChance(waitShare, random.next());
    const running = Math.max(1, Math.round(CPUS * utilisation)) + (ailments.busyCpu ? 9 + Math.floor(6 * random.next()) : 0);
    // Averages do not jump as what they are averages of.
    const load = 1_000 * (CPUS * utilisation + (ailments.busyCpu ? 11 : 0) + (ailments.slowDisk ? 5 : waitShare));
    const available = Math.floor(
      MEMORY_BYTES * (ailments.noMemory ? 0.015 + 0.01 * random.next() : 0.72 - 0.25 * utilisation + 0.02 * random.next()),
    );
    this.#load.begin();
    this.#load.add(
      0,
      Math.floor(load * (0.9 + 0.2 * random.next())),
      Math.floor(load * (0.95 + 0.1 * random.next())),
      Math.floor(load),
      240 + Math.floor(60 * window.activity),
      running,
      blocked,
      MEMORY_BYTES,
      available,
      Math.floor(available * 0.8),
      Math.floor((window.bytesWritten / seconds) * DIRTY_SECONDS * (ailments.slowDisk ? 4 : 1)),
      SLAB_BYTES,
      0,
      0,
      window.cpuUserNs,
      window.cpuSystemNs,
      irq,
      0,
      0,
      ioWait,
      Math.max(0, idle - ioWait),
      window.switches * 2,
      Math.floor((window.segmentsReceived + window.datagramsReceived) / 4 + window.diskRequests + 250 * CPUS * seconds * (0.3 + 0.7 * utilisation)),
      window.forks,
    );
    window.push(this.#load, this.#loadNames);

    const some = (share: number): number => Math.floor(wallNs * Math.min(0.98, share));
    const cpu = Math.max(0, utilisation - 0.5) * 1.7;
    const memory = ailments.noMemory ? 0.3 + 0.2 * random.next() : 0;
    this.#pressure.begin();
    this.#pressure.add(0, some(cpu + 0.002), 0);
    this.#pressure.add(1, some(memory), some(memory * 0.6));
    this.#pressure.add(2, some(waitShare + memory * 0.5), some((waitShare + memory * 0.5) * 0.7));
    this.#pressure.add(3, some(irq / wallNs / CPUS), some(irq / wallNs / CPUS));
    window.push(this.#pressure, this.#pressureNames);

    this.#energy.begin();
    if (hasEnergyMeter(window.host)) {
      const dram = Math.floor(DRAM_WATTS * seconds * 1e6 * (0.9 + 0.3 * utilisation));
      const busy = (BUSY_WATTS - IDLE_WATTS) * utilisation;
      this.#energy.add(0, dram + Math.floor((IDLE_WATTS + busy) * seconds * 1e6 * (0.98 + 0.04 * random.next())));
      this.#energy.add(1, dram);
    }
    window.push(this.#energy, this.#energyNames);
  }
}

const hostFacts = getSignalOrThrow("host_facts");

/** What a host says of itself, once a minute. */
export class HostFactsMaker {
  readonly #blocks = new Map<number, ColumnBlock>();

  /** undefined: not in this window. */
  block({ host, startMs, windowMs }: HostWindow): ColumnBlock | undefined {
    const offsetMs = (host.index % 6) * 10_000;
    const dueMs = Math.ceil((startMs - offsetMs) / FACTS_EVERY_MS) * FACTS_EVERY_MS + offsetMs;
    if (dueMs >= startMs + windowMs) return undefined;
    let block = this.#blocks.get(host.index);
    if (block === undefined) {
      block = encodeBlock(
        hostFacts,
        [...host.facts].map(([fact, value]) => ({ fact, value, windows: 1 })),
      );
      this.#blocks.set(host.index, block);
    }
    return block;
  }
}
