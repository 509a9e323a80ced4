// SPDX-License-Identifier: Apache-2.0
import { readdirSync } from "node:fs";
import { join } from "node:path";
import type { Collected, Collector } from "../window/collector.ts";
import { tryReadHostFile } from "./proc-file.ts";

const POWERCAP = "sys/class/powercap";

interface Meter {
  readonly domain: string;
  /** Where the counter starts again at 0, µJ. */
  readonly range: bigint;
  readonly path: string;
}

/**
 * Rows of `energy` out of the processors' own meters (RAPL, Documentation/power/powercap/powercap.rst). A package holds its core and DRAM domains, so rows of different
 * domains are not to be added up.
 */
export class EnergyCollector implements Collector {
  readonly signals = ["energy"];
  readonly #hostRoot: string;
  readonly #meters: readonly Meter[];
  readonly #last = new Map<string, bigint>();

  constructor(hostRoot: string) {
    this.#hostRoot = hostRoot;
    this.#meters = findMeters(hostRoot);
    for (const meter of this.#meters) this.#read(meter);
  }

  collect(): Collected[] {
    if (this.#meters.length === 0) {
      const reason = "no RAPL meter in /sys/class/powercap: a virtual machine, or a processor without one";
      return [{ signal: "energy", rows: [], state: "unsupported", reason }];
    }
    const rows = this.#meters.flatMap((meter) => {
      const energy = this.#read(meter);
      return energy === undefined ? [] : [{ domain: meter.domain, energy }];
    });
    const closed = this.#meters.length - rows.length;
    if (closed === 0) return [{ signal: "energy", rows, state: "exact", reason: "" }];
    const reason = `${closed} of ${this.#meters.length} meters could not be read over the whole window: energy_uj is open to root only (let a udev rule give it to the agent's group)`;
    return [{ signal: "energy", rows: [], state: "failed", reason }];
  }

  /** Increase since the last reading, µJ; undefined if one of the two is missing, or the counter began again at nobody knows what end. */
  #read({ path, range }: Meter): bigint | undefined {
    const text = tryReadHostFile(this.#hostRoot, `${path}/energy_uj`)?.trim();
    if (text === undefined || !/^\d+$/.test(text)) {
      this.#last.delete(path);
      return undefined;
    }
    const now = BigInt(text);
    const last = this.#last.get(path);
    this.#last.set(path, now);
    if (last === undefined) return undefined;
    if (now >= last) return now - last;
    return range > last ? now + range - last : undefined;
  }
}

function findMeters(hostRoot: string): Meter[] {
  let zones: string[];
  try {
    zones = readdirSync(join(hostRoot, POWERCAP));
  } catch {
    return [];
  }
  const nameOf = (zone: string): string | undefined => tryReadHostFile(hostRoot, `${POWERCAP}/${zone}/name`)?.trim();
  return zones
    .filter((zone) => /^(intel|amd)-rapl:\d+(:\d+)?$/.test(zone))
    .sort()
    .flatMap((zone) => {
      const name = nameOf(zone);
      if (name === undefined) return [];
      // `core` of which package: the zone intel-rapl:1:0 lies in intel-rapl:1.
      const parent = zone.split(":").length === 3 ? nameOf(zone.slice(0, zone.lastIndexOf(":"))) : undefined;
      const range = BigInt(tryReadHostFile(hostRoot, `${POWERCAP}/${zone}/max_energy_range_uj`)?.trim() || 0);
      return [{ domain: parent === undefined ? name : `${parent} ${name}`, range, path: `${POWERCAP}/${zone}` }];
    });
}
