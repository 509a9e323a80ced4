// SPDX-License-Identifier: Apache-2.0
import { type Filter, isHostKey } from "@waggle/query";
import type { SeriesRow } from "./assemble.ts";
import type { Selection } from "./measures.ts";
import { type MergeableForm, mergeSteps } from "./rank-totals.ts";
import type { Together } from "./read-steps.ts";
import { filterCondition, type Parameters, type Plan } from "./sql.ts";
import { type Reading, seriesStatement } from "./statements.ts";

/** A page that follows the present asks all its questions again every ten seconds. */
const ASKED_MS = 30_000;
/** As long as an answer of the same frames is handed out again. */
const BUILT_KEPT_MS = 10_000;
/** Hosts, signals and forms. */
const SUBJECTS_MAX = 5_000;
const MEMBERS_MAX = 12;
/** Rows of groups that are told apart by all that is asked. */
const ROWS_MAX = 20_000;
/** Of longer stretches each question has its own statement, which gives less rows. */
const STRETCH_MS_MAX = 300_000;

/** What a question asks of a row, but for the time. */
interface Member {
  readonly by: readonly string[];
  readonly filters: readonly Filter[];
  readonly selections: readonly Selection[];
  readonly key: string;
}

/** What answers all members at once. */
interface Wide {
  readonly members: ReadonlySet<string>;
  readonly by: readonly string[];
  readonly selections: readonly Selection[];
  readonly marks: readonly { readonly key: string; readonly filters: readonly Filter[] }[];
  /** Whether each member has filters: then rows that none of them lets pass are not wanted. */
  readonly isFiltered: boolean;
  readonly atMs: number;
}

interface Subject {
  readonly asked: Map<string, { readonly member: Member; atMs: number }>;
  /** By range, so that all who ask about one range ask the same. */
  readonly built: Map<string, Wide>;
  isTooWide: boolean;
}

/**
 * The page of a host asks several questions about one signal, which differ in what they group by and filter: clients, servers, units and paths are all made of the connections' rows. So whoever asks about
 * few hosts' rolled-up rows or a short stretch of their raw ones asks for groups that are told apart by all that was asked about the signal lately, with a mark for each filter that says whether the group passes it, and puts its
 * own groups together out of these. The statement is the same for all of them, and is run once.
 */
export class ValuesTogether {
  /** The one asked about longest ago is first. */
  private readonly subjects = new Map<string, Subject>();

  /**
   * How to ask a question together with those that were asked lately; undefined: nothing else was, or it cannot be.
   * @param plan of few hosts, which are named
   * @param form that of the reading, in which groups can be put together
   */
  of(plan: Plan, reading: Reading, form: MergeableForm, nowMs: number): Together<SeriesRow> | undefined {
    // What is known of hosts is known to the one question only.
    if (plan.by.some(isHostKey) || plan.passing !== undefined) return undefined;
    const member = memberOf(plan, reading, form);
    const subject = this.subjectOf(plan, form);
    subject.asked.set(member.key, { member, atMs: nowMs });
    for (const [key, { atMs }] of subject.asked) if (nowMs - atMs > ASKED_MS) subject.asked.delete(key);
    for (const [range, { atMs }] of subject.built) if (nowMs - atMs > BUILT_KEPT_MS) subject.built.delete(range);
    if (subject.isTooWide || subject.asked.size < 2 || subject.asked.size > MEMBERS_MAX) return undefined;
    const { fromMs, toMs, stepMs } = plan.steps;
    const range = `${fromMs} ${toMs} ${stepMs}`;
    let wide = subject.built.get(range);
    if (wide === undefined || !wide.members.has(member.key)) {
      wide = wideOf([...subject.asked.values()].map((one) => one.member).sort(byKey), form, nowMs);
      subject.built.set(range, wide);
    }
    return togetherOf(plan, reading, form, member, wide, () => {
      subject.isTooWide = true;
    });
  }

  private subjectOf({ tenant, hosts, signal, steps }: Plan, form: MergeableForm): Subject {
    const key = JSON.stringify([tenant, signal.name, form, steps.count === 1, hosts]);
    const subject = this.subjects.get(key) ?? { asked: new Map(), built: new Map(), isTooWide: false };
    this.subjects.delete(key);
    this.subjects.set(key, subject);
    const [oldest] = this.subjects.size > SUBJECTS_MAX ? this.subjects.keys() : [];
    if (oldest !== undefined) this.subjects.delete(oldest);
    return subject;
  }
}

const byKey = (a: { readonly key: string }, b: { readonly key: string }): number => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0);

function memberOf({ by, filters }: Plan, { selections }: Reading, form: MergeableForm): Member {
  // Only sums have columns of their own for each measure.
  const measures = form === "sums" ? selections.map(({ measure }) => measure) : [];
  return { by, filters, selections, key: JSON.stringify([by, filters, measures]) };
}

function wideOf(members: readonly Member[], form: MergeableForm, atMs: number): Wide {
  const measures = new Map(members.flatMap(({ selections }) => selections.map((selection) => [selection.measure, selection] as const)));
  const filtered = members.filter(({ filters }) => filters.length > 0);
  const marks = new Map(filtered.map(({ filters }) => [JSON.stringify(filters), filters]));
  return {
    members: new Set(members.map(({ key }) => key)),
    by: [...new Set(members.flatMap(({ by }) => by))].sort(),
    selections: form === "sums" ? [...measures.values()].sort((a, b) => (a.measure < b.measure ? -1 : 1)) : [],
    marks: [...marks].map(([key, filters]) => ({ key, filters })).sort(byKey),
    isFiltered: filtered.length === members.length,
    atMs,
  };
}

function togetherOf(plan: Plan, reading: Reading, form: MergeableForm, member: Member, wide: Wide, giveUp: () => void): Together<SeriesRow> {
  const passing = (parameters: Parameters): string =>
    `(${wide.marks.map(({ filters }) => `(${filters.map((filter) => filterCondition(filter, parameters)).join(" AND ")})`).join(" OR ")})`;
  return {
    stretchMsMax: STRETCH_MS_MAX,
    rowsMax: ROWS_MAX,
    giveUp,
    statement: (some, cut) => {
      const all: Plan = {
        ...some,
        by: wide.by,
        filters: [],
        selections: wide.selections,
        marks: wide.marks.map(({ filters }) => filters),
        ...(wide.isFiltered ? { passing } : {}),
      };
      // Rates are made of sums, later.
      const of: Reading = { ...reading, form, selections: wide.selections, sources: cut(reading.sources), isOfFleet: true };
      return seriesStatement(all, of, null, ROWS_MAX + 1);
    },
    own: (rows) => {
      const filters = JSON.stringify(member.filters);
      const at = wide.marks.findIndex(({ key }) => key === filters);
      const names = member.by.map((name, index) => [`g${index}`, `g${wide.by.indexOf(name)}`] as const);
      const values =
        form === "sums"
          ? member.selections.map(({ measure }, index) => [`v${index}`, `v${wide.selections.findIndex((one) => one.measure === measure)}`] as const)
          : columnsOf[form].map((name) => [name, name] as const);
      const columns = [["step", "step"] as const, ...names, ...values];
      const passed = at < 0 ? rows : rows.filter((row) => row[`m${at}`] === 1);
      return mergeSteps(
        plan,
        form,
        passed.map((row) => Object.fromEntries(columns.map(([to, from]) => [to, row[from]]))),
      );
    },
  };
}

const columnsOf = { extents: ["n", "total", "lowest", "highest"], buckets: ["indexes", "counts", "lowest", "highest"] } as const;
