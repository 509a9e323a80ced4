// SPDX-License-Identifier: Apache-2.0

/** One line of `doctor`. */
export interface CheckResult {
  readonly group: string;
  readonly name: string;
  readonly result: "PASS" | "WARN" | "FAIL" | "SKIP";
  /** What was found. */
  readonly cause: string;
  /** What to do; empty if there is nothing to do. */
  readonly fix: string;
}
