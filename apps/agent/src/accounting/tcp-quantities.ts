// SPDX-License-Identifier: Apache-2.0
import { readNetworkCounters } from "../kernel/network-counters.ts";
import type { QuantitySource } from "./quantity-source.ts";

/** TCP's counters of the agent's network namespace. */
export function tcpQuantities(procPath: string): QuantitySource {
  return {
    read: () => readNetworkCounters(`${procPath}/net/snmp`, "Tcp"),
    counted: {
      ActiveOpens: { signal: "tcp_connections", counter: "ActiveOpens" },
      PassiveOpens: { signal: "tcp_connections", counter: "PassiveOpens" },
      RetransSegs: { signal: "tcp_retransmits", counter: "RetransSegs" },
    },
  };
}
