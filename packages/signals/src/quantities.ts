// SPDX-License-Identifier: Apache-2.0
import type { Unit } from "./signal.ts";

/** Something that the kernel counts itself and the agent counts too; both stand side by side in `agent_accounting`. */
export interface Quantity {
  /** File and field of the kernel's own figure. */
  readonly kernel: string;
  readonly unit: Unit;
  /** What is counted on our side. */
  readonly help: string;
  /** What one side counts and the other does not; empty if both count the same things, so that a lasting difference is a fault. */
  readonly differs: string;
}

/** By the name that stands in `agent_accounting.quantity`: the kernel's own, with the protocol before it where two protocols use one name. */
const dictionary = {
  ActiveOpens: {
    kernel: "/proc/net/snmp Tcp ActiveOpens",
    unit: "connections",
    help: "Connects that sent a SYN.",
    differs: "",
  },
  PassiveOpens: {
    kernel: "/proc/net/snmp Tcp PassiveOpens",
    unit: "connections",
    help: "Sockets made for an accepted handshake.",
    differs: "",
  },
  RetransSegs: {
    kernel: "/proc/net/snmp Tcp RetransSegs",
    unit: "segments",
    help: "Segments of `tcp_retransmits`.",
    differs: "",
  },
} as const satisfies Record<string, Quantity>;

export type QuantityName = keyof typeof dictionary;
export const quantities: Readonly<Record<QuantityName, Quantity>> = dictionary;
