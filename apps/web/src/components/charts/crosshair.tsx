// SPDX-License-Identifier: Apache-2.0
"use client";

import { usePointedAt } from "@/lib/crosshair";
import styles from "./crosshair.module.css";

/** A line at the moment that is pointed at in another chart. `fromMs`…`toMs` lie over the whole width of the positioned parent, less the margins. */
export function Crosshair({
  fromMs,
  toMs,
  left = 0,
  right = 0,
  top = 0,
  bottom = 0,
}: {
  fromMs: number;
  toMs: number;
  left?: number;
  right?: number;
  top?: number;
  bottom?: number;
}) {
  const at = usePointedAt();
  if (at === null || at < fromMs || at > toMs || toMs <= fromMs) return null;
  const share = (at - fromMs) / (toMs - fromMs);
  return <i className={styles["line"]} style={{ left: `calc(${left}px + (100% - ${left + right}px) * ${share})`, top, bottom }} aria-hidden="true" />;
}
