// SPDX-License-Identifier: Apache-2.0
import { Inject, Injectable } from "@nestjs/common";
import { dimensions, type Level, levelMs, levels, type Scope } from "@waggle/signals";
import { Config } from "../../config/config.ts";
import { RollupProgress } from "../rollups/rollup-progress.service.ts";
import { stepOf } from "../rollups/steps.ts";
import { byStatement, type Selection, type StatementForm } from "./measures.ts";
import { QueryRepository } from "./query.repository.ts";
import { type CompleteUntil, cutSources, type Source } from "./sources.ts";
import type { Plan } from "./sql.ts";
import type { Reading } from "./statements.ts";
import { planSteps, type Steps, type TimeRange, WINDOW_MS } from "./time-range.ts";

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
  /** What the chosen levels can only approximate, in words. */
  readonly notes: readonly string[];
}

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
   * @param plan without steps
   * @param hostCount how many hosts the plan reads
   * @param rawGrainMs shortest step of raw rows: less than a default window for hosts whose windows are shorter
   * @throws AppError as of `QueryRepository.run`
   */
  async choose(
    plan: Omit<Plan, "steps">,
    range: TimeRange,
    points: number,
    hostCount: number,
    nowMs: number,
    signal: AbortSignal | undefined,
    rawGrainMs = WINDOW_MS,
  ): Promise<Planned> {
    const completeUntil: CompleteUntil = (level, scope) => this.progress.completeUntilMs(stepOf(level, scope));
    const kept = this.config.retention.daysOf(plan.signal.name);
    const isKept = (level: Level, fromMs: number): boolean => fromMs >= nowMs - kept[level] * DAY_MS;
    const grains = levels.map((level) => ({ level, grainMs: level === "raw" ? rawGrainMs : levelMs[level] }));
    const possible = grains.filter(({ level }, index) => isKept(level, range.fromMs) || index === grains.length - 1);

    let chosen: { planned: Planned; rows: number } | undefined;
    for (const { level, grainMs } of possible) {
      const steps = planSteps(range, points, grainMs, level === "raw" ? undefined : completeUntil(level, "host"));
      // One value over a range is a value of that range: its ends move out by a little, never to another question.
      if (chosen !== undefined && steps.count === 1 && steps.stepMs > (range.toMs - range.fromMs) * WIDENING_MAX) continue;
      if (chosen !== undefined && steps.fromMs === chosen.planned.plan.steps.fromMs && steps.stepMs === chosen.planned.plan.steps.stepMs) continue;
      const candidate = await this.read({ ...plan, steps }, hostCount, completeUntil, (finest) => isKept(finest, steps.fromMs), signal);
      if (chosen === undefined || candidate.rows < chosen.rows) chosen = candidate;
      if (chosen.rows <= (hostCount > FEW_HOSTS ? FLEET_ROWS_WANTED_MAX : ROWS_WANTED_MAX)) break;
    }
    if (chosen === undefined) throw new TypeError("there is no level");
    if (isKept("1h", range.fromMs)) return chosen.planned;
    const note = `The range begins before the retention of ${kept["1h"]} days.`;
    return { ...chosen.planned, notes: [note, ...chosen.planned.notes] };
  }

  private async read(
    plan: Plan,
    hostCount: number,
    completeUntil: CompleteUntil,
    isKept: (level: Level) => boolean,
    signal: AbortSignal | undefined,
  ): Promise<{ planned: Planned; rows: number }> {
    const { steps } = plan;
    const cut = (of: Steps, scope: Scope, coarsest: Level = "1h"): readonly Source[] => cutSources(of, scope, coarsest, completeUntil);
    const whole = { ...steps, stepMs: steps.toMs - steps.fromMs, count: 1 };
    const hostSources = cut(whole, "host");
    const stepSources = cut(steps, plan.hosts === null ? "fleet" : "host");
    // Of coverage a host has one row at a time, hardly ever two; a fleet's are few. For one step the hosts' own say it all.
    const coverageSources = steps.count === 1 ? hostSources : [...hostSources, ...stepSources];
    let rows = coverageSources.reduce((sum, source) => sum + (source.scope === "host" ? rowsPerKey(source) * hostCount : 0), 0);
    const readings: Reading[] = [];
    const notes: string[] = [];
    for (const [form, selections] of byStatement(plan.selections)) {
      const candidates = candidatesOf(plan, form, selections, isKept);
      for (const { scope, coarsest, rowsMax } of candidates) {
        const reading: Reading = { form, selections, sources: cut(steps, scope, coarsest), coverage: cut(steps, "host", coarsest) };
        const estimate = await this.estimate(plan, reading.sources, hostCount, signal);
        if (estimate > rowsMax) continue;
        rows += estimate;
        readings.push(reading);
        if (form === "gaugesByWindow" && reading.sources.some((source) => source.level !== "raw"))
          notes.push("min and max of several keys or hosts are bounds: each gives its own extreme of a minute or hour.");
        break;
      }
    }
    const first = readings.find((reading) => reading.selections.includes(plan.selections[0] as Selection));
    const isFleet = first?.sources.some((source) => source.scope === "fleet") ?? false;
    return {
      planned: {
        plan,
        readings,
        volumeSources: cut(whole, isFleet ? "fleet" : "host"),
        hostSources,
        stepSources,
        hostStepSources: cut(steps, "host"),
        notes,
      },
      rows,
    };
  }

  /** How many rows would be read; 0 where they are certainly few. */
  private async estimate(plan: Plan, sources: readonly Source[], hostCount: number, signal: AbortSignal | undefined): Promise<number> {
    const bound = sources.reduce((sum, source) => {
      const keys = source.scope === "fleet" ? KEYS_PER_FLEET : hostCount * KEYS_PER_HOST;
      return sum + rowsPerKey(source) * keys;
    }, 0);
    return bound <= ROWS_EXACT_RATE_MAX ? 0 : this.repository.estimateRows(plan, sources, signal);
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
    // Only raw rows know moments; minutes come nearer to them than hours.
    const finer = levels.filter((level) => level !== "1h" && isKept(level)).map((coarsest) => ({ ...host, coarsest, rowsMax: ROWS_WANTED_MAX }));
    return [...finer, host];
  }
  const used = [...plan.by, ...plan.filters.map((filter) => filter.key)];
  const isFleet = plan.hosts === null && used.every((name) => name !== "host" && dimensions[name as keyof typeof dimensions].fleet);
  if (!isFleet) return [host];
  const isRate = selections.some((selection) => selection.aggregate === "rate");
  return [...(isRate ? [{ ...host, rowsMax: ROWS_EXACT_RATE_MAX }] : []), { scope: "fleet", coarsest: "1h", rowsMax: any }];
}
