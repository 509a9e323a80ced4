// SPDX-License-Identifier: Apache-2.0
import type { Zone } from "@waggle/units";

/** A range as the URL holds it: `now-15m`, RFC 3339, or epoch ms in text. */
export interface RangeText {
  readonly from: string;
  readonly to: string;
}

/** A range in epoch ms. `live`: its end moves with the clock. */
export interface Range {
  readonly fromMs: number;
  readonly toMs: number;
  readonly live: boolean;
}

export const DEFAULT_RANGE: RangeText = { from: "now-15m", to: "now" };

export const PRESETS = [
  { text: "now-5m", label: "Last 5 min" },
  { text: "now-15m", label: "Last 15 min" },
  { text: "now-1h", label: "Last 1 h" },
  { text: "now-6h", label: "Last 6 h" },
  { text: "now-24h", label: "Last 24 h" },
  { text: "now-7d", label: "Last 7 d" },
] as const;

const WINDOW_MS = 10_000;
/** A window is readable about 2 s after it ends; asking earlier would draw the newest step as a gap. */
const SETTLE_MS = 3_000;
const SHORTEST_MS = 30_000;
const LONGEST_MS = 92 * 86_400_000;

const UNIT_MS: Readonly<Record<string, number>> = { s: 1000, m: 60_000, min: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 };

/** Epoch ms of one end of a range, or null when the text is none of the three forms. */
export function parseInstant(text: string, nowMs: number): number | null {
  const trimmed = text.trim();
  const relative = /^now(?:\s*-\s*(\d+)\s*(s|m|min|h|d|w))?$/.exec(trimmed);
  if (relative) {
    const [, amount, unit] = relative;
    return amount === undefined || unit === undefined ? nowMs : nowMs - Number(amount) * (UNIT_MS[unit] ?? 0);
  }
  if (/^\d{12,14}$/.test(trimmed)) return Number(trimmed);
  if (/^\d{4}-\d{2}-\d{2}T/.test(trimmed)) {
    const ms = Date.parse(trimmed);
    return Number.isNaN(ms) ? null : ms;
  }
  return null;
}

/** The last moment whose windows can be expected to be stored, on a window boundary. */
export function settledNow(nowMs: number): number {
  return Math.floor((nowMs - SETTLE_MS) / WINDOW_MS) * WINDOW_MS;
}

/**
 * The range to query. Ends that can't be read fall back to the default range, so an old or mangled link still opens.
 * A live range ends at the last settled window boundary.
 */
export function resolveRange(range: RangeText, nowMs: number): Range {
  const settled = settledNow(nowMs);
  const live = range.to.trim() === "now";
  const toMs = live ? settled : parseInstant(range.to, settled);
  const fromMs = parseInstant(range.from, toMs !== null && live ? toMs : settled);
  if (toMs === null || fromMs === null || toMs - fromMs < 1) return { fromMs: settled - 15 * 60_000, toMs: settled, live: true };
  const fromAligned = Math.floor(Math.max(fromMs, toMs - LONGEST_MS) / WINDOW_MS) * WINDOW_MS;
  const toAligned = Math.max(Math.ceil(toMs / WINDOW_MS) * WINDOW_MS, fromAligned + SHORTEST_MS);
  return { fromMs: fromAligned, toMs: toAligned, live };
}

const STEP_S = [10, 20, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 21_600, 43_200, 86_400];

/** How many points to ask for: as many whole windows per step as keep a chart at `most` points or fewer. */
export function pointsFor(range: Range, most = 180): number {
  const seconds = (range.toMs - range.fromMs) / 1000;
  const step = STEP_S.find((s) => seconds / s <= most) ?? 86_400;
  return Math.max(1, Math.round(seconds / step));
}

/** The range as text for a link that always shows the same data. */
export function frozen(range: Range): RangeText {
  return { from: new Date(range.fromMs).toISOString(), to: new Date(range.toMs).toISOString() };
}

/** `[` and `]`: one window length earlier or later. Never past now. */
export function shifted(range: Range, direction: -1 | 1, nowMs: number): RangeText {
  const length = range.toMs - range.fromMs;
  const toMs = Math.min(range.toMs + direction * length, settledNow(nowMs));
  return frozen({ fromMs: toMs - length, toMs, live: false });
}

/** `z`: twice as long around the same middle; a range that would reach now becomes live again. */
export function zoomedOut(range: Range, nowMs: number): RangeText {
  const length = range.toMs - range.fromMs;
  const settled = settledNow(nowMs);
  if (range.live || range.toMs + length / 2 >= settled) {
    const minutes = Math.min(Math.round((length * 2) / 60_000), LONGEST_MS / 60_000);
    return { from: minutes % 60 === 0 ? `now-${minutes / 60}h` : `now-${minutes}m`, to: "now" };
  }
  return frozen({ fromMs: range.fromMs - length / 2, toMs: range.toMs + length / 2, live: false });
}

/** Words for the button: the preset's name, `Last 90 min`, or null when the range is absolute. */
export function rangeLabel(range: RangeText): string | null {
  if (range.to !== "now") return null;
  const preset = PRESETS.find((p) => p.text === range.from);
  if (preset) return preset.label;
  const match = /^now-(\d+)(s|m|h|d|w)$/.exec(range.from);
  if (!match) return null;
  const [, amount, unit] = match;
  return `Last ${amount} ${unit === "m" ? "min" : unit}`;
}

/** How the range before this one is called in a sentence: "the 15 min before". */
export function beforeLabel(range: Range): string {
  const minutes = Math.round((range.toMs - range.fromMs) / 60_000);
  if (minutes === 60) return "the hour before";
  if (minutes === 1440) return "the day before";
  if (minutes === 10_080) return "the week before";
  if (minutes % 1440 === 0) return `the ${minutes / 1440} d before`;
  if (minutes % 60 === 0) return `the ${minutes / 60} h before`;
  return minutes >= 1 ? `the ${minutes} min before` : `the ${Math.round((range.toMs - range.fromMs) / 1000)} s before`;
}

/** The equally long range that ends where this one begins. */
export function rangeBefore(range: Range): Range {
  return { fromMs: 2 * range.fromMs - range.toMs, toMs: range.fromMs, live: false };
}

/**
 * What a person types: `15m`, `last 2 h`, `13:00-14:00`, `yesterday 14:00-15:00`, `2026-08-16 13:00 - 14:30`,
 * `2026-08-16 13:00 - 2026-08-17 01:00`, `now-1h - now`. Clock times are read in `zone`. null when it can't be read.
 */
export function parseTypedRange(text: string, nowMs: number, zone: Zone): RangeText | null {
  const input = text.trim().toLowerCase();
  const last = /^(?:last\s+)?(\d+)\s*(s|m|min|h|d|w)$/.exec(input);
  if (last) {
    const [, amount, unit] = last;
    return Number(amount) > 0 ? { from: `now-${amount}${unit === "min" ? "m" : unit}`, to: "now" } : null;
  }
  const relative = /^(now(?:-\d+(?:s|m|h|d|w))?)\s*(?:-|–|to)\s*(now(?:-\d+(?:s|m|h|d|w))?)$/.exec(input);
  if (relative) return { from: relative[1] ?? "", to: relative[2] ?? "" };

  const parts =
    /^(?:(yesterday|today|\d{4}-\d{2}-\d{2})\s+)?(\d{1,2}:\d{2}(?::\d{2})?)\s*(?:-|–|to)\s*(?:(\d{4}-\d{2}-\d{2})\s+)?(\d{1,2}:\d{2}(?::\d{2})?)$/.exec(
      input,
    );
  if (parts) {
    const [, day = "today", start = "", endDay, end = ""] = parts;
    const fromMs = clockOn(day, start, nowMs, zone);
    let toMs = clockOn(endDay ?? day, end, nowMs, zone);
    if (fromMs === null || toMs === null) return null;
    if (toMs <= fromMs && endDay === undefined) toMs += 86_400_000;
    return toMs > fromMs ? frozen({ fromMs, toMs, live: false }) : null;
  }
  const day = /^(yesterday|today|\d{4}-\d{2}-\d{2})$/.exec(input);
  if (day) {
    const fromMs = clockOn(day[1] ?? "", "00:00", nowMs, zone);
    return fromMs === null ? null : frozen({ fromMs, toMs: Math.min(fromMs + 86_400_000, settledNow(nowMs)), live: false });
  }
  return null;
}

function clockOn(day: string, clock: string, nowMs: number, zone: Zone): number | null {
  const [hour = 0, minute = 0, second = 0] = clock.split(":").map(Number);
  if (hour > 24 || minute > 59 || second > 59) return null;
  const base = new Date(nowMs);
  let year = zone === "utc" ? base.getUTCFullYear() : base.getFullYear();
  let month = zone === "utc" ? base.getUTCMonth() : base.getMonth();
  let date = zone === "utc" ? base.getUTCDate() : base.getDate();
  if (day === "yesterday") date -= 1;
  else if (day !== "today") {
    const [y = 0, m = 0, d = 0] = day.split("-").map(Number);
    if (m < 1 || m > 12 || d < 1 || d > 31) return null;
    year = y;
    month = m - 1;
    date = d;
  }
  return zone === "utc" ? Date.UTC(year, month, date, hour, minute, second) : new Date(year, month, date, hour, minute, second).getTime();
}
