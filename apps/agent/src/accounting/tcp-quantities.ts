// SPDX-License-Identifier: Apache-2.0
import { readNetworkCounters } from "../kernel/network-counters.ts";
import type { QuantitySource } from "./quantity-source.ts";

/**
 * TCP's counters of the agent's network namespace. InSegs is not among them: the kernel counts a packet that was merged out of several segments (GRO)
 * as one, the sockets count the segments.
 */
export function tcpQuantities(procPath: string): QuantitySource {
  return {
    read: () => readNetworkCounters(`${procPath}/net/snmp`, "Tcp"),
    counted: {
      ActiveOpens: { signal: "tcp_connections", counter: "ActiveOpens" },
      PassiveOpens: { signal: "tcp_connections", counter: "PassiveOpens" },
      AttemptFails: { signal: "tcp_connect_failures", counter: "AttemptFails" },
      EstabResets: { signal: "tcp_connections", counter: "EstabResets" },
      OutSegs: { signal: "tcp_connections", counter: "OutSegs" },
      RetransSegs: { signal: "tcp_retransmits", counter: "RetransSegs" },
      OutRsts: { signal: "tcp_resets", counter: "OutRsts" },
    },
  };
}

/** What only the extended counters have. */
export function listenQuantities(procPath: string): QuantitySource {
  return {
    read: () => readNetworkCounters(`${procPath}/net/netstat`, "TcpExt"),
    counted: { ListenDrops: { signal: "tcp_listen_queue", counter: "ListenDrops" } },
  };
}
