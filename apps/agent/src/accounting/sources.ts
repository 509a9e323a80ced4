// SPDX-License-Identifier: Apache-2.0
import { diskQuantities } from "./disk-quantities.ts";
import type { QuantitySource } from "./quantity-source.ts";
import { statQuantities, vmstatQuantities } from "./task-quantities.ts";
import { listenQuantities, tcpQuantities } from "./tcp-quantities.ts";
import { udpQuantities } from "./udp-quantities.ts";

/** Everything that is held against the kernel's own figures. */
export function quantitySources(procPath = "/proc"): QuantitySource[] {
  return [
    tcpQuantities(procPath),
    listenQuantities(procPath),
    udpQuantities(procPath),
    statQuantities(procPath),
    vmstatQuantities(procPath),
    diskQuantities(procPath),
  ];
}
