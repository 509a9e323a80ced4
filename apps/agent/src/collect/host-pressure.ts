// SPDX-License-Identifier: Apache-2.0
import { dimensionValues } from "@waggle/signals";
import type { Collected, Collector } from "../window/collector.ts";
import { Increase, tryReadHostFile } from "./proc-file.ts";

const resources = dimensionValues.resource;
const US_NS = 1_000n;

/** Rows of `host_pressure`: totals of pressure stall information (Documentation/accounting/psi.rst). */
export class HostPressureCollector implements Collector {
  readonly signals = ["host_pressure"];
  readonly #hostRoot: string;
  readonly #increase = new Increase();

  constructor(hostRoot: string) {
    this.#hostRoot = hostRoot;
    this.#increase.since(this.#read());
  }

  collect(): Collected[] {
    const now = this.#read();
    const rose = this.#increase.since(now) ?? new Map<string, bigint>();
    if (now.size === 0) {
      return [
        {
          signal: "host_pressure",
          rows: [],
          state: "unsupported",
          reason: "no /proc/pressure: this kernel was built without pressure stall information (CONFIG_PSI), or it is off (boot with psi=1)",
        },
      ];
    }
    const rows = resources
      .filter((resource) => now.has(`${resource} some`) || now.has(`${resource} full`))
      .map((resource) => ({
        resource,
        some: (rose.get(`${resource} some`) ?? 0n) * US_NS,
        full: (rose.get(`${resource} full`) ?? 0n) * US_NS,
      }));
    return [{ signal: "host_pressure", rows, state: "exact", reason: "" }];
  }

  /** Totals in µs by resource and line. */
  #read(): Map<string, bigint> {
    const totals = new Map<string, bigint>();
    for (const resource of resources) {
      const text = tryReadHostFile(this.#hostRoot, `proc/pressure/${resource}`) ?? "";
      for (const [, line, total] of text.matchAll(/^(some|full) .*total=(\d+)$/gm)) totals.set(`${resource} ${line}`, BigInt(total as string));
    }
    return totals;
  }
}
