// SPDX-License-Identifier: Apache-2.0

/** `utc` or the machine's own zone. */
export type Zone = "utc" | "local";

interface Parts {
  year: number;
  month: number;
  day: number;
  hour: number;
  minute: number;
  second: number;
}

function parts(ms: number, zone: Zone): Parts {
  const d = new Date(ms);
  return zone === "utc"
    ? {
        year: d.getUTCFullYear(),
        month: d.getUTCMonth() + 1,
        day: d.getUTCDate(),
        hour: d.getUTCHours(),
        minute: d.getUTCMinutes(),
        second: d.getUTCSeconds(),
      }
    : { year: d.getFullYear(), month: d.getMonth() + 1, day: d.getDate(), hour: d.getHours(), minute: d.getMinutes(), second: d.getSeconds() };
}

const pad = (n: number): string => n.toString().padStart(2, "0");

/** `13:51`, or `13:51:20` when the second is not 0 or `seconds` asks for it. 24-hour clock always. */
export function formatClock(ms: number, zone: Zone = "utc", seconds: "auto" | "always" | "never" = "never"): string {
  const p = parts(ms, zone);
  const base = `${pad(p.hour)}:${pad(p.minute)}`;
  return seconds === "always" || (seconds === "auto" && p.second !== 0) ? `${base}:${pad(p.second)}` : base;
}

/** `2026-08-16`. */
export function formatDay(ms: number, zone: Zone = "utc"): string {
  const p = parts(ms, zone);
  return `${p.year}-${pad(p.month)}-${pad(p.day)}`;
}

/** The shortest unambiguous text: the clock alone on the day of `nowMs`, else with the date: `13:51` or `2026-08-16 13:51`. */
export function formatMoment(ms: number, nowMs: number, zone: Zone = "utc"): string {
  const sameDay = formatDay(ms, zone) === formatDay(nowMs, zone);
  return sameDay ? formatClock(ms, zone, "auto") : `${formatDay(ms, zone)} ${formatClock(ms, zone)}`;
}

/** Label of one time-axis tick: a date at midnight, a clock otherwise, with seconds on ranges below five minutes. */
export function formatTimeTick(ms: number, rangeMs: number, zone: Zone = "utc"): string {
  const p = parts(ms, zone);
  if (rangeMs > 86_400_000 && p.hour === 0 && p.minute === 0) return `${pad(p.month)}-${pad(p.day)}`;
  return formatClock(ms, zone, rangeMs < 300_000 ? "always" : "never");
}

/** `13:12–14:12 UTC`, or with dates when the range crosses midnight. */
export function formatRange(fromMs: number, toMs: number, zone: Zone = "utc"): string {
  const name = zone === "utc" ? " UTC" : "";
  const sameDay = formatDay(fromMs, zone) === formatDay(toMs, zone);
  const seconds = toMs - fromMs < 300_000 ? "always" : "never";
  return sameDay
    ? `${formatClock(fromMs, zone, seconds)}–${formatClock(toMs, zone, seconds)}${name}`
    : `${formatDay(fromMs, zone)} ${formatClock(fromMs, zone)} – ${formatDay(toMs, zone)} ${formatClock(toMs, zone)}${name}`;
}
