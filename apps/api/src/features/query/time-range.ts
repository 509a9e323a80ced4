// SPDX-License-Identifier: Apache-2.0
import { AppError, type FieldProblem } from "../../common/app-error.ts";
import { summed } from "../../common/validation.ts";

/** Raw windows end on multiples of this. */
export const WINDOW_MS = 10_000;
/** The longest range one query may cover, in days: as long as hours are kept by default. */
const RANGE_DAYS_MAX = 400;
export const RANGE_MS_MAX = RANGE_DAYS_MAX * 86_400_000;
/** No time before it is read. */
export const EPOCH_MS_MIN = Date.UTC(2000, 0, 1);
const EPOCH_MS_MAX = Date.UTC(2100, 0, 1);

const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, min: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 };

/** A half-open range in Unix milliseconds. */
export interface TimeRange {
  readonly fromMs: number;
  readonly toMs: number;
}

/** One end of a range: `now`, `now-15m`, RFC 3339 with an offset, or Unix milliseconds. Undefined if it is none of them. */
export function parseInstant(value: string | number, nowMs: number): number | undefined {
  if (typeof value === "number") return isEpochMs(value) ? value : undefined;
  const text = value.trim();
  const relative = /^now(?:\s*([-+])\s*(\d{1,9})\s*(ms|s|m|min|h|d|w))?$/.exec(text);
  if (relative !== null) {
    const [, sign, amount, unit] = relative;
    if (amount === undefined || unit === undefined) return nowMs;
    const distanceMs = Number(amount) * (unitMs[unit] ?? 0);
    const instant = sign === "-" ? nowMs - distanceMs : nowMs + distanceMs;
    return isEpochMs(instant) ? instant : undefined;
  }
  if (/^\d{12,14}$/.test(text)) return isEpochMs(Number(text)) ? Number(text) : undefined;
  // Without an offset a time would mean something else on every machine, so it is not accepted.
  if (/^\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?([Zz]|[+-]\d{2}:\d{2})$/.test(text)) {
    // JavaScript reads the 30th of February as the 2nd of March.
    const day = text.slice(0, 10);
    if (Number.isNaN(Date.parse(day)) || new Date(day).toISOString().slice(0, 10) !== day) return undefined;
    const instant = Date.parse(text.replace(" ", "T").toUpperCase());
    return isEpochMs(instant) ? instant : undefined;
  }
  return undefined;
}

function isEpochMs(value: number): boolean {
  return Number.isInteger(value) && value >= EPOCH_MS_MIN && value < EPOCH_MS_MAX;
}

/** Reads both ends. Problems name the field and what to write instead. */
export function parseTimeRange(from: string | number, to: string | number, nowMs: number): { range: TimeRange } | { problems: FieldProblem[] } {
  const problems: FieldProblem[] = [];
  const read = (pointer: string, value: string | number): number => {
    const instant = parseInstant(value, nowMs);
    if (instant === undefined)
      problems.push({
        pointer,
        detail: `\`${String(value).slice(0, 60)}\` is not a time this API reads; ${INSTANT_FORMS}`,
        suggestion: suggestInstant(value, nowMs),
      });
    return instant ?? Number.NaN;
  };
  const fromMs = read("/from", from);
  const toMs = read("/to", to);
  if (problems.length > 0) return { problems };
  if (fromMs >= toMs) {
    return {
      problems: [
        {
          pointer: "/from",
          detail: `The range is empty: from (${iso(fromMs)}) must lie before to (${iso(toMs)}).`,
          suggestion: iso(toMs - 3_600_000),
        },
      ],
    };
  }
  if (toMs - fromMs > RANGE_MS_MAX) {
    const days = Math.ceil((toMs - fromMs) / 86_400_000);
    return {
      problems: [
        {
          pointer: "/from",
          detail: `The range covers ${days} days; at most ${RANGE_DAYS_MAX} can be asked at once.`,
          suggestion: iso(toMs - RANGE_MS_MAX),
        },
      ],
    };
  }
  if (fromMs > nowMs + WINDOW_MS) {
    return { problems: [{ pointer: "/from", detail: `The range lies in the future: it is ${iso(nowMs)} now.`, suggestion: "now-1h" }] };
  }
  return { range: { fromMs, toMs } };
}

/**
 * The same for who has nothing else to say about the request.
 * @throws AppError VALIDATION_FAILED
 */
export function timeRangeOrThrow(from: string | number, to: string | number, nowMs: number): TimeRange {
  const parsed = parseTimeRange(from, to, nowMs);
  if ("problems" in parsed) throw new AppError("VALIDATION_FAILED", summed(parsed.problems), { errors: parsed.problems });
  return parsed.range;
}

/** What a time may look like. */
export const INSTANT_FORMS =
  "write `now`, `now-15m` (ms, s, m, h, d, w), RFC 3339 with an offset (2026-11-20T21:00:00Z) or Unix milliseconds, of the years 2000 to 2099.";

function suggestInstant(value: string | number, nowMs: number): string | undefined {
  const text = String(value).trim();
  if (/^-?\s*\d+\s*(ms|s|m|min|h|d|w)$/.test(text)) return `now-${text.replace(/^-?\s*/, "").replace(/\s/g, "")}`;
  // Ten digits are seconds of this era.
  if (/^\d{10}$/.test(text) && Math.abs(Number(text) * 1000 - nowMs) < 20 * 365 * 86_400_000) return `${text}000`;
  if (/^\d{4}-\d{2}-\d{2}$/.test(text)) return `${text}T00:00:00Z`;
  if (/^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?$/.test(text)) return `${text.replace(" ", "T")}Z`;
  return undefined;
}

function iso(ms: number): string {
  return new Date(ms).toISOString();
}

/** Step lengths that divide a day, so that steps fall on the same wall-clock marks whatever range is asked. */
const stepSeconds = [1, 2, 5, 10, 20, 30, 60, 120, 180, 300, 600, 900, 1_200, 1_800, 3_600, 7_200, 10_800, 14_400, 21_600, 43_200, 86_400];

/** The steps of an answer. Step i covers [fromMs + i·stepMs, + stepMs). */
export interface Steps extends TimeRange {
  readonly stepMs: number;
  readonly count: number;
}

/**
 * Cuts a range into at most `points` steps. The ends move outwards to step marks, so no step is cut; with `points` = 1 the whole
 * range is one step and its ends move to marks of `grainMs` only.
 * @param grainMs least step length; of one step, what its ends are multiples of
 * @param completeMs the end of a range of one step that lies behind this stays at a window mark: nothing coarser is stored there yet
 */
export function planSteps(range: TimeRange, points: number, grainMs = WINDOW_MS, completeMs = Number.POSITIVE_INFINITY): Steps {
  if (points === 1) {
    const fromMs = floorTo(range.fromMs, grainMs);
    const toMs = ceilTo(range.toMs, ceilTo(range.toMs, grainMs) <= completeMs ? grainMs : WINDOW_MS);
    return { fromMs, toMs, stepMs: toMs - fromMs, count: 1 };
  }
  const cut = (stepMs: number): Steps => {
    const fromMs = floorTo(range.fromMs, stepMs);
    const toMs = ceilTo(range.toMs, stepMs);
    return { fromMs, toMs, stepMs, count: (toMs - fromMs) / stepMs };
  };
  for (const seconds of stepSeconds) {
    if (seconds * 1_000 < grainMs) continue;
    const steps = cut(seconds * 1_000);
    if (steps.count <= points) return steps;
  }
  // Longer than `points` days: whole days, as many as it takes. Moving both ends out costs up to two steps.
  const daysMax = RANGE_DAYS_MAX * 2;
  let days = Math.max(2, Math.ceil((range.toMs - range.fromMs) / 86_400_000 / points));
  while (cut(days * 86_400_000).count > points && days < daysMax) days++;
  const steps = cut(days * 86_400_000);
  return steps.count <= points ? steps : planSteps(range, 1, grainMs, completeMs);
}

/**
 * Cuts a range into steps of a fixed length; the ends move outwards to step marks.
 * @param grainMs steps are made a multiple of it
 */
export function fixedSteps(range: TimeRange, stepMs: number, grainMs = WINDOW_MS): Steps {
  const length = ceilTo(stepMs, grainMs);
  const fromMs = floorTo(range.fromMs, length);
  const toMs = ceilTo(range.toMs, length);
  return { fromMs, toMs, stepMs: length, count: (toMs - fromMs) / length };
}

/** A length of time: `10s`, `5m`, `1h`, `7d`; undefined if it is none. */
export function parseLength(text: string): number | undefined {
  const [, amount, unit] = /^(\d{1,6})(ms|s|m|min|h|d|w)$/.exec(text) ?? [];
  return amount === undefined || unit === undefined ? undefined : Number(amount) * (unitMs[unit] ?? 0);
}

/** A length of time as `parseLength` reads it. */
export function formatLength(ms: number): string {
  const unit = ["d", "h", "m", "s"].find((name) => ms % (unitMs[name] as number) === 0) ?? "ms";
  return `${ms / (unitMs[unit] as number)}${unit}`;
}

function floorTo(value: number, unit: number): number {
  return Math.floor(value / unit) * unit;
}

function ceilTo(value: number, unit: number): number {
  return Math.ceil(value / unit) * unit;
}
