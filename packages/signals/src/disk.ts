// SPDX-License-Identifier: Apache-2.0
import type { Signal } from "./signal.ts";

/** What block devices take and how long. */
export const diskSignals: readonly Signal[] = [];
