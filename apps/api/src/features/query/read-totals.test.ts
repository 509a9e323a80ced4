// SPDX-License-Identifier: Apache-2.0
import { getSignalOrThrow } from "@waggle/signals";
import { beforeEach, describe, expect, it } from "vitest";
import { KeptTotals } from "./kept-totals.ts";
import type { Together } from "./read-steps.ts";
import { readTotals } from "./read-totals.ts";
import type { Source } from "./sources.ts";
import { Parameters, type Plan, type Statement, scopeOf } from "./sql.ts";

const SECOND = 1_000;
const MINUTE = 60_000;

interface Row {
  readonly value: number;
}

/** What is stored, by start of its window, and how often each window was written to. */
let stored: Map<number, { value: number; frames: number }>;
let kept: KeptTotals<Row>;
/** Answers of what is rolled up, which whoever runs statements keeps. */
let rolledUp: Map<string, (Row & { readonly step: number })[]>;
let asked: { readonly level: string; readonly fromMs: number; readonly toMs: number; readonly asOf: string | undefined }[][];

const store = (atMs: number, value: number): void => {
  const known = stored.get(atMs);
  stored.set(atMs, { value: (known?.value ?? 0) + value, frames: (known?.frames ?? 0) + 1 });
};
const sum = (rows: readonly Row[]): readonly Row[] => [{ value: rows.reduce((total, row) => total + row.value, 0) }];
const between = (fromMs: number, toMs: number): number =>
  [...stored].filter(([atMs]) => atMs >= fromMs && atMs < toMs).reduce((total, [, { value }]) => total + value, 0);

const plan = (fromMs: number, toMs: number): Plan => ({
  tenant: "t",
  signal: getSignalOrThrow("tcp_rtt"),
  selections: [],
  by: [],
  filters: [],
  hosts: ["h"],
  steps: { fromMs, toMs, stepMs: toMs - fromMs, count: 1 },
  limit: 10,
});

/** Rolled up are whole minutes until `rolledUntilMs`. */
function sourcesOf({ steps: { fromMs, toMs } }: Plan, rolledUntilMs: number): Source[] {
  const firstMs = Math.ceil(fromMs / MINUTE) * MINUTE;
  return (
    [
      { level: "raw", scope: "host", fromMs, toMs: firstMs },
      { level: "1m", scope: "host", fromMs: firstMs, toMs: rolledUntilMs },
      { level: "raw", scope: "host", fromMs: rolledUntilMs, toMs },
    ] as const
  ).filter((source) => source.fromMs < source.toMs);
}

interface Options {
  readonly nowMs?: number;
  readonly rolledUntilMs?: number;
  readonly rowsMax?: number;
  readonly together?: (sources: readonly Source[]) => Together<Row>;
}

async function read(
  of: Plan,
  { nowMs = 10 * MINUTE, rolledUntilMs = 3 * MINUTE, rowsMax = 100, together }: Options = {},
): Promise<number | undefined> {
  const sources = sourcesOf(of, rolledUntilMs);
  const rows = await readTotals<Row>(
    {
      plan: of,
      sources,
      merge: sum,
      rowsMax,
      ...(together === undefined ? {} : { together: together(sources) as Together<unknown> }),
      statement: (some, cut): Statement => {
        const parameters = new Parameters();
        const parts = cut(sources);
        const sql = parts.map((source) => `${source.level} ${scopeOf(some, source, parameters)}`).join(" and ");
        return { sql, parameters: { ...parameters.values, steps: some.steps, parts } };
      },
    },
    {
      kept,
      nowMs,
      versions: async () => (fromMs, toMs) =>
        JSON.stringify([...stored].filter(([atMs]) => atMs >= fromMs && atMs < toMs).map(([atMs, { frames }]) => [atMs, frames])),
      run: async ({ parameters, asOf }) => {
        const { fromMs, stepMs } = parameters["steps"] as Plan["steps"];
        const parts = parameters["parts"] as Source[];
        asked.push(parts.map((part) => ({ level: part.level, fromMs: part.fromMs, toMs: part.toMs, asOf })));
        const name = JSON.stringify(parameters);
        const known = asOf === undefined ? rolledUp.get(name) : undefined;
        if (known !== undefined) return known;
        const rows = parts.flatMap((part) =>
          [...stored]
            .filter(([atMs]) => atMs >= part.fromMs && atMs < part.toMs)
            .map(([atMs, { value }]) => ({ step: Math.floor((atMs - fromMs) / stepMs), value })),
        );
        if (asOf === undefined) rolledUp.set(name, rows);
        return rows;
      },
    },
  );
  return rows?.[0]?.value;
}

const rawParts = () =>
  asked
    .flat()
    .filter(({ level }) => level === "raw")
    .map(({ fromMs, toMs }) => [fromMs / SECOND, toMs / SECOND]);

beforeEach(() => {
  stored = new Map();
  kept = new KeptTotals<Row>(1_000);
  asked = [];
  rolledUp = new Map();
  for (let at = 0; at < 6 * MINUTE; at += 10 * SECOND) store(at, 1 + at / SECOND);
});

describe("a value over a range", () => {
  it("is what its stretches come to: raw ends, and what is rolled up between them", async () => {
    const of = plan(20 * SECOND, 5 * MINUTE);
    expect(await read(of)).toBe(between(20 * SECOND, 5 * MINUTE));
    expect(asked.map((parts) => parts.map(({ level }) => level))).toEqual([["1m"], ["raw", "raw"]]);
  });

  it("is not put together anew for who asks the same before anything comes", async () => {
    const of = plan(20 * SECOND, 5 * MINUTE);
    await read(of);
    asked = [];
    expect(await read(of)).toBe(between(20 * SECOND, 5 * MINUTE));
    expect(rawParts()).toEqual([]);
  });

  it("reads of a range that moves on the ends, and what is settled only once", async () => {
    await read(plan(20 * SECOND, 5 * MINUTE), { nowMs: 5 * MINUTE });
    asked = [];
    store(5 * MINUTE, 5);
    expect(await read(plan(30 * SECOND, 5 * MINUTE + 10 * SECOND), { nowMs: 5 * MINUTE + 10 * SECOND })).toBe(
      between(30 * SECOND, 5 * MINUTE + 10 * SECOND),
    );
    // Settled until 4:30 the last time.
    expect(rawParts()).toEqual([
      [30, 60],
      [270, 310],
    ]);
    // The rolled-up part is the same statement within a minute.
    expect(asked.flat().find(({ level }) => level === "1m")).toMatchObject({ fromMs: MINUTE, toMs: 3 * MINUTE, asOf: undefined });
  });

  it("reads all raw rows again when a late frame comes to what was settled, or more is rolled up", async () => {
    const of = plan(0, 5 * MINUTE);
    await read(of);
    asked = [];
    store(3 * MINUTE + 20 * SECOND, 1_000);
    expect(await read(of)).toBe(between(0, 5 * MINUTE));
    expect(rawParts()).toEqual([[180, 300]]);
    asked = [];
    expect(await read(of, { rolledUntilMs: 4 * MINUTE })).toBe(between(0, 5 * MINUTE));
    expect(rawParts()).toEqual([[240, 300]]);
  });

  it("of few hosts is put together anew also where a late frame comes to its first windows", async () => {
    const of = plan(20 * SECOND, 5 * MINUTE);
    await read(of);
    asked = [];
    store(30 * SECOND, 1_000);
    expect(await read(of)).toBe(between(20 * SECOND, 5 * MINUTE));
    expect(rawParts()).toEqual([[20, 60]]);
  });

  it("is read together with others where they ask about the same rows, and alone where that gives too many", async () => {
    let given = 0;
    const together =
      (rowsMax: number) =>
      (sources: readonly Source[]): Together<Row> => ({
        stretchMsMax: 2 * MINUTE,
        rowsMax,
        giveUp: () => given++,
        statement: (some, cut) => {
          const parameters = new Parameters();
          const parts = cut(sources);
          const sql = parts.map((source) => `together ${source.level} ${scopeOf(some, source, parameters)}`).join(" and ");
          return { sql, parameters: { ...parameters.values, steps: some.steps, parts } };
        },
        own: (rows) => rows.map((row) => ({ ...row, value: -row.value })),
      });
    const of = plan(0, 4 * MINUTE);
    expect(await read(of, { together: together(100) })).toBe(-between(0, 4 * MINUTE));
    // Of a longer stretch of raw rows it is not asked together.
    expect(await read(plan(0, 6 * MINUTE), { together: together(100), rolledUntilMs: 2 * MINUTE })).toBe(
      between(2 * MINUTE, 6 * MINUTE) - between(0, 2 * MINUTE),
    );
    expect(given).toBe(0);
    expect(await read(plan(0, 5 * MINUTE), { together: together(5), rolledUntilMs: 4 * MINUTE })).toBe(between(0, 5 * MINUTE));
    expect(given).toBeGreaterThan(0);
    // What is all rolled up, too.
    expect(await read(plan(0, 3 * MINUTE), { together: together(100) })).toBe(-between(0, 3 * MINUTE));
    expect(await read(plan(30 * SECOND, 3 * MINUTE), { together: together(100) })).toBe(-between(30 * SECOND, 3 * MINUTE));
  });

  it("is not taken from another question or organisation", async () => {
    const of = plan(0, 5 * MINUTE);
    await read(of);
    asked = [];
    await read({ ...of, hosts: ["other"] });
    await read({ ...of, tenant: "another" });
    expect(rawParts()).toEqual([
      [180, 300],
      [180, 300],
    ]);
  });

  it("is asked for at once where nothing is rolled up, or nothing else, or there are too many rows", async () => {
    expect(await read(plan(0, 5 * MINUTE), { rolledUntilMs: 0 })).toBeUndefined();
    expect(await read(plan(0, 3 * MINUTE), { rolledUntilMs: 3 * MINUTE })).toBeUndefined();
    expect(asked).toEqual([]);
    expect(await read(plan(0, 5 * MINUTE), { rowsMax: 5 })).toBeUndefined();
    asked = [];
    expect(await read(plan(0, 5 * MINUTE), { rowsMax: 5 })).toBeUndefined();
    expect(asked).toEqual([]);
  });
});

describe("values that are kept", () => {
  const total = (fromMs: number, rows: number) => ({
    fromMs,
    untilMs: fromMs + 1,
    version: "a",
    rows: Array.from({ length: rows }, (_, value) => ({ value })),
    whole: { asOf: "", before: [], rows: [] },
  });

  it("are those of the newest stretch of a question, and go when there is no more room, oldest first", () => {
    const few = new KeptTotals<Row>(5);
    few.put("q", total(0, 2));
    few.put("q", total(10, 2));
    expect(few.get("q", 0)).toBeUndefined();
    expect(few.get("q", 10)?.rows).toHaveLength(2);
    few.put("other", total(0, 2));
    few.get("q", 10);
    few.put("third", total(0, 1));
    expect(few.size).toBe(5);
    few.put("fourth", total(0, 1));
    expect(few.get("other", 0)).toBeUndefined();
    expect(few.get("q", 10)).toBeDefined();
    few.setWide("q");
    expect([few.isWide("q"), few.get("q", 10), few.size]).toEqual([true, undefined, 2]);
  });
});
