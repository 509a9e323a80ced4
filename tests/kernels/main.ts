// SPDX-License-Identifier: Apache-2.0
/**
 * `./waggle test kernels`: what the agent covers on other kernels than this host's, and the kernel tests on them, each kernel in an emulated machine.
 * Exit status 0 if every kernel booted, no signal failed and no test did; 1 if not, 2 for a bad command line.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { fetchKernel } from "./fetch.ts";
import { runInGuest } from "./guest.ts";
import { HOST, kernels } from "./kernels.ts";
import { countTests, type KernelCoverage, type KernelRecord, recordedFolder } from "./results.ts";

const USAGE = `usage: ./waggle test kernels [--kernel NAME]... [--short] [--write]

  --kernel NAME   ${[...kernels.map(({ name }) => name), HOST].join(", ")} (default: all but ${HOST})
  --short         only what the agent says of each signal, no tests
  --write         keep the result in tests/kernels/recorded and renew docs/kernels.md
`;

const root = resolve(import.meta.dirname, "../..");
const cache = join(root, ".waggle/kernels");
/** Emulation is 10 to 50 times slower than the machine, and the verifier is most of what happens. */
const COVERAGE_MS_MAX = 15 * 60_000;
const TESTS_MS_MAX = 120 * 60_000;
const TEST_MS_MAX = 20 * 60_000;
const GUEST_MEMORY_MB = 3_072;

const READ_COVERAGE = "node tests/kernels/read-coverage.ts";
const RUN_TESTS = `node_modules/.bin/vitest run --project kernel --testTimeout=${TEST_MS_MAX} --hookTimeout=${TEST_MS_MAX} --reporter=default --reporter=json --outputFile.json=`;

// An end by a signal is an end like any other: machines that run are switched off (guest.ts).
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(1));
process.exitCode = await main();

async function main(): Promise<number> {
  const options = parse();
  if (options === null) return 2;
  let failed = 0;
  for (const name of options.names) {
    const began = performance.now();
    const problems = await runKernel(name, options.short, options.write);
    const seconds = ((performance.now() - began) / 1000).toFixed(0);
    console.log(`${problems.length === 0 ? "✓" : "✗"} ${name} (${seconds} s)`);
    for (const problem of problems) console.log(`    ${problem}`);
    if (problems.length > 0) failed++;
  }
  if (options.write) spawnSync(process.execPath, ["scripts/generate-docs.ts"], { cwd: root, stdio: "inherit" });
  console.log(`${options.names.length - failed} kernels passed, ${failed} failed`);
  return failed > 0 ? 1 : 0;
}

function parse(): { names: string[]; short: boolean; write: boolean } | null {
  const known = [...kernels.map(({ name }) => name), HOST];
  try {
    const { values } = parseArgs({
      options: { kernel: { type: "string", multiple: true }, short: { type: "boolean", default: false }, write: { type: "boolean", default: false } },
    });
    const names = values.kernel ?? known.filter((name) => name !== HOST);
    const unknown = names.find((name) => !known.includes(name));
    if (unknown === undefined) return { names, short: values.short, write: values.write };
    console.error(`waggle test kernels: no kernel ${unknown}\n\n${USAGE}`);
  } catch (error) {
    console.error(`waggle test kernels: ${(error as Error).message}\n\n${USAGE}`);
  }
  return null;
}

/** @returns what is wrong, in words; none: all is well */
async function runKernel(name: string, short: boolean, write: boolean): Promise<string[]> {
  const results = join(cache, "results", name);
  rmSync(results, { recursive: true, force: true });
  mkdirSync(results, { recursive: true });
  const seenAs = name === HOST ? results : "/results";
  const command = `${READ_COVERAGE} ${seenAs}/coverage.json${short ? "" : `\n${RUN_TESTS}${seenAs}/tests.json`}`;
  const problems: string[] = [];
  try {
    const status = await execute(name, command, results, short ? COVERAGE_MS_MAX : TESTS_MS_MAX);
    if (status === null) problems.push(`did not come to its end; see ${results}/console.log`);
  } catch (error) {
    return [(error as Error).message];
  }
  const coverage = readJson<KernelCoverage>(join(results, "coverage.json"));
  if (coverage === null) return [...problems, "the agent read no window"];
  for (const { signal, state, reason } of coverage.signals) if (state === "failed") problems.push(`${signal}: ${reason}`);
  const report = short ? null : readJson<Parameters<typeof countTests>[0]>(join(results, "tests.json"));
  if (!short && report === null) problems.push("the tests left no report");
  const tests = report === null ? null : countTests(report);
  if (tests !== null) {
    console.log(`${name}: ${tests.passed} tests passed, ${tests.failed} failed, ${tests.skipped} skipped`);
    problems.push(...tests.failures.map((failure) => `test failed: ${failure}`));
  }
  if (write) {
    const record: KernelRecord = { ...coverage, tests };
    mkdirSync(recordedFolder, { recursive: true });
    writeFileSync(join(recordedFolder, `${name}.json`), `${JSON.stringify(record, null, 2)}\n`);
  }
  return problems;
}

async function execute(name: string, command: string, results: string, timeoutMs: number): Promise<number | null> {
  const path = `${dirnameOfNode()}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`;
  if (name === HOST) return spawnSync("sh", ["-c", command], { cwd: root, stdio: "inherit", timeout: timeoutMs }).status;
  const spec = kernels.find((kernel) => kernel.name === name);
  if (spec === undefined) throw new Error(`no kernel ${name}`);
  const kernel = fetchKernel(spec, cache);
  console.log(`${name}: ${kernel.release}, its console is in ${results}/console.log`);
  return runInGuest(kernel, { command, root, results, timeoutMs, environment: { PATH: path, HOME: "/root", CI: "true" }, memoryMb: GUEST_MEMORY_MB });
}

/** The guest uses the Node.js that runs this. */
function dirnameOfNode(): string {
  return resolve(process.execPath, "..");
}

function readJson<T>(file: string): T | null {
  try {
    return JSON.parse(readFileSync(file, "utf8")) as T;
  } catch {
    return null;
  }
}
