// SPDX-License-Identifier: Apache-2.0
import { type CheckReport, type CheckResult, runChecks } from "../doctor/check.ts";
import { checks } from "../doctor/checks.ts";
import { DoctorFacts } from "../doctor/facts.ts";
import { agentVersion } from "../version.ts";

/** What `doctor --json` prints. Fields are added, not changed, while `formatVersion` stays. */
export interface DoctorReport {
  readonly formatVersion: 1;
  readonly agentVersion: string;
  readonly uid: number | null;
  /** The worst that a check came to. */
  readonly result: Exclude<CheckResult, "SKIP">;
  readonly counts: Readonly<Record<CheckResult, number>>;
  readonly checks: readonly CheckReport[];
}

export interface DoctorOptions {
  readonly json: boolean;
  /** Nothing is asked over the network. */
  readonly offline: boolean;
  /** Also what passed is shown one by one. */
  readonly verbose: boolean;
}

/** `waggle-agent doctor`: checks what the agent needs. Returns the exit code: 0 nothing failed, 1 something did. */
export async function doctor(environment: NodeJS.ProcessEnv, options: DoctorOptions, print: (text: string) => void): Promise<number> {
  const report = summarise(await runChecks(checks, new DoctorFacts(environment), options));
  print(options.json ? JSON.stringify(report, null, 2) : render(report, options.verbose));
  return exitCodeOf(report);
}

export function summarise(reports: readonly CheckReport[]): DoctorReport {
  const count = (result: CheckResult) => reports.filter((entry) => entry.result === result).length;
  const counts = { PASS: count("PASS"), WARN: count("WARN"), FAIL: count("FAIL"), SKIP: count("SKIP") };
  const result = counts.FAIL > 0 ? "FAIL" : counts.WARN > 0 ? "WARN" : "PASS";
  return { formatVersion: 1, agentVersion, uid: process.geteuid?.() ?? null, result, counts, checks: reports };
}

export function exitCodeOf({ counts }: Pick<DoctorReport, "counts">): number {
  return counts.FAIL > 0 ? 1 : 0;
}

/** One line per check; cause, fix and where it is described below it where there is something to do. */
export function render({ checks: reports, counts }: Pick<DoctorReport, "checks" | "counts">, verbose = false): string {
  const lines: string[] = [];
  let group = "";
  for (const { group: itsGroup, result, title, found, cause, fix, docs, items } of reports) {
    if (itsGroup !== group) lines.push(...(group === "" ? [] : [""]), itsGroup);
    group = itsGroup;
    lines.push(`  ${result}  ${title}${found === "" ? "" : `: ${found}`}`);
    if (cause !== "") lines.push(`        ${cause}`);
    for (const item of items)
      if (verbose || item.result === "FAIL" || (item.result === "WARN" && result !== "PASS"))
        lines.push(`        ${item.result}  ${item.name}: ${item.found}`);
    if (fix !== "") lines.push(`        → ${fix}  (${docs})`);
  }
  return [...lines, "", `${counts.PASS} passed, ${counts.WARN} warnings, ${counts.FAIL} failed, ${counts.SKIP} skipped`].join("\n");
}
