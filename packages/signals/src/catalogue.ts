// SPDX-License-Identifier: Apache-2.0
import { agentSignals } from "./agent.ts";
import { cpuSignals } from "./cpu.ts";
import { diskSignals } from "./disk.ts";
import { fileSignals } from "./file.ts";
import { hostFamilySignals } from "./host.ts";
import { netSignals } from "./net.ts";
import { profileSignals } from "./profile.ts";
import { serverSignals } from "./server.ts";
import type { Signal } from "./signal.ts";
import { syscallSignals } from "./syscall.ts";
import { tcpSignals } from "./tcp.ts";

/** Every signal of this version, in the order they are listed to people. */
export const catalogue: readonly Signal[] = [
  ...tcpSignals,
  ...netSignals,
  ...syscallSignals,
  ...fileSignals,
  ...diskSignals,
  ...cpuSignals,
  ...profileSignals,
  ...hostFamilySignals,
  ...agentSignals,
  ...serverSignals,
];

/** Those that agents report, each of them in every window. */
export const hostSignals: readonly Signal[] = catalogue.filter((signal) => signal.source !== "server");

const byName = new Map(catalogue.map((signal) => [signal.name, signal]));

/** The signal of that name, or undefined. */
export function getSignal(name: string): Signal | undefined {
  return byName.get(name);
}

/** The signal of that name. Throws a TypeError for a name that is not in the catalogue. */
export function getSignalOrThrow(name: string): Signal {
  const signal = byName.get(name);
  if (signal === undefined) throw new TypeError(`signal "${name}" is not in the catalogue`);
  return signal;
}
