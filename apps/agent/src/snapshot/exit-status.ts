// SPDX-License-Identifier: Apache-2.0
import { constants } from "node:os";

/** Names of this architecture's signals; of aliases (SIGABRT, SIGIOT) the first. */
const signalNames = new Map<number, string>();
for (const [name, number] of Object.entries(constants.signals)) if (!signalNames.has(number)) signalNames.set(number, name);

const SIGNAL = 0x7f;

/** How a process ended, by its wait status: the exit code, or the signal that killed it; `SIG<n>` for real-time signals. */
export function exitStatusText(status: number): string {
  const signal = status & SIGNAL;
  return signal === 0 ? String(status >>> 8) : (signalNames.get(signal) ?? `SIG${signal}`);
}
