// SPDX-License-Identifier: Apache-2.0
import { Inject, Injectable } from "@nestjs/common";
import { OTHER } from "@waggle/signals";
import { AppError } from "../../common/app-error.ts";
import type { Caller } from "../../common/caller.ts";
import { atPointer } from "../../common/validation.ts";
import { type Execution, hostNames, QueryExecutor } from "../query/query-executor.ts";
import { flameTree, type StackValue } from "./flame-tree.ts";
import type { ProfileAnswer } from "./profile-answer.schemas.ts";
import type { ProfileExport } from "./profile-formats.ts";
import type { ProfileQuery } from "./profiles.schemas.ts";
import { framesStatement, type StackRow, stacksStatement } from "./statements.ts";

const HOUR_MS = 3_600_000;
/** Frames may come some windows after the stack's first use. */
const FRAMES_LATE_MS = 300_000;
const UNKNOWN_STACK = "[unknown stack]";
const BEYOND = "[other stacks]";

const measuresOf = { cpu_profile: ["samples"], off_cpu: ["count", "blocked"] } as const;

interface Span {
  readonly where: string;
  readonly from: string | number;
  readonly to: string | number;
}

/** One selection's stacks, with their frames. */
interface Read {
  /** By label and frames, joined. */
  readonly stacks: ReadonlyMap<string, { readonly frames: readonly string[]; readonly values: readonly number[] }>;
  readonly summary: Omit<ProfileAnswer["meta"]["selection"], "where" | "seconds">;
  readonly fromMs: number;
  readonly toMs: number;
}

/** Call stacks as trees, and for other tools. */
@Injectable()
export class ProfilesService {
  constructor(@Inject(QueryExecutor) private readonly executor: QueryExecutor) {}

  /** A selection's tree, beside that of a baseline if one is given. Throws AppError as of `QueryService.query`. */
  async tree(caller: Caller, query: ProfileQuery, signal?: AbortSignal): Promise<ProfileAnswer> {
    const execution = this.executor.begin(caller, signal);
    const { baseline: asked } = query;
    const span = asked === undefined ? undefined : { ...asked, where: asked.where ?? query.where };
    const [selection, baseline] = await Promise.all([
      readStacks(execution, query, query),
      span === undefined ? undefined : readStacks(execution, query, span).catch((error: unknown) => atPointer("/baseline", error)),
    ]);
    const stacks = new Map<string, { frames: readonly string[]; value: number; baseline: number }>();
    for (const [key, { frames, values }] of selection.stacks) stacks.set(key, { frames, value: values.at(-1) ?? 0, baseline: 0 });
    for (const [key, { frames, values }] of baseline?.stacks ?? []) {
      const known = stacks.get(key);
      if (known === undefined) stacks.set(key, { frames, value: 0, baseline: values.at(-1) ?? 0 });
      else known.baseline = values.at(-1) ?? 0;
    }
    const { baselineSelf, baselineTotal, ...nodes } = flameTree(
      [...stacks.values()] satisfies StackValue[],
      query.maxNodes,
      query.focus === "" ? [] : query.focus.split(";"),
    );
    const [total, baseTotal] = [nodes.total[0] ?? 0, baselineTotal[0] ?? 0];
    const share = (part: number, whole: number): number => (whole === 0 ? 0 : part / whole);
    const change = nodes.total.map((value, index) => share(value, total) - share(baselineTotal[index] as number, baseTotal));
    return {
      meta: {
        ...headOf(query),
        selection: describe(selection, query, query),
        baseline: baseline === undefined || span === undefined ? null : describe(baseline, span, query),
        rowsRead: execution.rowsRead,
        elapsedMs: execution.elapsedMs,
      },
      tree: { ...copyOf(nodes), ...(baseline === undefined ? {} : { baselineSelf: [...baselineSelf], baselineTotal: [...baselineTotal], change }) },
    };
  }

  /** A selection's stacks as other tools read them, all of them whatever `maxNodes` says. Throws as `tree`. */
  async export(caller: Caller, query: ProfileQuery, signal?: AbortSignal): Promise<ProfileExport> {
    if (query.baseline !== undefined) {
      const detail = "A file for other tools holds one selection: leave out the baseline, or ask for JSON, NDJSON, CSV or Arrow.";
      throw new AppError("VALIDATION_FAILED", `/baseline: ${detail}`, { errors: [{ pointer: "/baseline", detail }] });
    }
    const execution = this.executor.begin(caller, signal);
    const selection = await readStacks(execution, query, query);
    const { stacks, fromMs, toMs } = selection;
    const focus = query.focus === "" ? [] : query.focus.split(";");
    const isCpu = query.signal === "cpu_profile";
    const nsPerSample = 1e9 / query.hz;
    const exported = [...stacks.values()]
      .filter(({ frames }) => focus.every((frame, index) => frames[index] === frame))
      .map(({ frames, values }) => ({ frames, values: isCpu ? [values[0] as number, Math.round((values[0] as number) * nsPerSample)] : values }));
    return {
      profile: {
        name: query.signal,
        types: isCpu
          ? [
              { type: "samples", unit: "count" },
              { type: "cpu", unit: "nanoseconds" },
            ]
          : [
              { type: "waits", unit: "count" },
              { type: "blocked", unit: "nanoseconds" },
            ],
        period: isCpu ? nsPerSample : 0,
        fromMs,
        toMs,
        stacks: exported,
      },
      meta: {
        ...headOf(query),
        selection: describe(selection, query, query),
        rowsRead: execution.rowsRead,
        elapsedMs: execution.elapsedMs,
      },
    };
  }
}

/** What an answer is about. */
function headOf({ signal, hz, focus }: ProfileQuery) {
  const isCpu = signal === "cpu_profile";
  return { signal, unit: isCpu ? ("samples" as const) : ("ns" as const), hz: isCpu ? hz : null, focus };
}

function describe({ summary }: Read, { where }: Span, { signal, hz }: ProfileQuery): ProfileAnswer["meta"]["selection"] {
  return { ...summary, where, seconds: signal === "cpu_profile" ? summary.total / hz : summary.total / 1e9 };
}

async function readStacks(execution: Execution, { signal: name, root }: ProfileQuery, span: Span): Promise<Read> {
  const label = root === "none" ? null : root;
  const measures = measuresOf[name];
  const base = { select: [{ measure: measures.at(-1) as string, aggregate: "sum" }], limit: 1 };
  const chosen = await execution.plan({ ...base, ...spanOf(span), signal: name, by: label === null ? [] : [label] });
  const { fromMs, toMs } = chosen.planned.plan.steps;
  const [rows, asked] = await Promise.all([
    execution.read<StackRow>(chosen, (planned) => stacksStatement(planned, measures, label)),
    execution.coverage(chosen),
  ]);
  const wanted = [...new Set(rows.map(({ stack }) => stack))].filter((stack) => stack !== OTHER);
  const frames = wanted.length === 0 ? new Map<string, string>() : await readFrames(execution, fromMs, toMs, wanted);

  const nameOf = hostNames(chosen);
  const stacks = new Map<string, { readonly frames: readonly string[]; values: readonly number[] }>();
  const unknown = { stacks: 0, value: 0 };
  const add = (path: readonly string[], values: readonly number[]): void => {
    const key = path.join(";");
    const known = stacks.get(key);
    if (known === undefined) stacks.set(key, { frames: path, values: [...values] });
    else known.values = known.values.map((value, index) => value + (values[index] as number));
  };
  for (const { label: of, stack, values } of rows) {
    const text = frames.get(stack);
    if (text === undefined && stack !== OTHER) {
      unknown.stacks++;
      unknown.value += Number(values.at(-1));
    }
    const path = text === undefined ? [stack === OTHER ? OTHER : UNKNOWN_STACK] : text.split(";");
    const head = label === null ? [] : [label === "host" ? nameOf(of) : of === "" ? "?" : of];
    add([...head, ...path], values.map(Number));
  }
  const [first] = rows;
  const totals = first?.totals.map(Number) ?? measures.map(() => 0);
  const shown = measures.map((_, index) => rows.reduce((sum, row) => sum + Number(row.values[index]), 0));
  const beyond = totals.map((total, index) => total - (shown[index] as number));
  if (Number(first?.stacks ?? 0) > rows.length) add([BEYOND], beyond);
  const { steps: _, stepHosts: __, ...coverage } = asked.coverage;
  return {
    stacks,
    summary: {
      from: new Date(fromMs).toISOString(),
      to: new Date(toMs).toISOString(),
      total: totals.at(-1) ?? 0,
      stacks: Number(first?.stacks ?? 0),
      beyond: beyond.at(-1) ?? 0,
      unknown,
      coverage,
    },
    fromMs,
    toMs,
  };
}

/** What stacks are called: any host's entry serves, names are made of the frames. Sent with a stack's first use in each hour. */
async function readFrames(execution: Execution, fromMs: number, toMs: number, stacks: readonly string[]): Promise<ReadonlyMap<string, string>> {
  const query = {
    signal: "stack_frames",
    select: [{ measure: "windows", aggregate: "sum" }],
    by: ["stack"],
    where: "",
    from: Math.floor(fromMs / HOUR_MS) * HOUR_MS,
    to: toMs + FRAMES_LATE_MS,
    limit: 1,
  };
  const { planned } = await execution.plan(query);
  const rows = await execution.run<{ stack: string; frames: string }>(framesStatement(planned, stacks));
  return new Map(rows.map((row) => [row.stack, row.frames]));
}

function spanOf({ where, from, to }: Span): Span {
  return { where, from, to };
}

type Nodes = Omit<ReturnType<typeof flameTree>, "baselineSelf" | "baselineTotal">;
function copyOf({ names, parents, nameIndexes, self, total, hidden }: Nodes) {
  return { names: [...names], parents: [...parents], nameIndexes: [...nameIndexes], self: [...self], total: [...total], hidden: [...hidden] };
}
