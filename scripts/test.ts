// SPDX-License-Identifier: Apache-2.0
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative, resolve } from "node:path";
import { brokenFiles, type FileResult, judge, type Outcome, UNHANDLED_ERRORS_FILE, type UnhandledError } from "./vitest-outcome.ts";

/**
 * `./waggle test [size]`: lint and types, then the tests of one size or of all, and one closing line that counts them. Words behind `chaos` and `kernels`
 * go to those; `kernels` runs only when it is asked for, as emulated machines take their time.
 * With CI=true a skipped test is a failure: everything here can run on the machines it is meant for.
 */
const root = resolve(import.meta.dirname, "..");
const sizes = ["unit", "integration", "kernel", "e2e", "chaos"] as const;
type Size = (typeof sizes)[number];
const asked = process.argv[2];
if (asked !== undefined && asked !== "kernels" && !(sizes as readonly string[]).includes(asked)) {
  console.error(`waggle test: unknown size "${asked}"; there are ${sizes.join(", ")}, kernels`);
  process.exit(2);
}

const KERNELS = "tests/kernels/main.ts";
// Nothing is run, so there is nothing to count.
if (asked === "kernels" && process.argv.slice(3).some((word) => word === "--help" || word === "-h")) {
  process.exit(spawnSync(process.execPath, [KERNELS, "--help"], { cwd: root, stdio: "inherit" }).status ?? 1);
}

/** Of a plain run: the same schedule each time, so that a red run says something about what changed. */
const CHAOS_SEED = "2";

let passed = 0;
let failed = 0;
let skipped = 0;
/** What failed and what passed only when it was run again, named once more at the end: a run's output is long, and its end is what is kept. */
const failures: string[] = [];
const reruns: string[] = [];

interface Check {
  readonly title: string;
  readonly command: string;
  readonly args: readonly string[];
}

const secondsSince = (began: number): string => `${((performance.now() - began) / 1000).toFixed(0)} s`;

function count({ title }: Check, status: number | null, began: number): void {
  console.log(`${status === 0 ? "✓" : "✗"} ${title} (${secondsSince(began)})`);
  if (status === 0) passed++;
  else fail(title);
}

function fail(what: string): void {
  failed++;
  failures.push(what);
}

/** Runs a check that is one thing: it passes or fails as a whole. */
function check(one: Check): void {
  const began = performance.now();
  const { status } = spawnSync(one.command, one.args, { cwd: root, stdio: "inherit" });
  count(one, status, began);
}

/** Runs checks one after the other, beside whatever else runs; what one says comes when it has ended, and only if it failed. */
async function checkQuietly(checks: readonly Check[]): Promise<void> {
  for (const one of checks) {
    const began = performance.now();
    const child = spawn(one.command, one.args, { cwd: root, stdio: ["ignore", "pipe", "pipe"] });
    let said = "";
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk: Buffer) => (said += chunk.toString()));
    const status = await new Promise<number | null>((done) => {
      child.once("error", (error) => {
        said += error.message;
        done(null);
      });
      child.once("close", done);
    });
    if (status !== 0) console.log(said);
    count(one, status, began);
  }
}

interface VitestOptions {
  readonly title: string;
  /** As vitest.config.ts names them. */
  readonly projects: readonly string[];
  /** Of test files; none: all of the projects. */
  readonly paths?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  /** What the tests mount goes with them, whatever ends them. */
  readonly ownMounts?: boolean;
}

/** Undefined where it left no report that can be read. */
async function runVitest({ projects, paths = [], environment = {}, ownMounts = false }: VitestOptions): Promise<Outcome | undefined> {
  const directory = mkdtempSync(join(tmpdir(), "waggle-test-"));
  const report = join(directory, "report.json");
  const unhandled = join(directory, "unhandled.json");
  const command = [
    ...(ownMounts && process.getuid?.() === 0 ? ["unshare", "--mount"] : []),
    ...["pnpm", "exec", "vitest", "run", ...projects.flatMap((project) => ["--project", project])],
    ...["--reporter=default", "--reporter=json", `--outputFile.json=${report}`, "--reporter=./scripts/unhandled-errors-reporter.ts", ...paths],
  ];
  const env = { ...process.env, ...environment, [UNHANDLED_ERRORS_FILE]: unhandled };
  const child = spawn(command[0] as string, command.slice(1), { cwd: root, env, stdio: "inherit" });
  const status = await new Promise<number | null>((done) => {
    child.once("error", () => done(null));
    child.once("exit", done);
  });
  try {
    const { testResults } = JSON.parse(readFileSync(report, "utf8")) as { testResults: FileResult[] };
    return { status, results: testResults, unhandledErrors: JSON.parse(readFileSync(unhandled, "utf8")) as UnhandledError[] };
  } catch {
    return undefined;
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** A run with more files that failed than this is no accident of a busy machine. */
const RERUN_FILES_MAX = 3;

/**
 * Runs what is asked for and counts it. Files that failed, if they are few, are run once more with nothing beside them: what fails again has failed; what
 * passes then counts as passed and is named at the end all the same, as it is a race that somebody has to look into.
 */
async function vitest(options: VitestOptions): Promise<void> {
  console.log(`\n── ${options.title}`);
  const size = options.title.split(":", 1)[0];
  const first = await runVitest(options);
  if (first === undefined) {
    fail(`${size}: no report`);
    return;
  }
  const paths = brokenFiles(first).map(pathOf);
  let again: Outcome | null = null;
  if (paths.length > 0 && paths.length <= RERUN_FILES_MAX) {
    for (const path of paths) console.log(`\n── ${size}: ${path} failed; it is run again, alone`);
    again = (await runVitest({ ...options, paths })) ?? null;
  }
  const verdict = judge(first, again, pathOf);
  passed += verdict.passed;
  skipped += verdict.skipped;
  for (const what of verdict.failures) fail(`${size}: ${what}`);
  for (const what of verdict.reruns) reruns.push(`${size}: ${what}`);
}

const pathOf = (file: string): string => relative(root, file);

function hasDocker(): boolean {
  return spawnSync("docker", ["info"], { stdio: "ignore", timeout: 10_000 }).status === 0;
}

const run: Readonly<Record<Size, () => Promise<void>>> = {
  unit: async () => {
    await Promise.all([
      checkQuietly([
        { title: "lint and format", command: "pnpm", args: ["exec", "biome", "check", "."] },
        { title: "types", command: "pnpm", args: ["-r", "--workspace-concurrency=2", "--if-present", "typecheck"] },
        { title: "types of scripts and tests", command: "pnpm", args: ["exec", "tsc", "-p", "tsconfig.json"] },
      ]),
      vitest({ title: "unit", projects: ["unit"] }),
    ]);
  },
  integration: async () => {
    await vitest({
      title: "integration: all on one ClickHouse and the embedded Postgres, the API's on two ClickHouse shards and a Postgres server too",
      projects: ["integration", "integration-shards"],
    });
    if (hasDocker()) {
      const environment = { WAGGLE_TEST_LAYOUT: "container" };
      await vitest({ title: "integration, on ClickHouse's official image", projects: ["integration"], paths: ["apps/api"], environment });
    }
  },
  kernel: () => vitest({ title: "kernel", projects: ["kernel"], ownMounts: true }),
  e2e: () => vitest({ title: "e2e", projects: ["e2e"] }),
  chaos: async () => {
    console.log("\n── chaos");
    // One thing: everything real, killed and cut for some minutes, holds the equation or does not.
    const words = asked === "chaos" ? process.argv.slice(3) : ["--seed", CHAOS_SEED];
    check({ title: "chaos", command: process.execPath, args: ["tests/chaos/main.ts", ...words] });
  },
};

for (const size of sizes) if (asked === undefined || asked === size) await run[size]();
if (asked === "kernels") check({ title: "kernels", command: process.execPath, args: [KERNELS, ...process.argv.slice(3)] });

const strict = process.env["CI"] === "true";
if (strict && skipped > 0) {
  console.log(`\n${skipped} tests were skipped; in CI that is a failure`);
  failed += skipped;
  skipped = 0;
}
for (const what of reruns) console.log(`↻ passed when run again: ${what}`);
for (const what of failures) console.log(`✗ ${what}`);
console.log(`\n${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`);
process.exitCode = failed > 0 || passed === 0 ? 1 : 0;
