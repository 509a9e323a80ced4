// SPDX-License-Identifier: Apache-2.0
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { CoverageState } from "../../packages/signals/src/index.ts";

/** What the agent says of itself on one kernel (read-coverage.ts). */
export interface KernelCoverage {
  /** `uname -r` */
  readonly release: string;
  readonly signals: readonly { readonly signal: string; readonly state: CoverageState; readonly reason: string }[];
  readonly programs: readonly { readonly program: string; readonly attached: boolean; readonly reason: string }[];
}

/** How the kernel tests ended there. */
export interface KernelTests {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  /** Full names of those that failed. */
  readonly failures: readonly string[];
}

/** A run of the matrix on one kernel, as it is kept in tests/kernels/recorded. */
export interface KernelRecord extends KernelCoverage {
  /** Null: only the coverage was read. */
  readonly tests: KernelTests | null;
}

export const recordedFolder = join(import.meta.dirname, "recorded");

/** The kept run of a kernel; null if there is none. */
export function readRecord(name: string): KernelRecord | null {
  const file = join(recordedFolder, `${name}.json`);
  return existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as KernelRecord) : null;
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

/** Counts of a report of vitest's JSON reporter. A file that broke before its first test is one failure, named by its path. */
export function countTests(report: VitestReport): KernelTests {
  const broken = report.testResults
    .filter(({ status, assertionResults }) => status === "failed" && assertionResults.length === 0)
    .map(({ name }) => name);
  const failures = report.testResults.flatMap(({ assertionResults }) =>
    assertionResults.filter(({ status }) => status === "failed").map(({ fullName }) => fullName),
  );
  return {
    passed: report.numPassedTests,
    failed: report.numFailedTests + broken.length,
    skipped: report.numPendingTests + report.numTodoTests,
    failures: [...failures, ...broken],
  };
}
