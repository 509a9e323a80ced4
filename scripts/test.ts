// SPDX-License-Identifier: Apache-2.0
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative, resolve } from "node:path";

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

interface VitestReport {
  testResults: { status: string; name: string; assertionResults: { status: string; fullName: string; failureMessages: string[] | null }[] }[];
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

/** What came of one run of Vitest: every test it counted, and how it ended. */
interface Outcome {
  readonly status: number | null;
  /** Null where it left none that can be read. */
  readonly report: VitestReport | null;
}

async function runVitest({ projects, paths = [], environment = {}, ownMounts = false }: VitestOptions): Promise<Outcome> {
  const directory = mkdtempSync(join(tmpdir(), "waggle-test-"));
  const file = join(directory, "report.json");
  const command = [
    ...(ownMounts && process.getuid?.() === 0 ? ["unshare", "--mount"] : []),
    ...["pnpm", "exec", "vitest", "run", ...projects.flatMap((project) => ["--project", project])],
    ...["--reporter=default", "--reporter=json", `--outputFile.json=${file}`, ...paths],
  ];
  const child = spawn(command[0] as string, command.slice(1), { cwd: root, env: { ...process.env, ...environment }, stdio: "inherit" });
  const status = await new Promise<number | null>((done) => {
    child.once("error", () => done(null));
    child.once("exit", done);
  });
  try {
    return { status, report: JSON.parse(readFileSync(file, "utf8")) as VitestReport };
  } catch {
    return { status, report: null };
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
  if (first.report === null) {
    fail(`${size}: no report`);
    return;
  }
  const broken = first.report.testResults.filter(
    ({ status, assertionResults }) => status === "failed" || assertionResults.some((test) => test.status === "failed"),
  );
  const paths = [...new Set(broken.map(({ name }) => relative(root, name)))];
  let results = first.report.testResults;
  let status = first.status;
  if (paths.length > 0 && paths.length <= RERUN_FILES_MAX) {
    for (const path of paths) console.log(`\n── ${size}: ${path} failed; it is run again, alone`);
    const again = await runVitest({ ...options, paths });
    if (again.report !== null) {
      const failedAtFirst = new Set(
        broken.flatMap(({ name, assertionResults }) => assertionResults.filter(isFailed).map((test) => whatOf(name, test))),
      );
      for (const { name, assertionResults } of again.report.testResults) {
        for (const test of assertionResults) {
          const what = whatOf(name, test);
          if (test.status === "passed" && failedAtFirst.has(what)) reruns.push(`${size}: ${what}`);
        }
      }
      results = [...results.filter(({ name }) => !paths.includes(relative(root, name))), ...again.report.testResults];
      status = again.status;
    }
  }
  const failedBefore = failed;
  for (const { status: fileStatus, name, assertionResults } of results) {
    for (const test of assertionResults) {
      const what = `${size}: ${whatOf(name, test)}`;
      if (isFailed(test)) fail(what);
      else if (test.status !== "passed") skipped++;
      else {
        passed++;
        if ((test.failureMessages ?? []).length > 0) reruns.push(what);
      }
    }
    // A file that broke before its first test has no test to count.
    if (fileStatus === "failed" && assertionResults.length === 0) fail(`${size}: ${relative(root, name)}`);
  }
  if (status !== 0 && failed === failedBefore) fail(`${size}: vitest ended with ${status}`);
}

type Test = VitestReport["testResults"][number]["assertionResults"][number];

const isFailed = (test: Test): boolean => test.status === "failed";
const whatOf = (file: string, test: Test): string => `${relative(root, file)}: ${test.fullName.trim()}`;

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
