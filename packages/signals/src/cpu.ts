// SPDX-License-Identifier: Apache-2.0
import type { Signal } from "./signal.ts";

/** Who runs, who waits for a CPU, who sleeps, who starts and ends. */
export const cpuSignals: readonly Signal[] = [];
