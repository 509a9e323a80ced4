// SPDX-License-Identifier: Apache-2.0
import { OTHER, type WireRow } from "@waggle/signals";
import type { Collected, Collector } from "../window/collector.ts";
import { readHostFile, tryReadHostFile } from "./proc-file.ts";

/** Columns of /proc/net/dev (net/core/net-procfs.c), receiving first; empty: one that is not reported. */
const columns = ["rx_bytes", "rx_packets", "rx_errors", "rx_dropped", "", "", "", "", "tx_bytes", "tx_packets", "tx_errors", "tx_dropped"] as const;

type Counters = readonly bigint[];

const measures = columns.filter((column) => column !== "");

/** Rows of `network_devices`: how much the counters of each device of the agent's network namespace rose. */
export class NetworkDevicesCollector implements Collector {
  readonly signals = ["network_devices"];
  readonly #hostRoot: string;
  #last: ReadonlyMap<string, Counters> | undefined;
  /** The kernel gives devices rising numbers, so one with a higher number than all before was made since. */
  #highestIndex = 0;

  /** @param hostRoot the folder under which the host's /proc is */
  constructor(hostRoot: string) {
    this.#hostRoot = hostRoot;
    try {
      this.#last = this.#read();
      for (const device of this.#last.keys()) this.#highestIndex = Math.max(this.#highestIndex, this.#indexOf(device) ?? 0);
    } catch {
      // The first window will fail too, and say why.
    }
  }

  collect(rowsMax: number): Collected[] {
    const last = this.#last;
    this.#last = undefined;
    const now = this.#read();
    this.#last = now;
    if (last === undefined)
      return [{ signal: "network_devices", rows: [], state: "failed", reason: "/proc/net/dev could not be read when the window began" }];
    const rows: { device: string; rose: Counters }[] = [];
    let highestIndex = this.#highestIndex;
    for (const [device, counters] of now) {
      const before = last.get(device);
      let rose: Counters | undefined;
      if (before !== undefined) rose = increase(before, counters);
      else {
        const index = this.#indexOf(device) ?? 0;
        highestIndex = Math.max(highestIndex, index);
        // Renamed, or come from another namespace: what it counted before is not this window's.
        if (index > this.#highestIndex) rose = counters;
      }
      if (rose?.some((value) => value > 0n) === true) rows.push({ device, rose });
    }
    this.#highestIndex = highestIndex;
    return [{ signal: "network_devices", rows: capped(rows, rowsMax).map(rowOf), state: "exact", reason: "" }];
  }

  #read(): Map<string, Counters> {
    const devices = new Map<string, Counters>();
    for (const [, device, text] of readHostFile(this.#hostRoot, "proc/net/dev").matchAll(/^ *([^ \n|]+): *(\d.*)$/gm)) {
      const values = (text as string).trim().split(/ +/).map(BigInt);
      devices.set(
        device as string,
        columns.flatMap((column, index) => (column === "" ? [] : [values[index] ?? 0n])),
      );
    }
    return devices;
  }

  /** The device's number; undefined where the kernel has no IPv6, whose table it is read from. */
  #indexOf(device: string): number | undefined {
    const index = /^ifIndex\s+(\d+)/m.exec(tryReadHostFile(this.#hostRoot, `proc/net/dev_snmp6/${device}`) ?? "")?.[1];
    return index === undefined ? undefined : Number(index);
  }
}

/** A device whose counters went back is another one of that name, or its driver was reset: it counts from 0, as a whole. */
function increase(before: Counters, now: Counters): Counters {
  const isReset = now.some((value, index) => value < (before[index] ?? 0n));
  return isReset ? now : now.map((value, index) => value - (before[index] ?? 0n));
}

/** The busiest devices, and the sum of the others in the place of the last. */
function capped(rows: { device: string; rose: Counters }[], rowsMax: number): { device: string; rose: Counters }[] {
  if (rows.length <= rowsMax) return rows;
  const bytesOf = ({ rose }: { rose: Counters }): bigint => (rose[measures.indexOf("rx_bytes")] ?? 0n) + (rose[measures.indexOf("tx_bytes")] ?? 0n);
  const sorted = [...rows].sort((a, b) => Number(bytesOf(b) - bytesOf(a)));
  const rest = sorted.slice(rowsMax - 1);
  const sum = measures.map((_, index) => rest.reduce((total, { rose }) => total + (rose[index] ?? 0n), 0n));
  return [...sorted.slice(0, rowsMax - 1), { device: OTHER, rose: sum }];
}

function rowOf({ device, rose }: { device: string; rose: Counters }): WireRow {
  return { device, ...Object.fromEntries(measures.map((name, index) => [name, rose[index] as bigint])) };
}
