// SPDX-License-Identifier: Apache-2.0
import { readlinkSync } from "node:fs";
import { basename } from "node:path";

const MINOR_BITS = 20;

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
