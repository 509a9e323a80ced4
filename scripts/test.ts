// SPDX-License-Identifier: Apache-2.0
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

/**
 * `./waggle test [size]`: lint and types, then the tests of one size or of all, and one closing line that counts them. Words behind `chaos` and `kernels`
 * go to those; `kernels` runs only when it is asked for, as emulated machines take their time.
 * With CI=true a skipped test is a failure: everything here can run on the machines it is meant for.
 */
const root = resolve(import.meta.dirname, "..");
const sizes = ["unit", "integration", "kernel", "e2e"] as const;
const asked = process.argv[2];
if (asked !== undefined && asked !== "chaos" && asked !== "kernels" && !(sizes as readonly string[]).includes(asked)) {
  console.error(`waggle test: unknown size "${asked}"; there are ${sizes.join(", ")}, chaos, kernels`);
  process.exit(2);
}

/** Of a plain run: the same schedule each time, so that a red run says something about what changed. */
const CHAOS_SEED = "2";

let passed = 0;
let failed = 0;
let skipped = 0;

/** Runs a check that is one thing: it passes or fails as a whole. */
function check(title: string, command: string, args: string[]): void {
  const began = performance.now();
  const { status } = spawnSync(command, args, { cwd: root, stdio: "inherit" });
  const seconds = ((performance.now() - began) / 1000).toFixed(0);
  console.log(`${status === 0 ? "✓" : "✗"} ${title} (${seconds} s)`);
  if (status === 0) passed++;
  else failed++;
}

interface VitestReport {
  numPassedTests: number;
  numFailedTests: number;
  numPendingTests: number;
  numTodoTests: number;
  testResults: { status: string; name: string; assertionResults: unknown[] }[];
}

interface VitestOptions {
  readonly title?: string;
  /** Of test files; none: all of the size. */
  readonly paths?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
}

/** The API's integration tests run once more on each of these; the first run is on one embedded ClickHouse and the embedded Postgres. */
const otherStores: readonly VitestOptions[] = [
  {
    title: "integration, on two ClickHouse shards and a Postgres server",
    paths: ["apps/api"],
    environment: { WAGGLE_TEST_LAYOUT: "two-shards", WAGGLE_TEST_DATABASE: "postgres" },
  },
  ...(hasDocker()
    ? [{ title: "integration, on ClickHouse's official image", paths: ["apps/api"], environment: { WAGGLE_TEST_LAYOUT: "container" } }]
    : []),
];

function hasDocker(): boolean {
  return spawnSync("docker", ["info"], { stdio: "ignore", timeout: 10_000 }).status === 0;
}

function vitest(size: string, { title = size, paths = [], environment = {} }: VitestOptions = {}): void {
  const directory = mkdtempSync(join(tmpdir(), "waggle-test-"));
  const file = join(directory, "report.json");
  console.log(`\n── ${title}`);
  const { status } = spawnSync(
    "pnpm",
    ["exec", "vitest", "run", "--project", size, "--reporter=default", "--reporter=json", `--outputFile.json=${file}`, ...paths],
    {
      cwd: root,
      env: { ...process.env, ...environment },
      stdio: "inherit",
    },
  );
  try {
    const report = JSON.parse(readFileSync(file, "utf8")) as VitestReport;
    passed += report.numPassedTests;
    failed += report.numFailedTests;
    skipped += report.numPendingTests + report.numTodoTests;
    // A file that broke before its first test has no test to count.
    const broken = report.testResults.filter((result) => result.status === "failed" && result.assertionResults.length === 0).length;
    failed += broken;
    if (status !== 0 && report.numFailedTests + broken === 0) failed++;
  } catch {
    failed++;
  }
  rmSync(directory, { recursive: true });
}

if (asked === undefined || asked === "unit") {
  check("lint and format", "pnpm", ["exec", "biome", "check", "."]);
  check("types", "pnpm", ["-r", "--workspace-concurrency=2", "--if-present", "typecheck"]);
  check("types of scripts and tests", "pnpm", ["exec", "tsc", "-p", "tsconfig.json"]);
}
for (const size of sizes) {
  if (asked !== undefined && asked !== size) continue;
  vitest(size);
  if (size === "integration") for (const store of otherStores) vitest(size, store);
}

// One thing: everything real, killed and cut for some minutes, holds the equation or does not.
if (asked === undefined || asked === "chaos") {
  console.log("\n── chaos");
  check("chaos", process.execPath, ["tests/chaos/main.ts", ...(asked === "chaos" ? process.argv.slice(3) : ["--seed", CHAOS_SEED])]);
}

if (asked === "kernels") check("kernels", process.execPath, ["tests/kernels/main.ts", ...process.argv.slice(3)]);

const strict = process.env["CI"] === "true";
if (strict && skipped > 0) {
  console.log(`\n${skipped} tests were skipped; in CI that is a failure`);
  failed += skipped;
  skipped = 0;
}
console.log(`\n${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`);
process.exitCode = failed > 0 || passed === 0 ? 1 : 0;
