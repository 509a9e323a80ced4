// SPDX-License-Identifier: Apache-2.0
import { type NetworkInterfaceInfo, networkInterfaces } from "node:os";

/** Addresses of one host at most: what holds more is a router of many networks, and says which it is by any of these. */
const ADDRESSES_MAX = 64;

export type Interfaces = () => Readonly<NodeJS.Dict<readonly Pick<NetworkInterfaceInfo, "address" | "family" | "internal">[]>>;

/**
 * Facts that say under which addresses other hosts know this one: `address:<device>`, with more behind `address:<device>:2`, …; addresses are separated by spaces
 * and written as the dimension `peer` writes them. Loopback and link-local addresses are the same everywhere and are left out.
 * @param charactersMax of a fact's value: no address is ever cut
 */
export function addressFacts(charactersMax: number, interfaces: Interfaces = networkInterfaces): ReadonlyMap<string, string> {
  const facts = new Map<string, string>();
  let count = 0;
  for (const [device, entries] of Object.entries(interfaces()).sort(([a], [b]) => (a < b ? -1 : 1))) {
    const addresses = [...new Set((entries ?? []).filter((entry) => !entry.internal && isOwn(entry.address)).map((entry) => entry.address))].sort();
    const lines: string[] = [];
    for (const address of addresses.slice(0, ADDRESSES_MAX - count)) {
      const line = lines.at(-1);
      if (line !== undefined && line.length + 1 + address.length <= charactersMax) lines[lines.length - 1] = `${line} ${address}`;
      else lines.push(address);
      count++;
    }
    for (const [index, line] of lines.entries()) facts.set(index === 0 ? `address:${device}` : `address:${device}:${index + 1}`, line);
  }
  return facts;
}

/** Whether an address may name one host among others. */
function isOwn(address: string): boolean {
  return !/^(127\.|169\.254\.|0\.0\.0\.0$|::1?$|fe[89ab][0-9a-f]:)/i.test(address);
}
