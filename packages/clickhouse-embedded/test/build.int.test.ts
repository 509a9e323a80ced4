// SPDX-License-Identifier: Apache-2.0
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { buildHost } from "../src/build.ts";
import { findLibrary } from "../src/library.ts";

let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "waggle-host-build-"));
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(directory, { recursive: true, force: true });
});

test("compiles the host program once, and again only when it was made from something else", async () => {
  const program = await buildHost(directory);
  const first = statSync(program);
  expect(spawnSync(program).status).toBe(2);

  await buildHost(directory);
  expect(statSync(program).ino).toBe(first.ino);

  writeFileSync(`${program}.sha256`, "made from another source");
  await buildHost(directory);
  expect(statSync(program).ino).not.toBe(first.ino);
});

test("lets several processes build at once", async () => {
  const script = `import { buildHost } from ${JSON.stringify(join(import.meta.dirname, "../src/build.ts"))}; await buildHost(${JSON.stringify(directory)});`;
  await Promise.all([buildHost(directory), buildHost(directory)]);
  execFileSync(process.execPath, ["--input-type=module", "-e", script]);
  expect(spawnSync(join(directory, "clickhouse-host")).status).toBe(2);
});

test("says what to install when there is no compiler", async () => {
  vi.stubEnv("PATH", directory);
  await expect(buildHost(directory)).rejects.toMatchObject({ code: "compiler-missing", message: expect.stringContaining("gcc or clang") });
});

test("says what to do when the engine is not installed", () => {
  vi.stubEnv("CHDB_LIBCHDB_PATH", join(directory, "libchdb.so"));
  expect(() => findLibrary()).toThrow(expect.objectContaining({ code: "library-missing", message: expect.stringContaining("pnpm install") }));
});

test("refuses a library that is none, a parent that has gone, and a bad command line, each with its own status", async () => {
  const program = await buildHost(directory);
  const notALibrary = join(directory, "not-a-library.so");
  writeFileSync(notALibrary, "");
  const run = (...commandLine: string[]) => {
    const { status, stderr } = spawnSync(program, commandLine, { encoding: "utf8" });
    return { status, stderr };
  };
  const fifo = join(directory, "fifo");
  expect(run(notALibrary, directory, fifo, "10", "0", "--version")).toMatchObject({ status: 3, stderr: expect.stringContaining("not-a-library.so") });
  expect(run(notALibrary, directory, fifo, "10", "1", "--version")).toMatchObject({ status: 5, stderr: expect.stringContaining("parent") });
  expect(run(notALibrary, directory, fifo, "0", "0", "--version")).toMatchObject({ status: 2, stderr: expect.stringContaining("GRACE_SECONDS") });
  expect(run(notALibrary, directory, join(directory, "no/fifo"), "10", "0", "--version")).toMatchObject({ status: 5 });
  expect(run(notALibrary, join(directory, "no"), fifo, "10", "0", "--version")).toMatchObject({
    status: 5,
    stderr: expect.stringContaining("/no: "),
  });
});
