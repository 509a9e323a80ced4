// SPDX-License-Identifier: Apache-2.0

/** Environment variable with the file that unhandled-errors-reporter.ts writes. */
export const UNHANDLED_ERRORS_FILE = "WAGGLE_TEST_UNHANDLED_ERRORS";

/** An error outside of all tests: a promise that nobody waited for, a worker that ended. */
export interface UnhandledError {
  /** The test file that was running, absolute; null if it is not known. */
  readonly file: string | null;
  readonly message: string;
}

export interface FileResult {
  readonly status: string;
  readonly name: string;
  readonly assertionResults: readonly { readonly status: string; readonly fullName: string; readonly failureMessages: readonly string[] | null }[];
}

/** What came of one run of Vitest. */
export interface Outcome {
  /** null: it was ended by a signal, or could not be started. */
  readonly status: number | null;
  readonly results: readonly FileResult[];
  readonly unhandledErrors: readonly UnhandledError[];
}

/** What a run and the second one of its broken files come to. */
export interface Verdict {
  readonly passed: number;
  readonly skipped: number;
  /** What failed, in words. */
  readonly failures: readonly string[];
  /** What failed at first and passed when it was tried again. */
  readonly reruns: readonly string[];
}

type Test = FileResult["assertionResults"][number];

const isFailed = ({ status }: Test): boolean => status === "failed";
const isBroken = ({ status, assertionResults }: FileResult): boolean => status === "failed" || assertionResults.some(isFailed);

/** Files with something that failed, or in which an error came up outside of tests. Paths as Vitest gives them. */
export function brokenFiles({ results, unhandledErrors }: Outcome): string[] {
  const withErrors = new Set(unhandledErrors.map(({ file }) => file));
  return [...new Set(results.filter((result) => isBroken(result) || withErrors.has(result.name)).map(({ name }) => name))];
}

/**
 * Counts a run. What was wrong in it stays wrong unless the second run had the same file and the same test, and these passed there.
 * @param again of the broken files; null if there was none
 * @param pathOf a file as people name it
 */
export function judge(first: Outcome, again: Outcome | null, pathOf: (file: string) => string): Verdict {
  const whatOf = (file: string, test: Test): string => `${pathOf(file)}: ${test.fullName.trim()}`;
  const failures: string[] = [];
  const reruns: string[] = [];
  let passed = 0;
  let skipped = 0;

  const rerunFiles = new Set(again === null ? [] : brokenFiles(first).filter((file) => again.results.some(({ name }) => name === file)));
  const results = [
    ...first.results.filter(({ name }) => !rerunFiles.has(name)),
    ...(again?.results ?? []).filter(({ name }) => rerunFiles.has(name)),
  ];
  for (const { status, name, assertionResults } of results) {
    for (const test of assertionResults) {
      if (isFailed(test)) failures.push(whatOf(name, test));
      else if (test.status !== "passed") skipped++;
      else {
        passed++;
        if ((test.failureMessages ?? []).length > 0) reruns.push(whatOf(name, test));
      }
    }
    // A file that broke before its first test, or outside of its tests, has none that would be counted.
    if (status === "failed" && !assertionResults.some(isFailed)) failures.push(pathOf(name));
  }

  const passedAgain = (file: string, fullName: string): boolean =>
    results.some(
      ({ name, assertionResults }) => name === file && assertionResults.some((test) => test.fullName === fullName && test.status === "passed"),
    );
  for (const { name, assertionResults, status } of first.results.filter((result) => rerunFiles.has(result.name))) {
    for (const test of assertionResults.filter(isFailed)) {
      const what = whatOf(name, test);
      if (passedAgain(name, test.fullName)) reruns.push(what);
      else if (!failures.includes(what)) failures.push(`${what} (failed, and did not run again)`);
    }
    if (status === "failed" && !assertionResults.some(isFailed) && !failures.includes(pathOf(name))) reruns.push(pathOf(name));
  }

  const wordsOf = ({ file, message }: UnhandledError): string =>
    `${file === null ? "outside of all files" : pathOf(file)}: unhandled: ${firstLine(message)}`;
  for (const error of first.unhandledErrors) {
    if (error.file !== null && rerunFiles.has(error.file)) reruns.push(wordsOf(error));
    else failures.push(wordsOf(error));
  }
  for (const error of again?.unhandledErrors ?? []) failures.push(wordsOf(error));

  failures.push(...unexplained(first, ""), ...(again === null ? [] : unexplained(again, " when it was run again")));
  return { passed, skipped, failures: [...new Set(failures)], reruns: [...new Set(reruns)] };
}

/** Vitest ends with 1 when something failed that it told; any other end, and a 1 without such a thing, has a cause of its own. */
function unexplained(outcome: Outcome, when: string): string[] {
  const { status, results, unhandledErrors } = outcome;
  const isTold = results.some(isBroken) || unhandledErrors.length > 0;
  return status === 0 || (status === 1 && isTold) ? [] : [`vitest ended with ${status ?? "a signal"}${when}`];
}

function firstLine(text: string): string {
  return text.split("\n", 1)[0] ?? "";
}
