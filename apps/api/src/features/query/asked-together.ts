// SPDX-License-Identifier: Apache-2.0
import type { Plan } from "./sql.ts";

/** Hosts about which all that is asked is asked together. */
export const FEW_HOSTS = 4;
/** A page that follows the present asks all its questions again every ten seconds: what it asked lately it will ask with the next. */
const TOGETHER_MS = 30_000;
/** As long as an answer about coverage is handed out again. */
const LIST_KEPT_MS = 5_000;
/** Lists of hosts that are remembered; pages of single hosts are one each. */
const SUBJECTS_MAX = 500;

/** Rows that an answer about all of them may have: one per host, signal and step. */
const ROWS_MAX = 10_000;

interface Built {
  readonly signals: readonly string[];
  readonly atMs: number;
}

interface Subject {
  /** When each signal was asked about last. */
  readonly signals: Map<string, number>;
  /** What was asked about each range last. */
  readonly built: Map<string, Built>;
}

/**
 * The page of a host asks two dozen questions about a dozen signals over one range, and needs to know of each signal when it was measured. So whoever asks about one asks about all
 * signals that were asked about lately, and all questions of one range get the same list: then their statements are the same, and one is run for all.
 */
export class AskedTogether {
  /** By organisation and hosts; the one asked about longest ago is first. */
  private readonly subjects = new Map<string, Subject>();

  /**
   * Names of signals, the plan's own among them.
   * @param plan of few hosts, which are named
   */
  signalsFor(plan: Plan, nowMs: number): readonly string[] {
    const { name } = plan.signal;
    const { fromMs, toMs, stepMs, count } = plan.steps;
    const subject = this.subjectOf(plan);
    subject.signals.set(name, nowMs);
    for (const [signal, askedMs] of subject.signals) if (nowMs - askedMs > TOGETHER_MS) subject.signals.delete(signal);
    for (const [range, { atMs }] of subject.built) if (nowMs - atMs > LIST_KEPT_MS) subject.built.delete(range);
    const range = `${fromMs} ${toMs} ${stepMs}`;
    const known = subject.built.get(range);
    if (known?.signals.includes(name)) return known.signals;
    const all = [...subject.signals.keys()].sort();
    const signals = all.length * count * (plan.hosts?.length ?? 0) > ROWS_MAX ? [name] : all;
    subject.built.set(range, { signals, atMs: nowMs });
    return signals;
  }

  private subjectOf({ tenant, hosts }: Plan): Subject {
    const key = JSON.stringify([tenant, hosts]);
    const subject = this.subjects.get(key) ?? { signals: new Map(), built: new Map() };
    this.subjects.delete(key);
    this.subjects.set(key, subject);
    const [oldest] = this.subjects.size > SUBJECTS_MAX ? this.subjects.keys() : [];
    if (oldest !== undefined) this.subjects.delete(oldest);
    return subject;
  }
}
