// SPDX-License-Identifier: Apache-2.0
import { execFile } from "node:child_process";
import { createHash, randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { ClickHouseServerError } from "./errors.ts";

const run = promisify(execFile);

const PACKAGE_DIRECTORY = join(import.meta.dirname, "..");
const SOURCES = ["host.c", "guarded-writes.c"].map((name) => join(import.meta.dirname, name));
const HEADERS = ["guarded-writes.h"].map((name) => join(import.meta.dirname, name));
const COMPILERS = ["cc", "clang", "gcc"];
const FLAGS = [
  "-std=c17",
  "-O2",
  "-Wall",
  "-Wextra",
  "-fPIE",
  "-pie",
  "-D_FORTIFY_SOURCE=2",
  "-fstack-protector-strong",
  // The engine is to find the functions in guarded-writes.c, and nothing else of this program.
  "-fvisibility=hidden",
  "-rdynamic",
];
const COMPILE_TIMEOUT_MS = 60_000;

/**
 * Compiles `host.c` and what belongs to it into `build/clickhouse-host` unless the program there was made from the same sources with the same flags.
 *
 * Safe to call several times at once, in one process or many: each call compiles into a file of its own and renames it.
 *
 * @param directory where the program goes
 * @returns absolute path of the program
 * @throws ClickHouseServerError `compiler-missing` or `compile-failed`
 */
export async function buildHost(directory: string = join(PACKAGE_DIRECTORY, "build")): Promise<string> {
  const program = join(directory, "clickhouse-host");
  const stamp = `${program}.sha256`;
  const hash = createHash("sha256").update(FLAGS.join(" "));
  for (const file of [...SOURCES, ...HEADERS]) hash.update(await readFile(file));
  const wanted = hash.digest("hex");
  if (existsSync(program) && (await readFile(stamp, "utf8").catch(() => "")) === wanted) return program;

  await mkdir(directory, { recursive: true });
  const unique = randomUUID();
  const compiled = `${program}.${unique}`;
  try {
    await compile(compiled);
    await rename(compiled, program);
  } finally {
    await rm(compiled, { force: true });
  }
  await writeFile(`${stamp}.${unique}`, wanted);
  await rename(`${stamp}.${unique}`, stamp);
  return program;
}

async function compile(output: string): Promise<void> {
  for (const compiler of COMPILERS) {
    try {
      await run(compiler, [...FLAGS, ...SOURCES, "-o", output, "-ldl", "-pthread"], { timeout: COMPILE_TIMEOUT_MS });
      return;
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === "ENOENT") continue;
      const { stderr, message } = cause as Error & { stderr?: string };
      throw new ClickHouseServerError(
        "compile-failed",
        `${compiler} could not compile ${SOURCES.join(" and ")}. Are the C library's headers installed (Debian: libc6-dev, Fedora: glibc-devel)?\n` +
          (stderr || message),
        { cause },
      );
    }
  }
  throw new ClickHouseServerError(
    "compiler-missing",
    `No C compiler found (tried ${COMPILERS.join(", ")}): the embedded ClickHouse needs one once, to build ${SOURCES[0]}. ` +
      "Install gcc or clang, or set WAGGLE_CLICKHOUSE_URL to a ClickHouse server of your own.",
  );
}

if (import.meta.main) console.log(await buildHost());
