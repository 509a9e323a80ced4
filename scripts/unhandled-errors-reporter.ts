// SPDX-License-Identifier: Apache-2.0
import { writeFileSync } from "node:fs";
import type { SerializedError } from "vitest";
import type { Reporter } from "vitest/node";
import { UNHANDLED_ERRORS_FILE, type UnhandledError } from "./vitest-outcome.ts";

/** Writes down the errors that no test had, which Vitest's JSON report leaves out. */
export default class UnhandledErrorsReporter implements Reporter {
  onTestRunEnd(_: unknown, errors: readonly SerializedError[]): void {
    const file = process.env[UNHANDLED_ERRORS_FILE];
    if (file === undefined) return;
    const found = errors.map((error): UnhandledError => ({ file: String(error["VITEST_TEST_PATH"] ?? "") || null, message: error.message }));
    writeFileSync(file, JSON.stringify(found));
  }
}
