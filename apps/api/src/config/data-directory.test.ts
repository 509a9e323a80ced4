// SPDX-License-Identifier: Apache-2.0
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { ConfigError } from "./config.ts";
import { prepareDataDirectory, unusable } from "./data-directory.ts";

describe("prepareDataDirectory", () => {
  const root = mkdtempSync(join(tmpdir(), "waggle-data-directory-"));
  afterAll(() => rmSync(root, { recursive: true }));
  const problemOf = (directory: string): Error => {
    try {
      prepareDataDirectory(directory);
    } catch (error) {
      return error as Error;
    }
    throw new Error(`${directory} was made`);
  };

  it("makes what is missing, closed to others", () => {
    prepareDataDirectory(join(root, "a/b"));
    expect(statSync(join(root, "a/b")).mode & 0o777).toBe(0o750);
  });

  it("names the directory, the cause and what to do where none can be made", () => {
    const file = join(root, "file");
    writeFileSync(file, "");
    for (const [directory, cause] of [
      ["/proc/waggle-data", "ENOENT"],
      ["/proc/waggle-data/deeper", "ENOENT"],
      [file, "EEXIST"],
    ] as const) {
      const problem = problemOf(directory);
      expect(problem).toBeInstanceOf(ConfigError);
      expect(problem.message).toMatch(new RegExp(`^the data directory ${directory} cannot be used by user id \\d+ \\(${cause}: .*\\); create it`));
      expect(problem.message).toContain("WAGGLE_API_DATA_DIRECTORY");
    }
  });

  it("says of a full and of a read-only disk what mends them", () => {
    expect(unusable("/d", Object.assign(new Error("ENOSPC"), { code: "ENOSPC" })).message).toContain("make room on its disk");
    expect(unusable("/d", Object.assign(new Error("EROFS"), { code: "EROFS" })).message).toContain("mount it writable");
  });
});
