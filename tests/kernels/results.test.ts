// SPDX-License-Identifier: Apache-2.0
import { expect, it } from "vitest";
import { kernels } from "./kernels.ts";
import { countTests, readRecord } from "./results.ts";

it("counts a test file that broke before its first test as a failure, by its path", () => {
  const assertion = (fullName: string, status: string) => ({ fullName, status });
  const report = {
    numPassedTests: 3,
    numFailedTests: 1,
    numPendingTests: 2,
    numTodoTests: 1,
    testResults: [
      { name: "a.kernel.test.ts", status: "failed", assertionResults: [assertion("reads go to their file", "failed"), assertion("other", "passed")] },
      { name: "b.kernel.test.ts", status: "failed", assertionResults: [] },
    ],
  };
  expect(countTests(report)).toEqual({ passed: 3, failed: 2, skipped: 3, failures: ["reads go to their file", "b.kernel.test.ts"] });
});

it("keeps no run in which a signal failed", () => {
  for (const { name } of kernels) {
    const failed = readRecord(name)?.signals.filter(({ state }) => state === "failed");
    expect(failed ?? [], name).toEqual([]);
  }
});

it("keeps a run of every kernel from 6.1 on in which all signals are measured but those the hardware has to give", () => {
  for (const name of ["6.1", "6.12", "newest"]) {
    const record = readRecord(name);
    expect(record, name).not.toBeNull();
    expect(record?.signals.filter(({ state, signal }) => state === "unsupported" && signal !== "energy") ?? [], name).toEqual([]);
  }
});
