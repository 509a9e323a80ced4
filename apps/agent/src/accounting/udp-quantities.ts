// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from "node:fs";
import { readNetworkCounters } from "../kernel/network-counters.ts";
import type { QuantitySource } from "./quantity-source.ts";

/**
 * UDP's counters of the agent's network namespace, of IPv4 and IPv6 together. InDatagrams and OutDatagrams are not among them: udp_traffic is of all
 * namespaces, and asking each datagram for its own costs more than the answer is worth. Whoever counts them per namespace all the same adds fields to
 * `struct accounting` and names them here.
 */
export function udpQuantities(procPath: string): QuantitySource {
  return {
    read: () => {
      const errors = readNetworkCounters(`${procPath}/net/snmp`, "Udp").get("RcvbufErrors");
      return errors === undefined ? new Map() : new Map([["UdpRcvbufErrors", errors + readUdp6(procPath, "Udp6RcvbufErrors")]]);
    },
    counted: { UdpRcvbufErrors: { signal: "socket_buffers", counter: "UdpRcvbufErrors" } },
  };
}

/** A counter of /proc/net/snmp6, which has one a line; 0 on a host without IPv6, which has no such file. */
function readUdp6(procPath: string, name: string): bigint {
  let text: string;
  try {
    text = readFileSync(`${procPath}/net/snmp6`, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return 0n;
    throw error;
  }
  return BigInt(new RegExp(`^${name}\\s+(\\d+)$`, "m").exec(text)?.[1] ?? "0");
}
