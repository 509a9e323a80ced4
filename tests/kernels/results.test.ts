// SPDX-License-Identifier: Apache-2.0
import { expect, it } from "vitest";
import { kernels } from "./kernels.ts";
import { differencesOf, mergeTests, readRecord, resultOfFile, totalsOf } from "./results.ts";

const report = (passed: number, failed: number, tests: readonly (readonly [string, string])[]) => ({
  numPassedTests: passed,
  numFailedTests: failed,
  numPendingTests: 2,
  numTodoTests: 1,
  testResults: [
    {
      name: "/a",
      status: failed > 0 || tests.length === 0 ? "failed" : "passed",
      assertionResults: tests.map(([fullName, status]) => ({ fullName, status })),
    },
  ],
});

it("counts a test file that broke before its first test as a failure, by its path", () => {
  const result = resultOfFile(
    "a.kernel.test.ts",
    report(1, 1, [
      ["reads go to their file", "failed"],
      ["other", "passed"],
    ]),
  );
  expect(result).toEqual({ file: "a.kernel.test.ts", passed: 1, failed: 1, skipped: 3, failures: ["reads go to their file"] });
  expect(resultOfFile("b.kernel.test.ts", report(0, 0, []))).toMatchObject({ failed: 1, failures: ["b.kernel.test.ts"] });
});

it("replaces a file's result by a newer one, says which files nobody has run, and forgets files that are gone", () => {
  const result = (file: string, passed: number) => ({ file, passed, failed: 0, skipped: 0, failures: [] });
  const known = { files: [result("a", 1), result("gone", 5)], notRun: ["b", "c"] };
  const merged = mergeTests(["a", "b", "c"], known, [result("a", 2), result("b", 3)]);
  expect(merged).toEqual({ files: [result("a", 2), result("b", 3)], notRun: ["c"] });
  expect(totalsOf(merged)).toEqual({ passed: 5, failed: 0, skipped: 0 });
});

it("says of which signals the agent's own user gets something else, and that a busy moment is no difference", () => {
  const said = (...states: readonly ["exact" | "sampled" | "failed", string][]) => ({
    release: "6.1",
    signals: states.map(([state, reason], index) => ({ signal: `s${index}`, state, reason })),
    programs: [],
  });
  const asRoot = said(["exact", ""], ["exact", ""], ["sampled", "many"], ["failed", "no memory"]);
  const asAgent = said(["exact", ""], ["failed", "EACCES"], ["exact", ""], ["failed", "no memory"]);
  expect(differencesOf(asRoot, asAgent)).toEqual([{ signal: "s1", state: "failed", reason: "EACCES" }]);
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
