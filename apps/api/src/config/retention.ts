// SPDX-License-Identifier: Apache-2.0
import { catalogue, getSignal, type Level, levels, retentionDaysDefault } from "@waggle/signals";

const DAYS_MAX = 3_650;
const DAY_MS = 86_400_000;
/**
 * Raw rows are taken in up to this long before they may be deleted: a minute is rolled up from all of its raw rows at once, also when one of them came
 * late, and a window may be an hour long.
 */
const LATE_MARGIN_MS = 2 * 3_600_000;

/** What is wrong with a text that should say how long rows are kept, in words. */
export class RetentionError extends Error {
  override readonly name = "RetentionError";
}

/** How long rows are kept, per signal and level. Whole partitions are dropped, so rows stay up to one partition longer. */
export class Retention {
  static readonly default = new Retention(retentionDaysDefault, new Map());

  private readonly general: Readonly<Record<Level, number>>;
  private readonly bySignal: ReadonlyMap<string, Readonly<Record<Level, number>>>;

  private constructor(general: Readonly<Record<Level, number>>, bySignal: ReadonlyMap<string, Readonly<Record<Level, number>>>) {
    this.general = general;
    this.bySignal = bySignal;
  }

  /**
   * @param text such as `raw=7d,1m=30d,1h=400d,syscall_latency.raw=3d`; what is left out keeps its default
   * @throws RetentionError
   */
  static parse(text: string): Retention {
    const given = new Map<string, number>();
    for (const entry of text.split(",").map((part) => part.trim())) {
      if (entry === "") continue;
      const match = /^(?:([a-z0-9_]+)\.)?([a-z0-9]+)\s*=\s*(\d+)d$/.exec(entry);
      if (match === null)
        throw new RetentionError(`"${entry}" is not of the form LEVEL=DAYSd or SIGNAL.LEVEL=DAYSd, such as raw=7d or tcp_rtt.raw=3d`);
      const [, signal, level = "", number] = match;
      if (!isLevel(level)) throw new RetentionError(`"${entry}": there is no level "${level}"; there are ${levels.join(", ")}`);
      if (signal !== undefined && getSignal(signal) === undefined)
        throw new RetentionError(`"${entry}": the signal "${signal}" is not in the catalogue`);
      const days = Number(number);
      if (days < 1 || days > DAYS_MAX) throw new RetentionError(`"${entry}": allowed are 1d to ${DAYS_MAX}d`);
      const key = signal === undefined ? level : `${signal}.${level}`;
      if (given.has(key)) throw new RetentionError(`${key} is given twice`);
      given.set(key, days);
    }
    const general = { raw: 0, "1m": 0, "1h": 0 };
    for (const level of levels) general[level] = given.get(level) ?? retentionDaysDefault[level];
    checkOrder("", general);
    const bySignal = new Map<string, Readonly<Record<Level, number>>>();
    for (const { name } of catalogue) {
      const own = { ...general };
      for (const level of levels) own[level] = given.get(`${name}.${level}`) ?? general[level];
      checkOrder(`${name}.`, own);
      if (levels.some((level) => own[level] !== general[level])) bySignal.set(name, own);
    }
    return new Retention(general, bySignal);
  }

  /** Days per level of a signal. */
  daysOf(signalName: string): Readonly<Record<Level, number>> {
    return this.bySignal.get(signalName) ?? this.general;
  }

  /** Days after which no signal has rows of the level any more. */
  longestDays(level: Level): number {
    return Math.max(...catalogue.map(({ name }) => this.daysOf(name)[level]));
  }

  /** Days for which every signal has rows of the level. */
  shortestDays(level: Level): number {
    return Math.min(...catalogue.map(({ name }) => this.daysOf(name)[level]));
  }

  /** Start of the oldest window that is taken in, Unix milliseconds. Of older ones the neighbours may be deleted already. */
  oldestAcceptedMs(nowMs: number): number {
    return nowMs - this.shortestDays("raw") * DAY_MS + LATE_MARGIN_MS;
  }
}

function isLevel(name: string): name is Level {
  return (levels as readonly string[]).includes(name);
}

/** A level is made out of the one before: what is rolled up again must not fall to a retention of its own. */
function checkOrder(prefix: string, days: Readonly<Record<Level, number>>): void {
  for (const [index, level] of levels.entries()) {
    const finer = levels[index - 1];
    if (finer !== undefined && days[level] < days[finer])
      throw new RetentionError(
        `${prefix}${level} is ${days[level]}d, but must be at least the ${days[finer]}d of ${prefix}${finer}, which it is made from`,
      );
  }
}
