// SPDX-License-Identifier: Apache-2.0
import type { Signal } from "./signal.ts";

/** Packets, datagrams, names and devices. */
export const netSignals: readonly Signal[] = [];
