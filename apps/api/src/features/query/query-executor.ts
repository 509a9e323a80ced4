// SPDX-License-Identifier: Apache-2.0
import { Inject, Injectable } from "@nestjs/common";
import type { Caller } from "../../common/caller.ts";
import { Clock } from "../../common/clock.ts";
import { Config } from "../../config/config.ts";
import { rowsToCount } from "./answer-cost.ts";
import { factSources } from "./fact-sources.ts";
import { indexOf } from "./host-lists.ts";
import type { Planned } from "./planner.ts";
import { QueryRepository } from "./query.repository.ts";
import type { Answer, Coverage, Query } from "./query.schemas.ts";
import { type AskedHosts, type ChosenPlan, QueryService } from "./query.service.ts";
import type { Source } from "./sources.ts";
import type { Plan, Statement } from "./sql.ts";

/** A query of one value over its range. */
export type RangeQuery = Omit<Query, "explain" | "points">;

/** How questions are answered that take several plans and statements of their own: topology, profiles, processes, … */
@Injectable()
export class QueryExecutor {
  constructor(
    @Inject(QueryService) private readonly queries: QueryService,
    @Inject(QueryRepository) private readonly repository: QueryRepository,
    @Inject(Clock) private readonly clock: Clock,
    @Inject(Config) private readonly config: Config,
  ) {}

  /**
   * Begins to answer a question.
   * @param signal aborts all that is read for it
   */
  begin(caller: Caller, signal?: AbortSignal): Execution {
    const { queries, repository, clock, config } = this;
    return new Execution({ queries, repository, minutesOfFactsDays: config.retention.daysOf(FACTS)["1m"] }, caller, clock.now(), signal);
  }
}

const FACTS = "host_facts";

interface ExecutionServices {
  readonly queries: QueryService;
  readonly repository: QueryRepository;
  /** How long minutes of facts are kept. */
  readonly minutesOfFactsDays: number;
}

/** One question on its way to its answer, and what it has cost so far. All of it throws AppError as `QueryService.query` does. */
export class Execution {
  private readonly startedAtMs = performance.now();
  private rows = 0;

  constructor(
    private readonly services: ExecutionServices,
    private readonly caller: Caller,
    /** When it began, Unix milliseconds. */
    readonly nowMs: number,
    private readonly signal: AbortSignal | undefined,
  ) {}

  /** Rows that ClickHouse read for it. */
  get rowsRead(): number {
    return this.rows;
  }

  /** Since it began, to a tenth. */
  get elapsedMs(): number {
    return Math.round((performance.now() - this.startedAtMs) * 10) / 10;
  }

  /** Names checked, hosts found, levels chosen. */
  plan(query: RangeQuery): Promise<ChosenPlan> {
    return this.services.queries.plan(this.caller, query, this.signal);
  }

  /** The one value of each group over the range. */
  async answer(query: RangeQuery): Promise<Answer> {
    // It stands beside others of the same range.
    const options = { isOfThisRange: true };
    const answer = await this.services.queries.query(this.caller, { ...query, points: 1, explain: false }, this.signal, options);
    this.rows += rowsToCount(answer);
    return answer;
  }

  /** How well a plan's signal is covered over its range. */
  async coverage(chosen: ChosenPlan): Promise<AskedHosts & { readonly coverage: Coverage }> {
    const asked = await this.services.queries.coverage(chosen, this.signal);
    this.rows += asked.rowsRead;
    return asked;
  }

  /** Rows of a statement of a plan; none, and nothing is asked, where no host matches. */
  async read<Row>({ planned }: Pick<ChosenPlan, "planned">, statementOf: (planned: Planned) => Statement): Promise<Row[]> {
    return planned.plan.hosts?.length === 0 ? [] : this.run<Row>(statementOf(planned));
  }

  /** @param statement null: there is nothing to be asked */
  async run<Row>(statement: Statement | null): Promise<Row[]> {
    if (statement === null) return [];
    const { rows, rowsRead } = await this.services.repository.run<Row>(statement, this.signal);
    this.rows += rowsRead;
    return rows;
  }

  /**
   * Where facts of all hosts of the organisation are read.
   * @param where filter on `host_facts`
   */
  async facts({ where, fromMs, toMs }: { readonly where: string; readonly fromMs: number; readonly toMs: number }): Promise<{
    readonly plan: Plan;
    readonly sources: readonly Source[];
  }> {
    const { repository, minutesOfFactsDays } = this.services;
    // By host, as fleet rows have no facts.
    const query = { signal: FACTS, select: [{ measure: "windows", aggregate: "sum" }], by: ["host"], where, from: fromMs, to: toMs, limit: 1 };
    const { planned } = await this.plan(query);
    const hours = planned.readings[0]?.sources ?? [];
    const sources = await factSources(repository, planned.plan, hours, { nowMs: this.nowMs, minutesKeptDays: minutesOfFactsDays }, this.signal);
    return { plan: planned.plan, sources };
  }
}

/** What hosts of a plan's organisation are called, by id. */
export function hostNames({ known }: Pick<ChosenPlan, "known">): (id: string) => string {
  const { byId } = indexOf(known);
  return (id) => byId.get(id)?.name ?? id;
}
