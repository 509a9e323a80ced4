// SPDX-License-Identifier: Apache-2.0
import type { Signal } from "./signal.ts";

/** What is read, written, opened and synced, by file. */
export const fileSignals: readonly Signal[] = [];
