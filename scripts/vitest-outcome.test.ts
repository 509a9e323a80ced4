// SPDX-License-Identifier: Apache-2.0
import { expect, it } from "vitest";
import { brokenFiles, type FileResult, judge, type Outcome } from "./vitest-outcome.ts";

const file = (name: string, tests: Readonly<Record<string, "passed" | "failed" | "skipped">>, status?: string): FileResult => ({
  name: `/w/${name}`,
  status: status ?? (Object.values(tests).includes("failed") ? "failed" : "passed"),
  assertionResults: Object.entries(tests).map(([fullName, result]) => ({ fullName, status: result, failureMessages: [] })),
});
const run = (status: number | null, results: readonly FileResult[], unhandledErrors: Outcome["unhandledErrors"] = []): Outcome => ({
  status,
  results,
  unhandledErrors,
});
const judged = (first: Outcome, again: Outcome | null) => judge(first, again, (path) => path.replace("/w/", ""));
const flaky = file("a.ts", { one: "failed", two: "passed" });
const sound = file("a.ts", { one: "passed", two: "passed" });
const other = file("b.ts", { three: "passed", four: "skipped" });

it("a run in which all is well is counted as it is", () => {
  expect(judged(run(0, [sound, other]), null)).toEqual({ passed: 3, skipped: 1, failures: [], reruns: [] });
});

it("what passes when it is run again has passed, and is named", () => {
  const first = run(1, [flaky, other]);
  expect(brokenFiles(first)).toEqual(["/w/a.ts"]);
  expect(judged(first, run(0, [sound]))).toEqual({ passed: 3, skipped: 1, failures: [], reruns: ["a.ts: one"] });
  expect(judged(run(1, [file("a.ts", {}, "failed"), other]), run(0, [sound])).reruns).toEqual(["a.ts"]);
});

it("what fails again, or is not run again, has failed", () => {
  expect(judged(run(1, [flaky, other]), run(1, [flaky])).failures).toEqual(["a.ts: one"]);
  expect(judged(run(1, [flaky, other]), null).failures).toEqual(["a.ts: one"]);
  expect(judged(run(1, [flaky, other]), run(0, [])).failures).toEqual(["a.ts: one"]);
  for (const result of [file("a.ts", { two: "passed" }), file("a.ts", { one: "skipped", two: "passed" })])
    expect(judged(run(1, [flaky, other]), run(0, [result])).failures).toEqual(["a.ts: one (failed, and did not run again)"]);
});

it("an error outside of tests in a file that is not run again is a failure, whatever passes then", () => {
  const first = run(1, [flaky, other], [{ file: null, message: "nobody waited\n  at x" }]);
  expect(judged(first, run(0, [sound])).failures).toEqual(["outside of all files: unhandled: nobody waited"]);
  const unknown = run(1, [flaky, other], [{ file: "/w/gone.ts", message: "late" }]);
  expect(judged(unknown, run(0, [sound])).failures).toEqual(["gone.ts: unhandled: late"]);
});

it("a file in which such an error came up is one of the broken ones, and is named when it passes", () => {
  const first = run(1, [flaky, other], [{ file: "/w/b.ts", message: "late" }]);
  expect(brokenFiles(first)).toEqual(["/w/a.ts", "/w/b.ts"]);
  expect(judged(first, run(0, [sound, other]))).toMatchObject({ failures: [], reruns: ["a.ts: one", "b.ts: unhandled: late"] });
  expect(judged(first, run(1, [sound, other], [{ file: "/w/b.ts", message: "late" }])).failures).toEqual(["b.ts: unhandled: late"]);
});

it("an end of Vitest that nothing it tells explains is a failure, of either run", () => {
  expect(judged(run(1, [sound, other]), null).failures).toEqual(["vitest ended with 1"]);
  expect(judged(run(null, [flaky, other]), run(0, [sound])).failures).toEqual(["vitest ended with a signal"]);
  expect(judged(run(130, [flaky, other]), run(0, [sound])).failures).toEqual(["vitest ended with 130"]);
  expect(judged(run(1, [flaky, other]), run(1, [sound])).failures).toEqual(["vitest ended with 1 when it was run again"]);
});

it("a file that passed at first is not counted twice when a name of another one leads to it", () => {
  expect(judged(run(1, [flaky, other]), run(0, [sound, other])).passed).toBe(3);
});
