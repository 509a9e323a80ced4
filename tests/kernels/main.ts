// SPDX-License-Identifier: Apache-2.0
/**
 * `./waggle test kernels`: what the agent covers on other kernels than this host's, and the kernel tests on them, each kernel in an emulated machine.
 * Exit status 0 if every kernel booted, no signal failed and no test did; 1 if not, 2 for a bad command line.
 */
import { spawnSync } from "node:child_process";
import { globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import { parseArgs } from "node:util";
import { withAgentPrivileges } from "../../scripts/up/agent-stage.ts";
import { fetchKernel } from "./fetch.ts";
import { type GuestEnd, runInGuest } from "./guest.ts";
import { HOST, kernels } from "./kernels.ts";
import {
  differencesOf,
  type FileResult,
  type KernelCoverage,
  type KernelRecord,
  mergeTests,
  readRecord,
  recordedFolder,
  resultOfFile,
  totalsOf,
} from "./results.ts";

const USAGE = `usage: ./waggle test kernels [--kernel NAME]... [--short] [--only TEXT]... [--write]

What the agent says of each signal on other kernels, and the kernel tests there, each kernel in an emulated machine.

  --kernel NAME   ${[...kernels.map(({ name }) => name), HOST].join(", ")} (default: all but ${HOST})
  --short         only what the agent says of each signal, no tests
  --only TEXT     only test files with this in their path; what is kept of the others stays
  --write         keep the result in tests/kernels/recorded and renew docs/kernels.md

Kernels and consoles are in .waggle/kernels.
`;

const root = resolve(import.meta.dirname, "../..");
const cache = join(root, ".waggle/kernels");
/** Emulation is 10 to 50 times slower than the machine, which may be busy besides: loading all programs took from 15 s to minutes. */
const SILENCE_MS_MAX = 20 * 60_000;
const HOST_MS_MAX = 60 * 60_000;
const GUEST_MEMORY_MB = 3_072;
/** Share of the time by which a guest's clock may be off. */
const CLOCK_OFF_MAX = 0.05;

/** The checkout may lie in a home that the agent's user cannot enter: in a mount namespace of its own it is also in a place that it can. */
const nodeInRoot = relative(root, process.execPath);
const asAgent = [
  ...["unshare", "--mount", "sh", "-c", 'mount --bind "$PWD" /mnt && cd /mnt && exec "$@"', "sh"],
  ...withAgentPrivileges([nodeInRoot.startsWith("..") ? process.execPath : `./${nodeInRoot}`]),
]
  .map((word) => `'${word}'`)
  .join(" ");
const READ_COVERAGE = "tests/kernels/read-coverage.ts";
const testFiles = globSync("{apps,packages}/*/{src,test}/**/*.kernel.test.ts", { cwd: root }).sort();

// An end by a signal is an end like any other: machines that run are switched off (guest.ts).
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(1));
process.exitCode = await main();

async function main(): Promise<number> {
  if (process.argv.slice(2).some((word) => word === "--help" || word === "-h")) {
    process.stdout.write(USAGE);
    return 0;
  }
  const options = parse();
  if (options === null) return 2;
  let failed = 0;
  for (const name of options.names) {
    const began = performance.now();
    const problems = await runKernel(name, options.short ? [] : options.files, options.write);
    const seconds = ((performance.now() - began) / 1000).toFixed(0);
    console.log(`${problems.length === 0 ? "✓" : "✗"} ${name} (${seconds} s)`);
    for (const problem of problems) console.log(`    ${problem}`);
    if (problems.length > 0) failed++;
  }
  if (options.write) spawnSync(process.execPath, ["scripts/generate-docs.ts"], { cwd: root, stdio: "inherit" });
  console.log(`${options.names.length - failed} kernels passed, ${failed} failed`);
  return failed > 0 ? 1 : 0;
}

function parse(): { names: string[]; short: boolean; files: string[]; write: boolean } | null {
  const known = [...kernels.map(({ name }) => name), HOST];
  try {
    const { values } = parseArgs({
      options: {
        kernel: { type: "string", multiple: true },
        only: { type: "string", multiple: true },
        short: { type: "boolean", default: false },
        write: { type: "boolean", default: false },
      },
    });
    const names = values.kernel ?? known.filter((name) => name !== HOST);
    const unknown = names.find((name) => !known.includes(name));
    // In the order of the words, so that what is asked for first is known first.
    const files =
      values.only === undefined ? testFiles : [...new Set(values.only.flatMap((text) => testFiles.filter((file) => file.includes(text))))];
    if (unknown === undefined && files.length > 0) return { names, short: values.short, files, write: values.write };
    console.error(`waggle test kernels: ${unknown === undefined ? "no test file has that in its path" : `no kernel ${unknown}`}\n\n${USAGE}`);
  } catch (error) {
    console.error(`waggle test kernels: ${(error as Error).message}\n\n${USAGE}`);
  }
  return null;
}

/** @returns what is wrong, in words; none: all is well */
async function runKernel(name: string, files: readonly string[], write: boolean): Promise<string[]> {
  const results = join(cache, "results", name);
  rmSync(results, { recursive: true, force: true });
  mkdirSync(results, { recursive: true });
  const seenAs = name === HOST ? results : "/results";
  const reportOf = (file: string): string => `${file.replaceAll("/", "-")}.json`;
  // File by file: one that takes the machine down takes no results along.
  const commands = files.map(
    (file) =>
      `node_modules/.bin/vitest run --project kernel --reporter=verbose --reporter=json --outputFile.json=${seenAs}/${reportOf(file)} ${file}`,
  );
  const problems: string[] = [];
  try {
    const coverages = [`node ${READ_COVERAGE} >${seenAs}/coverage.json`, `${asAgent} ${READ_COVERAGE} >${seenAs}/coverage-as-agent.json`];
    const { status, clockRate, panic } = await execute(name, [...coverages, ...commands].join("\n"), results);
    if (status === null) problems.push(`did not come to its end${panic === null ? "" : `: ${panic}`}; see ${results}/console.log`);
    // What tests wait for and count by time means nothing then.
    if (clockRate !== null && Math.abs(clockRate - 1) > CLOCK_OFF_MAX)
      return [...problems, `its clock went ${clockRate.toFixed(2)} times as fast as this machine's; nothing is kept`];
  } catch (error) {
    return [(error as Error).message];
  }
  const coverage = readJson<KernelCoverage>(join(results, "coverage.json"));
  if (coverage === null) return [...problems, "the agent read no window"];
  const coverageAsAgent = readJson<KernelCoverage>(join(results, "coverage-as-agent.json"));
  if (coverageAsAgent === null) problems.push("the agent read no window as its own user");
  for (const { signal, state, reason } of coverage.signals) if (state === "failed") problems.push(`${signal}: ${reason}`);
  const newer: FileResult[] = [];
  for (const file of files) {
    const report = readJson<Parameters<typeof resultOfFile>[1]>(join(results, reportOf(file)));
    if (report === null) problems.push(`${file} left no report`);
    else newer.push(resultOfFile(file, report));
  }
  problems.push(...newer.flatMap(({ failures }) => failures.map((failure) => `test failed: ${failure}`)));
  const { passed, failed, skipped } = totalsOf({ files: newer, notRun: [] });
  if (files.length > 0) console.log(`${name}: ${passed} tests passed, ${failed} failed, ${skipped} skipped`);
  if (write) {
    // What was found on another release says nothing of this one.
    const known = readRecord(name);
    const tests = mergeTests(testFiles, known?.release === coverage.release ? known.tests : null, newer);
    const record: KernelRecord = {
      ...coverage,
      asAgent: coverageAsAgent && differencesOf(coverage, coverageAsAgent),
      tests: tests.files.length === 0 ? null : tests,
    };
    mkdirSync(recordedFolder, { recursive: true });
    writeFileSync(join(recordedFolder, `${name}.json`), `${JSON.stringify(record, null, 2)}\n`);
  }
  return problems;
}

async function execute(name: string, command: string, results: string): Promise<GuestEnd> {
  const path = `${dirnameOfNode()}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`;
  if (name === HOST) {
    const { status } = spawnSync("sh", ["-c", command], { cwd: root, stdio: "inherit", timeout: HOST_MS_MAX });
    return { status, clockRate: null, panic: null };
  }
  const spec = kernels.find((kernel) => kernel.name === name);
  if (spec === undefined) throw new Error(`no kernel ${name}`);
  const kernel = fetchKernel(spec, cache);
  console.log(`${name}: ${kernel.release}, its console is in ${results}/console.log`);
  const environment = {
    ...{ PATH: path, HOME: "/root", CI: "true" },
    ...{ WAGGLE_KERNEL_TEST_TIMEOUT_MS: String(SILENCE_MS_MAX), WAGGLE_KERNEL_TEST_RETRIES: "0" },
  };
  return runInGuest(kernel, { command, root, results, silenceMsMax: SILENCE_MS_MAX, environment, memoryMb: GUEST_MEMORY_MB });
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
