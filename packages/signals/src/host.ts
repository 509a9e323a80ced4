// SPDX-License-Identifier: Apache-2.0
import type { Signal } from "./signal.ts";

/** The host as a whole. */
export const hostFamilySignals: readonly Signal[] = [];
