// SPDX-License-Identifier: Apache-2.0
import { formatBytes } from "./bytes.ts";
import { formatDuration } from "./duration.ts";
import { formatCount, formatRatio, NO_VALUE } from "./number.ts";

/**
 * The one formatter of measured values: text from a value and its declared unit, as the catalogue and the API name it.
 * Units: `ns`, `bytes`, `ratio` (1 = all, shown in percent), `milli` (thousandths), `microjoules`, any counted noun (`segments`, `calls`, …), each optionally `/s`.
 * `null` is {@link NO_VALUE}; the noun itself is left to the title beside the number.
 */
export function formatValue(value: number | null | undefined, unit: string): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return NO_VALUE;
  const perSecond = unit.endsWith("/s");
  const base = perSecond ? unit.slice(0, -2) : unit;
  const text = formatBase(value, base);
  return perSecond ? `${text}/s` : text;
}

function formatBase(value: number, unit: string): string {
  switch (unit) {
    case "ns":
      return formatDuration(value);
    case "bytes":
      return formatBytes(value);
    case "ratio":
      return formatRatio(value);
    case "milli":
      return formatCount(value / 1_000);
    case "microjoules":
      return `${formatCount(value / 1_000_000)} J`;
    default:
      return formatCount(value);
  }
}

/** The unit in words for a chart's subtitle: `segments/s` → "segments per second", `ns` → "time". */
export function unitInWords(unit: string): string {
  const perSecond = unit.endsWith("/s");
  const base = perSecond ? unit.slice(0, -2) : unit;
  const words =
    base === "ns" ? "time" : base === "ratio" ? "share" : base === "1" || base === "milli" ? "count" : base === "microjoules" ? "energy" : base;
  return perSecond ? `${words} per second` : words;
}
