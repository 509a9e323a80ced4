// SPDX-License-Identifier: Apache-2.0
import { getSignalOrThrow } from "@waggle/signals";
import { beforeEach, describe, expect, it } from "vitest";
import { KeptSteps } from "./kept-steps.ts";
import { readSteps, type StepQuestion } from "./read-steps.ts";
import type { Source } from "./sources.ts";
import { Parameters, type Plan, type Statement, scopeOf } from "./sql.ts";

const MINUTE = 60_000;

/** What is stored, by start of its window, and how often each window was written to. */
let stored: Map<number, { value: number; frames: number }>;
let kept: KeptSteps<Row>;
let asked: { fromMs: number; toMs: number; asOf: string | undefined }[];

interface Row {
  readonly step: number;
  readonly value: number;
}

const store = (atMs: number, value: number): void => {
  stored.set(atMs, { value, frames: (stored.get(atMs)?.frames ?? 0) + 1 });
};

function plan(fromMs: number, count: number, stepMs = 20_000): Plan {
  const steps = { fromMs, toMs: fromMs + count * stepMs, stepMs, count };
  return { tenant: "t", signal: getSignalOrThrow("tcp_rtt"), selections: [], by: [], filters: [], hosts: ["h"], steps, limit: 10 };
}

const raw = ({ steps: { fromMs, toMs } }: Plan): Source[] => [{ level: "raw", scope: "host", fromMs, toMs }];

/** A statement that says which steps it is about, and reads what it says. */
function question(of: Plan, sources: readonly Source[] = raw(of), rowsMax?: number): StepQuestion {
  const statement = (some: Plan, cut: (sources: readonly Source[]) => readonly Source[]): Statement => {
    const parameters = new Parameters();
    const parts = cut(sources).map((source) => `${source.level} ${scopeOf(some, source, parameters)}`);
    return { sql: `${some.steps.stepMs}: ${parts.join(" and ")}`, parameters: { ...parameters.values, steps: some.steps } };
  };
  return { plan: of, sources, statement, ...(rowsMax === undefined ? {} : { rowsMax }) };
}

async function read(of: StepQuestion, isTold = true): Promise<readonly Row[] | undefined> {
  const versions = async () => (fromMs: number, toMs: number) =>
    JSON.stringify([...stored].filter(([atMs]) => atMs >= fromMs && atMs < toMs).map(([atMs, { frames }]) => [atMs, frames]));
  const rows = await readSteps<Row>(of, {
    kept,
    ...(isTold ? { versions } : {}),
    run: async ({ parameters, asOf }) => {
      const { fromMs, toMs, stepMs } = parameters["steps"] as Plan["steps"];
      asked.push({ fromMs, toMs, asOf });
      return [...stored]
        .filter(([atMs]) => atMs >= fromMs && atMs < toMs)
        .map(([atMs, { value }]) => ({ step: Math.floor((atMs - fromMs) / stepMs), value }));
    },
    onKept: () => {},
  });
  return rows?.toSorted((a, b) => a.step - b.step || a.value - b.value);
}

const ranges = () => asked.map(({ fromMs, toMs }) => [fromMs, toMs]);

beforeEach(() => {
  stored = new Map();
  kept = new KeptSteps<Row>(10_000);
  asked = [];
  for (let at = 0; at < 2 * MINUTE; at += 10_000) store(at, at);
});

describe("steps that are read out of raw rows", () => {
  it("are read once as long as nothing comes in", async () => {
    const first = await read(question(plan(0, 6)));
    expect(first).toHaveLength(12);
    expect(await read(question(plan(0, 6)))).toEqual(first);
    expect(ranges()).toEqual([[0, 120_000]]);
  });

  it("are read as far as a range that moves on has new ones", async () => {
    await read(question(plan(0, 6)));
    store(120_000, 7);
    expect(await read(question(plan(20_000, 6)))).toEqual([
      ...Array.from({ length: 10 }, (_, index) => ({ step: Math.floor(index / 2), value: 20_000 + index * 10_000 })),
      { step: 5, value: 7 },
    ]);
    expect(ranges()).toEqual([
      [0, 120_000],
      [120_000, 140_000],
    ]);
  });

  it("are read again when a late frame comes, from the first that changed to the last", async () => {
    await read(question(plan(0, 6)));
    store(50_000, -1);
    store(90_000, -2);
    const again = await read(question(plan(0, 6)));
    expect(again?.filter(({ value }) => value < 0)).toEqual([
      { step: 2, value: -1 },
      { step: 4, value: -2 },
    ]);
    expect(again).toHaveLength(12);
    expect(ranges().at(-1)).toEqual([40_000, 100_000]);
  });

  it("share no answer with one that was asked when less had come", async () => {
    await read(question(plan(0, 6)));
    store(110_000, 1);
    await read(question(plan(0, 6)));
    store(110_000, 2);
    await read(question(plan(0, 6)));
    expect(new Set(asked.map(({ asOf }) => asOf)).size).toBe(3);
  });

  it("are not taken from another question, step or organisation", async () => {
    await read(question(plan(0, 6)));
    await read(question({ ...plan(0, 6), tenant: "another" }));
    await read(question({ ...plan(0, 6), hosts: ["other"] }));
    await read(question(plan(0, 12, 10_000)));
    expect(ranges()).toEqual([
      [0, 120_000],
      [0, 120_000],
      [0, 120_000],
      [0, 120_000],
    ]);
  });

  it("stand beside those that are rolled up, which are one statement of which no version is told", async () => {
    const of = plan(0, 2, MINUTE);
    const sources: Source[] = [
      { level: "1m", scope: "fleet", fromMs: 0, toMs: MINUTE },
      { level: "raw", scope: "host", fromMs: MINUTE, toMs: 2 * MINUTE },
    ];
    expect((await read(question(of, sources)))?.map(({ step }) => step)).toEqual([0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1]);
    expect(asked.map(({ fromMs, asOf }) => [fromMs, asOf !== undefined])).toEqual([
      [0, false],
      [MINUTE, true],
    ]);
    asked = [];
    await read(question(of, sources));
    expect(ranges()).toEqual([[0, MINUTE]]);
  });

  it("are read as a whole where a step is cut by what is rolled up, and where steps are no whole windows", async () => {
    const of = plan(0, 2, MINUTE);
    await read(question(of, [{ level: "1m", scope: "host", fromMs: 0, toMs: MINUTE + 30_000 }, ...raw(of)]));
    await read(question(plan(0, 2, 15_000)));
    await read(question(plan(0, 1, 30_000)));
    // Of raw rows alone it is told, if not step by step.
    expect(asked.map(({ fromMs, toMs, asOf }) => [fromMs, toMs, asOf === undefined])).toEqual([
      [0, 2 * MINUTE, true],
      [0, 30_000, false],
      [0, 30_000, false],
    ]);
  });

  it("are read as a whole where nobody tells versions, and given up there too where there are too many rows", async () => {
    await read(question(plan(0, 6)), false);
    await read(question(plan(0, 6)), false);
    expect(asked.map(({ toMs, asOf }) => [toMs, asOf])).toEqual([
      [2 * MINUTE, undefined],
      [2 * MINUTE, undefined],
    ]);
    expect(await read(question(plan(0, 6), undefined, 11), false)).toBeUndefined();
  });

  it("are given up where there are more rows than are wanted, and not asked for again", async () => {
    expect(await read(question(plan(0, 6), undefined, 11))).toBeUndefined();
    expect(await read(question(plan(20_000, 6), undefined, 11))).toBeUndefined();
    expect(asked).toHaveLength(1);
    expect(await read(question(plan(0, 6, 10_000), undefined, 11))).toHaveLength(6);
  });
});
