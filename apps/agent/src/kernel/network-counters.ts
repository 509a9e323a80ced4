// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from "node:fs";

/**
 * One protocol's counters out of the text of /proc/net/snmp or /proc/net/netstat: a line of names, then a line of values, both starting with the
 * protocol. Values are the kernel's, of the reader's network namespace, since boot (RFC 4022 for Tcp).
 */
export function parseNetworkCounters(text: string, protocol: string): Map<string, bigint> {
  const [names, values] = text.split("\n").filter((line) => line.startsWith(`${protocol}: `));
  if (names === undefined || values === undefined) throw new TypeError(`no counters of ${protocol}`);
  const counts = values.split(" ").slice(1);
  // MaxConn is -1 by definition; the quantities that are compared never are.
  return new Map(
    names
      .split(" ")
      .slice(1)
      .map((name, index) => [name, BigInt(counts[index] ?? "0")]),
  );
}

/** One protocol's counters out of a file of that form (/proc/net/snmp, /proc/net/netstat), of this process's network namespace. */
export function readNetworkCounters(path: string, protocol: string): Map<string, bigint> {
  return parseNetworkCounters(readFileSync(path, "utf8"), protocol);
}
