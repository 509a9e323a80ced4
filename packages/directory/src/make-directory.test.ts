// SPDX-License-Identifier: Apache-2.0
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { makeDirectory } from "./make-directory.ts";

describe("makeDirectory", () => {
  const root = mkdtempSync(join(tmpdir(), "waggle-directory-"));
  afterAll(() => rmSync(root, { recursive: true }));

  it("makes what is missing of a path, with its mode, and leaves what is there", () => {
    const path = join(root, "a", "b");
    makeDirectory(path, 0o700);
    makeDirectory(path, 0o755);
    expect([path, join(root, "a")].map((made) => statSync(made).mode & 0o777)).toEqual([0o700, 0o700]);
  });

  it("says at once that none can be made where nothing can be", () => {
    expect(() => makeDirectory("/proc/waggle-state", 0o755)).toThrow("ENOENT");
    expect(() => makeDirectory("/proc/waggle-state/spool", 0o755)).toThrow("ENOENT");
  });

  it("does not take a file for a directory", () => {
    const path = join(root, "file");
    writeFileSync(path, "");
    expect(() => makeDirectory(path, 0o755)).toThrow("EEXIST");
    expect(() => makeDirectory(join(path, "spool"), 0o755)).toThrow("ENOTDIR");
  });
});
