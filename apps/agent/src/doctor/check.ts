// SPDX-License-Identifier: Apache-2.0
import type { DoctorFacts } from "./facts.ts";

export const checkGroups = ["configuration", "kernel", "privileges", "programs", "state", "API", "agent"] as const;
export type CheckGroup = (typeof checkGroups)[number];
export type CheckResult = "PASS" | "WARN" | "FAIL" | "SKIP";

/** One of the things that a check is about: a capability, a program, a signal. */
export interface CheckItem {
  readonly name: string;
  readonly result: CheckResult;
  readonly found: string;
}

/** What a check came to. */
export interface Verdict {
  readonly result: CheckResult;
  /** What was found; of a SKIP: why nothing could be. */
  readonly found: string;
  /** Of a WARN or FAIL: what it means or where it comes from. Else empty. */
  readonly cause: string;
  /** Of a WARN or FAIL: one thing to do. Else empty. */
  readonly fix: string;
  readonly items: readonly CheckItem[];
}

/** A check: what it is called, what it is about, and how it is made. There is no other place that knows of it. */
export interface CheckDefinition {
  /** Kebab-case; never changes, as scripts go by it. */
  readonly id: string;
  readonly group: CheckGroup;
  readonly title: string;
  /** For the docs: what is looked at, and what decides. */
  readonly about: string;
  /** Ids of earlier checks that have to have passed (or warned): without them this one cannot be decided. */
  readonly after?: readonly string[];
  /** It speaks to another machine, so `--offline` leaves it out. */
  readonly usesNetwork?: true;
  /** What it throws makes it a SKIP with the error's words: what could not be decided did not pass. */
  readonly run: (facts: DoctorFacts) => Verdict | Promise<Verdict>;
}

/** A check and what it came to, as `doctor --json` prints it. */
export interface CheckReport extends Verdict {
  readonly id: string;
  readonly group: CheckGroup;
  readonly title: string;
  /** Where the check is described. */
  readonly docs: string;
}

export function pass(found: string, items: readonly CheckItem[] = []): Verdict {
  return { result: "PASS", found, cause: "", fix: "", items };
}

export function warn(found: string, cause: string, fix: string, items: readonly CheckItem[] = []): Verdict {
  return { result: "WARN", found, cause, fix, items };
}

export function fail(found: string, cause: string, fix: string, items: readonly CheckItem[] = []): Verdict {
  return { result: "FAIL", found, cause, fix, items };
}

export function skip(why: string, items: readonly CheckItem[] = []): Verdict {
  return { result: "SKIP", found: why, cause: "", fix: "", items };
}

/** Runs checks in their order. None changes anything that lasts, and none of them can end the others. */
export async function runChecks(
  definitions: readonly CheckDefinition[],
  facts: DoctorFacts,
  options: { readonly offline: boolean },
): Promise<CheckReport[]> {
  const reports = new Map<string, CheckReport>();
  for (const definition of definitions) {
    const { id, group, title } = definition;
    const verdict = await runOne(definition, facts, options.offline, reports);
    reports.set(id, { id, group, title, ...verdict, docs: `docs/doctor.md#${id}` });
  }
  return [...reports.values()];
}

async function runOne(
  { after = [], usesNetwork, run }: CheckDefinition,
  facts: DoctorFacts,
  offline: boolean,
  reports: ReadonlyMap<string, CheckReport>,
): Promise<Verdict> {
  if (usesNetwork === true && offline) return skip("--offline: nothing is asked over the network");
  const open = after.map((id) => reports.get(id)).find((report) => report === undefined || report.result === "FAIL" || report.result === "SKIP");
  if (open !== undefined) return skip(`depends on ${open.id}, which ${open.result === "FAIL" ? "failed" : "was skipped"}`);
  try {
    return await run(facts);
  } catch (error) {
    return skip(error instanceof Error ? error.message : String(error));
  }
}
