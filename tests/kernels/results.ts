// SPDX-License-Identifier: Apache-2.0
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { CoverageState } from "../../packages/signals/src/index.ts";

/** What the agent says of one signal. */
export interface Said {
  readonly signal: string;
  readonly state: CoverageState;
  readonly reason: string;
}

/** What the agent says of itself on one kernel (read-coverage.ts). */
export interface KernelCoverage {
  /** `uname -r` */
  readonly release: string;
  readonly signals: readonly Said[];
  readonly programs: readonly { readonly program: string; readonly attached: boolean; readonly reason: string }[];
}

/** How one file of the kernel tests ended. */
export interface FileResult {
  /** Path in the project. */
  readonly file: string;
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  /** Full names of those that failed. */
  readonly failures: readonly string[];
}

/** How the kernel tests ended on a kernel. */
export interface KernelTests {
  readonly files: readonly FileResult[];
  /** Files that nobody has run there. */
  readonly notRun: readonly string[];
}

/** A run of the matrix on one kernel, as it is kept in tests/kernels/recorded. */
export interface KernelRecord extends KernelCoverage {
  /** Signals of which it says something else when it runs as the user `./waggle up` gives it, with two capabilities. Null: nobody has looked. */
  readonly asAgent: readonly Said[] | null;
  /** Null: only the coverage was read. */
  readonly tests: KernelTests | null;
}

export const recordedFolder = join(import.meta.dirname, "recorded");

/** The kept run of a kernel; null if there is none. */
export function readRecord(name: string): KernelRecord | null {
  const file = join(recordedFolder, `${name}.json`);
  return existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as KernelRecord) : null;
}

/** What the second says of signals otherwise than the first. How much happened meanwhile, by which a signal is sampled, is no difference. */
export function differencesOf(asRoot: KernelCoverage, asAgent: KernelCoverage): Said[] {
  const stateOf = new Map(asRoot.signals.map(({ signal, state }) => [signal, state]));
  const kind = (state: CoverageState | undefined) => (state === "sampled" ? "exact" : state);
  return asAgent.signals.filter(({ signal, state }) => kind(state) !== kind(stateOf.get(signal)));
}

interface VitestReport {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly numPendingTests: number;
  readonly numTodoTests: number;
  readonly testResults: readonly {
    readonly name: string;
    readonly status: string;
    readonly assertionResults: readonly { readonly fullName: string; readonly status: string }[];
  }[];
}

/** What vitest's JSON reporter says of one file. If it broke before its first test, that is one failure, named by its path. */
export function resultOfFile(file: string, report: VitestReport): FileResult {
  const tests = report.testResults.flatMap(({ assertionResults }) => assertionResults);
  const isBroken =
    tests.length === 0 || report.testResults.some(({ status, assertionResults }) => status === "failed" && assertionResults.length === 0);
  const failures = tests.filter(({ status }) => status === "failed").map(({ fullName }) => fullName);
  return {
    file,
    passed: report.numPassedTests,
    failed: report.numFailedTests + (isBroken ? 1 : 0),
    skipped: report.numPendingTests + report.numTodoTests,
    failures: isBroken ? [...failures, file] : failures,
  };
}

/** Results with those that are newer in their place; of files that are no longer there nothing is kept. */
export function mergeTests(files: readonly string[], known: KernelTests | null, newer: readonly FileResult[]): KernelTests {
  const results = new Map([...(known?.files ?? []), ...newer].map((result) => [result.file, result]));
  return {
    files: files.flatMap((file) => results.get(file) ?? []),
    notRun: files.filter((file) => !results.has(file)),
  };
}

/** Sums of all files that were run. */
export function totalsOf({ files }: KernelTests): { passed: number; failed: number; skipped: number } {
  const sum = (field: "passed" | "failed" | "skipped"): number => files.reduce((total, file) => total + file[field], 0);
  return { passed: sum("passed"), failed: sum("failed"), skipped: sum("skipped") };
}
