// SPDX-License-Identifier: Apache-2.0
import type { HostSignal } from "@/lib/api/types";

/** How well a signal is measured, in the words every page uses. */
export const STATE_WORDS: Readonly<Record<HostSignal["state"], string>> = {
  exact: "exact",
  fallback: "fallback",
  sampled: "sampled",
  shed: "shed",
  disabled: "switched off",
  unsupported: "unsupported",
  failed: "failed",
  unknown: "unknown",
};
