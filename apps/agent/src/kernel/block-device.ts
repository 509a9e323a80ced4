// SPDX-License-Identifier: Apache-2.0
import { readlinkSync } from "node:fs";
import { basename } from "node:path";

const MINOR_BITS = 20;

/** Names of block devices, each asked for once per window: of the keys of a window thousands may name one. */
export class BlockDevices {
  readonly #sysPath: string;
  readonly #names = new Map<number, string>();

  constructor(sysPath = "/sys") {
    this.#sysPath = sysPath;
  }

  /** Starts a window. */
  begin(): void {
    this.#names.clear();
  }

  nameOf(device: number): string {
    let name = this.#names.get(device);
    if (name === undefined) {
      name = blockDeviceName(device, this.#sysPath);
      this.#names.set(device, name);
    }
    return name;
  }
}

/**
 * Name of a block device by its number (12 bits major, 20 bits minor); `<major>:<minor>` if it is gone by now, empty for 0. Asks sysfs each time: numbers
 * are given to other devices when one is unplugged.
 */
export function blockDeviceName(device: number, sysPath = "/sys"): string {
  if (device === 0) return "";
  const number = `${device >>> MINOR_BITS}:${device & ((1 << MINOR_BITS) - 1)}`;
  try {
    // The kernel writes "/" in a name as "!".
    return basename(readlinkSync(`${sysPath}/dev/block/${number}`)).replaceAll("!", "/");
  } catch {
    return number;
  }
}
