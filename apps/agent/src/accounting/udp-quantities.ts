// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from "node:fs";
import { readNetworkCounters } from "../kernel/network-counters.ts";
import type { QuantitySource } from "./quantity-source.ts";

/** UDP's counters of the agent's network namespace, of IPv4 and IPv6 together. */
export function udpQuantities(procPath: string): QuantitySource {
  return {
    read: () => {
      const udp = readNetworkCounters(`${procPath}/net/snmp`, "Udp");
      const udp6 = readSnmp6(procPath);
      const figures = new Map<string, bigint>();
      for (const name of ["RcvbufErrors", "InDatagrams", "OutDatagrams"]) {
        const value = udp.get(name);
        if (value !== undefined) figures.set(`Udp${name}`, value + (udp6.get(`Udp6${name}`) ?? 0n));
      }
      return figures;
    },
    counted: {
      UdpRcvbufErrors: { signal: "socket_buffers", counter: "UdpRcvbufErrors" },
      UdpInDatagrams: { signal: "udp_traffic", counter: "UdpInDatagrams" },
      UdpOutDatagrams: { signal: "udp_traffic", counter: "UdpOutDatagrams" },
    },
  };
}

/** /proc/net/snmp6, which has one counter a line; empty on a host without IPv6, which has no such file. */
function readSnmp6(procPath: string): Map<string, bigint> {
  let text: string;
  try {
    text = readFileSync(`${procPath}/net/snmp6`, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return new Map();
    throw error;
  }
  return new Map([...text.matchAll(/^(Udp6\w+)\s+(\d+)$/gm)].map(([, name, value]) => [name as string, BigInt(value as string)]));
}
