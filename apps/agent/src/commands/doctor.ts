// SPDX-License-Identifier: Apache-2.0
import { ConfigError, loadConfig } from "../config/config.ts";
import type { CheckResult } from "./check-result.ts";
import { runChecks } from "./doctor-checks.ts";

export interface DoctorReport {
  /** The worst result. */
  readonly result: CheckResult["result"];
  readonly checks: readonly CheckResult[];
}

/** `waggle-agent doctor`: checks what the agent needs. Returns the exit code: 0 all well, 1 warnings, 2 failures. */
export async function doctor(environment: NodeJS.ProcessEnv, options: { json: boolean }, print: (text: string) => void): Promise<number> {
  const report = summarise(await check(environment));
  print(options.json ? JSON.stringify(report, null, 2) : render(report.checks));
  return exitCodeOf(report.result);
}

async function check(environment: NodeJS.ProcessEnv): Promise<CheckResult[]> {
  try {
    const { config, warnings } = loadConfig(environment);
    const settings: CheckResult =
      warnings.length === 0
        ? { group: "configuration", name: "variables", result: "PASS", cause: "", fix: "" }
        : { group: "configuration", name: "variables", result: "WARN", cause: warnings.join("; "), fix: "correct or remove them" };
    return [settings, ...(await runChecks(config))];
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return [
      {
        group: "configuration",
        name: "variables",
        result: "FAIL",
        cause: error.problems.join("; "),
        fix: "correct the variables named; everything else depends on them",
      },
    ];
  }
}

export function summarise(checks: readonly CheckResult[]): DoctorReport {
  const has = (result: CheckResult["result"]) => checks.some((entry) => entry.result === result);
  return { result: has("FAIL") ? "FAIL" : has("WARN") ? "WARN" : "PASS", checks };
}

export function exitCodeOf(result: CheckResult["result"]): number {
  return result === "FAIL" ? 2 : result === "WARN" ? 1 : 0;
}

/** One line per check; cause and fix below it where there is something to do. */
export function render(checks: readonly CheckResult[]): string {
  const lines: string[] = [];
  let group = "";
  for (const entry of checks) {
    if (entry.group !== group) lines.push(...(group === "" ? [] : [""]), entry.group);
    group = entry.group;
    const isOneLine = entry.result === "PASS" || entry.fix === "";
    lines.push(`  ${entry.result}  ${entry.name}${isOneLine && entry.cause !== "" ? `: ${entry.cause}` : ""}`);
    if (!isOneLine) lines.push(`        ${entry.cause}`, `        → ${entry.fix}`);
  }
  const count = (result: CheckResult["result"]) => checks.filter((entry) => entry.result === result).length;
  return [...lines, "", `${count("PASS")} passed, ${count("WARN")} warnings, ${count("FAIL")} failed, ${count("SKIP")} skipped`].join("\n");
}
