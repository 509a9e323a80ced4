// SPDX-License-Identifier: Apache-2.0
import { Inject, Injectable } from "@nestjs/common";
import { isHostKey } from "@waggle/query";
import { dimensions, type Level, levelMs, levels, type Scope } from "@waggle/signals";
import { Config } from "../../config/config.ts";
import { RollupProgress } from "../rollups/rollup-progress.service.ts";
import { stepOf } from "../rollups/steps.ts";
import type { Journal } from "./journal.ts";
import { byStatement, type Selection, type StatementForm } from "./measures.ts";
import { QueryRepository } from "./query.repository.ts";
import type { GroupComparison } from "./resolve.ts";
import { type CompleteUntil, cutSources, type Source } from "./sources.ts";
import type { Plan } from "./sql.ts";
import { type ComparedReading, passingCondition, type Reading } from "./statements.ts";
import { cutSteps, type StepsAsked } from "./steps-asked.ts";
import { formatLength, type Steps, type TimeRange, WINDOW_MS } from "./time-range.ts";

const DAY_MS = 86_400_000;

/** More rows are read only when no coarser step reads fewer. */
const ROWS_WANTED_MAX = 1_000_000;
/** The same for many hosts: half a second of work is too long for each panel of a page. Of few hosts most of what is counted here are neighbours in the same granules. */
const FLEET_ROWS_WANTED_MAX = 500_000;
const FEW_HOSTS = 100;
/** How much longer than what was asked a single step may become. */
const WIDENING_MAX = 1.1;
/** The rate of a whole fleet is put together host by host, which is exact also for hosts that were away, up to this many rows. */
const ROWS_EXACT_RATE_MAX = 200_000;
/** What a host has per window and signal at most (the agent's cap is higher, but no known host comes near it). Only decides whether to ask ClickHouse. */
const KEYS_PER_HOST = 100;
const KEYS_PER_FLEET = 2_000;

/** A plan with its steps chosen, and which tables answer what. */
export interface Planned {
  readonly plan: Plan;
  readonly readings: readonly Reading[];
  /** The range as one step, of the scope of the reading that is ranked by. */
  readonly volumeSources: readonly Source[];
  /** Coverage of each host over the whole range. */
  readonly hostSources: readonly Source[];
  /** Coverage of all hosts per step. */
  readonly stepSources: readonly Source[];
  /** Coverage of single hosts per step. */
  readonly hostStepSources: readonly Source[];
  /** Comparisons that groups must pass, and what they are read from. */
  readonly compared: readonly ComparedReading[];
  /** What the chosen levels can only approximate, in words. */
  readonly notes: readonly string[];
  readonly choice: Choice;
}

/** How steps and levels were chosen. */
export interface Choice {
  /** Why the step is as long as it is. */
  readonly why: string;
  readonly rows: number;
  /** The steps that were weighed, finest first. */
  readonly considered: readonly { readonly level: Level; readonly stepMs: number; readonly rows: number; readonly isChosen: boolean }[];
}

/** What a plan still lacks, and what it is made of. */
export interface Asked {
  readonly plan: Omit<Plan, "steps" | "passing">;
  readonly comparisons: readonly GroupComparison[];
  /** How many hosts the plan reads. */
  readonly hostCount: number;
  readonly journal: Journal;
}

type Reader = Pick<Planned, "plan" | "readings" | "volumeSources" | "hostSources" | "stepSources" | "hostStepSources" | "compared" | "notes">;

interface Candidate {
  readonly scope: Scope;
  readonly coarsest: Level;
  /** Taken if it reads no more rows. */
  readonly rowsMax: number;
}

/** Chooses steps and levels: as fine as asked, as long as that stays affordable. */
@Injectable()
export class QueryPlanner {
  constructor(
    @Inject(QueryRepository) private readonly repository: QueryRepository,
    @Inject(RollupProgress) private readonly progress: RollupProgress,
    @Inject(Config) private readonly config: Config,
  ) {}

  /**
   * Chooses the steps of a range and what is read for them.
   * @throws AppError as of `QueryRepository.run`
   */
  async choose(asked: Asked, range: TimeRange, stepsAsked: StepsAsked, nowMs: number, signal: AbortSignal | undefined): Promise<Planned> {
    const kept = this.config.retention.daysOf(asked.plan.signal.name);
    const isKept = (level: Level, fromMs: number): boolean => fromMs >= nowMs - kept[level] * DAY_MS;
    const grains = levels.map((level) => ({ level, grainMs: level === "raw" ? (stepsAsked.rawGrainMs ?? WINDOW_MS) : levelMs[level] }));
    const possible = grains.filter(({ level }, index) => isKept(level, range.fromMs) || index === grains.length - 1);
    const rowsMax = asked.hostCount > FEW_HOSTS ? FLEET_ROWS_WANTED_MAX : ROWS_WANTED_MAX;

    const weighed: { readonly level: Level; readonly reader: Reader; readonly rows: number }[] = [];
    let chosen: (typeof weighed)[number] | undefined;
    for (const { level, grainMs } of possible) {
      const steps = cutSteps(range, stepsAsked, grainMs, level === "raw" ? undefined : this.completeUntil(level, "host"));
      // One value over a range is a value of that range: its ends move out by a little, never to another question.
      if (chosen !== undefined && steps.count === 1 && steps.stepMs > (range.toMs - range.fromMs) * WIDENING_MAX) continue;
      const before = chosen?.reader.plan.steps;
      if (before !== undefined && steps.fromMs === before.fromMs && steps.stepMs === before.stepMs) continue;
      const candidate = { level, ...(await this.read(asked, steps, (finest) => isKept(finest, steps.fromMs), signal)) };
      weighed.push(candidate);
      if (chosen === undefined || candidate.rows < chosen.rows) chosen = candidate;
      if (chosen.rows <= rowsMax) break;
    }
    if (chosen === undefined) throw new TypeError("there is no level");
    const { reader, rows } = chosen;
    const considered = weighed.map((one) => ({ level: one.level, stepMs: one.reader.plan.steps.stepMs, rows: one.rows, isChosen: one === chosen }));
    const choice: Choice = { why: this.why(stepsAsked, chosen, weighed[0], possible[0]?.level ?? "raw", rowsMax), rows, considered };
    if (isKept("1h", range.fromMs)) return { ...reader, choice };
    const note = `The range begins before the retention of ${kept["1h"]} days.`;
    return { ...reader, choice, notes: [note, ...reader.notes] };
  }

  /** The same question about other steps: an earlier window, whose steps are given. */
  async again(asked: Asked, steps: Steps, nowMs: number, signal: AbortSignal | undefined): Promise<Planned> {
    const kept = this.config.retention.daysOf(asked.plan.signal.name);
    const isKept = (level: Level): boolean => steps.fromMs >= nowMs - kept[level] * DAY_MS;
    const { reader, rows } = await this.read(asked, steps, isKept, signal);
    const isLost = !isKept("1h") || reader.readings.some(({ sources }) => sources.some(({ level, fromMs }) => fromMs < nowMs - kept[level] * DAY_MS));
    const notes = isLost ? ["The earlier window begins before the retention of the rows that its steps are made of.", ...reader.notes] : reader.notes;
    return { ...reader, notes, choice: { why: "as long as the steps it stands beside", rows, considered: [] } };
  }

  private completeUntil: CompleteUntil = (level, scope) => this.progress.completeUntilMs(stepOf(level, scope));

  private why(
    asked: StepsAsked,
    chosen: { readonly level: Level; readonly rows: number },
    finest: { readonly rows: number } | undefined,
    kept: Level,
    rowsMax: number,
  ): string {
    const wanted = asked.stepMs !== null ? `a step of ${formatLength(asked.stepMs)} was asked for` : `at most ${asked.points} steps were asked for`;
    if (finest !== undefined && finest !== chosen && chosen.level !== kept)
      return `${wanted}; finer steps would read about ${finest.rows} rows, more than the ${rowsMax} that are read where a coarser step reads fewer`;
    if (kept !== "raw") return `${wanted}; the range begins before rows finer than ${kept} are kept`;
    return `${wanted}, and the shortest that this gives reads few enough rows`;
  }

  private async read(
    asked: Asked,
    steps: Steps,
    isKept: (level: Level) => boolean,
    signal: AbortSignal | undefined,
  ): Promise<{ reader: Reader; rows: number }> {
    const { hostCount, comparisons } = asked;
    const bare: Plan = { ...asked.plan, steps };
    const cut = (of: Steps, scope: Scope, coarsest: Level = "1h"): readonly Source[] => cutSources(of, scope, coarsest, this.completeUntil);
    const whole = { ...steps, stepMs: steps.toMs - steps.fromMs, count: 1 };
    const hostSources = cut(whole, "host");
    const stepSources = cut(steps, bare.hosts === null ? "fleet" : "host");
    // Of coverage a host has one row at a time, hardly ever two; a fleet's are few. For one step the hosts' own say it all.
    const coverageSources = steps.count === 1 ? hostSources : [...hostSources, ...stepSources];
    let rows = coverageSources.reduce((sum, source) => sum + (source.scope === "host" ? rowsPerKey(source) * hostCount : 0), 0);
    const notes = new Set<string>();
    const readingOf = async (
      of: Steps,
      form: StatementForm,
      selections: readonly Selection[],
      candidates: readonly Candidate[],
    ): Promise<Reading> => {
      for (const { scope, coarsest, rowsMax } of candidates) {
        const reading: Reading = { form, selections, sources: cut(of, scope, coarsest), coverage: cut(of, "host", coarsest) };
        const estimate = await this.estimate(asked, bare, reading.sources, signal);
        // Host by host a rate reads how long each host reported, too: of a large fleet that is more than the rows of a rare signal.
        const beside = form === "sums" && scope === "host" ? reading.coverage.reduce((sum, source) => sum + rowsPerKey(source) * hostCount, 0) : 0;
        if (estimate + beside > rowsMax) continue;
        rows += estimate;
        if (form === "gaugesByWindow" && reading.sources.some((source) => source.level !== "raw"))
          notes.add("min and max of several keys or hosts are bounds: each gives its own extreme of a minute or hour.");
        return reading;
      }
      throw new TypeError("there is no way to read it");
    };
    const compared: ComparedReading[] = [];
    for (const comparison of comparisons) {
      const { selection } = comparison;
      for (const [form, selections] of byStatement([selection])) {
        const candidates = candidatesOf({ ...bare, steps: whole }, form, selections, isKept);
        // Time that hosts reported stands beside hosts' rows only.
        const exact =
          selection.aggregate === "rate"
            ? candidates.filter(({ scope }) => scope === "host").map((candidate) => ({ ...candidate, rowsMax: Number.POSITIVE_INFINITY }))
            : candidates;
        compared.push({ comparison, reading: await readingOf(whole, form, selections, exact) });
      }
    }
    const plan: Plan = compared.length === 0 || bare.by.length === 0 ? bare : { ...bare, passing: passingCondition(bare, compared) };
    const readings: Reading[] = [];
    for (const [form, selections] of byStatement(plan.selections))
      readings.push(await readingOf(steps, form, selections, candidatesOf(plan, form, selections, isKept)));
    const first = readings.find((reading) => reading.selections.includes(plan.selections[0] as Selection));
    const isFleet = first?.sources.some((source) => source.scope === "fleet") ?? false;
    return {
      reader: {
        plan,
        readings,
        volumeSources: cut(whole, isFleet ? "fleet" : "host"),
        hostSources,
        stepSources,
        hostStepSources: cut(steps, "host"),
        compared,
        notes: [...notes],
      },
      rows: Math.round(rows),
    };
  }

  /** How many rows would be read; 0 where they are certainly few. */
  private async estimate({ hostCount, journal }: Asked, plan: Plan, sources: readonly Source[], signal: AbortSignal | undefined): Promise<number> {
    const bound = sources.reduce((sum, source) => {
      const keys = source.scope === "fleet" ? KEYS_PER_FLEET : hostCount * KEYS_PER_HOST;
      return sum + rowsPerKey(source) * keys;
    }, 0);
    return bound <= ROWS_EXACT_RATE_MAX ? 0 : journal.wait(() => this.repository.estimateRows(plan, sources, signal, journal));
  }
}

function rowsPerKey({ level, fromMs, toMs }: Source): number {
  return (toMs - fromMs) / (level === "raw" ? WINDOW_MS : levelMs[level]);
}

/** Ways to read a form, best first; the last one is taken whatever it costs. */
function candidatesOf(plan: Plan, form: StatementForm, selections: readonly Selection[], isKept: (level: Level) => boolean): readonly Candidate[] {
  const any = Number.POSITIVE_INFINITY;
  const host: Candidate = { scope: "host", coarsest: "1h", rowsMax: any };
  if (form === "gaugesByHost") return [host];
  if (form === "gaugesByWindow") {
    // Only raw rows know moments; minutes come nearer to them than hours. A day is never read window by window.
    const isLong = plan.steps.toMs - plan.steps.fromMs >= DAY_MS;
    const finer = levels
      .filter((level) => level !== "1h" && isKept(level) && !(level === "raw" && isLong))
      .map((coarsest) => ({ ...host, coarsest, rowsMax: ROWS_WANTED_MAX }));
    return [...finer, host];
  }
  const used = [...plan.by, ...plan.filters.map((filter) => filter.key)];
  const isFleet =
    plan.hosts === null && used.every((name) => name !== "host" && !isHostKey(name) && dimensions[name as keyof typeof dimensions].fleet);
  if (!isFleet) return [host];
  const isRate = selections.some((selection) => selection.aggregate === "rate");
  return [...(isRate ? [{ ...host, rowsMax: ROWS_EXACT_RATE_MAX }] : []), { scope: "fleet", coarsest: "1h", rowsMax: any }];
}
