// SPDX-License-Identifier: Apache-2.0
import { linkSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { findGenerated, generatedName, openPerfMap, PERF_MAP_BYTES_MAX, readMapOwner } from "./perf-map.ts";

let root: string;
const uid = process.getuid?.() ?? 0;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "waggle-perf-map-"));
  mkdirSync(join(root, "tmp"));
  mkdirSync(join(root, "proc/7"), { recursive: true });
  writeFileSync(join(root, "proc/7/status"), `Name:\tnode\nNSpid:\t7\t3\nUid:\t${uid}\t${uid}\t${uid}\t${uid}\n`);
});
afterEach(() => rmSync(root, { recursive: true }));

describe("openPerfMap", () => {
  const map = (): string => join(root, "tmp/perf-3.map");
  const opens = async (owner: number): Promise<boolean> => {
    const file = await openPerfMap(root, 7, { uid: owner, innerPid: 3 });
    await file?.close();
    return file !== null;
  };

  it("reads whose it has to be and what the process is called in its own namespace", async () => {
    expect(await readMapOwner(root, 7)).toEqual({ uid, innerPid: 3 });
    expect(await readMapOwner(root, 8)).toBeNull();
  });

  it("takes a file of the process's user", async () => {
    writeFileSync(map(), "1000 10 f\n");
    expect(await opens(uid)).toBe(true);
  });

  it("takes no file of another user, unless that is root", async () => {
    writeFileSync(map(), "1000 10 f\n");
    expect(await opens(uid + 1)).toBe(uid === 0);
  });

  it("follows no link, and takes nothing that is no file or is too large", async () => {
    expect(await opens(uid)).toBe(false);
    writeFileSync(join(root, "elsewhere"), "1000 10 f\n");
    symlinkSync(join(root, "elsewhere"), map());
    expect(await opens(uid)).toBe(false);
    rmSync(map());
    mkdirSync(map());
    expect(await opens(uid)).toBe(false);
    rmSync(map(), { recursive: true });
    linkSync(join(root, "elsewhere"), map());
    expect(await opens(uid)).toBe(true);
    truncateSync(map(), PERF_MAP_BYTES_MAX + 1);
    expect(await opens(uid)).toBe(false);
  });
});

describe("findGenerated", () => {
  const find = async (text: string, addresses: number[]) => {
    writeFileSync(join(root, "map"), text);
    await using file = await open(join(root, "map"));
    return await findGenerated(file, addresses);
  };

  it("finds the ranges of addresses, with or without 0x, names with spaces", async () => {
    const text = "7f0000001000 100 JS:*one a.js:1\n0x7f0000002000 0x80 two\n7f0000003000 10 three\n";
    expect(await find(text, [0x7f0000001000, 0x7f00000010ff, 0x7f0000002010, 0x7f0000001100])).toEqual([
      { start: 0x7f0000001000, end: 0x7f0000001100, name: "JS:*one a.js:1" },
      { start: 0x7f0000002000, end: 0x7f0000002080, name: "two" },
    ]);
  });

  it("goes by the last line where a place was used again", async () => {
    expect(await find("1000 100 old\n2000 10 x\n1000 80 new\n", [0x1010])).toEqual([{ start: 0x1000, end: 0x1080, name: "new" }]);
  });

  it("passes over lines that are none", async () => {
    expect(await find("\nnonsense\n1000\n1000 zz f\nffffffffffffffffffff 10 f\n1000 10 ok\n1000 10 cut off", [0x1000])).toEqual([
      { start: 0x1000, end: 0x1010, name: "ok" },
    ]);
  });

  it("reads lines that lie across what is read at a time, and passes over a line without end", async () => {
    const filler = Array.from({ length: 30_000 }, (_, index) => `${(0x100000 + index * 16).toString(16)} 10 function_${index}`).join("\n");
    expect(await find(`${filler}\n`, [0x100000 + 29_999 * 16, 0x100000 + 9_283 * 16])).toMatchObject([
      { name: "function_9283" },
      { name: "function_29999" },
    ]);
    expect(await find(`${"x".repeat(600_000)}\n1000 10 after\n`, [0x1000])).toMatchObject([{ name: "after" }]);
  });
});

describe("generatedName", () => {
  it("is the function and where it stands, whatever tier compiled it", () => {
    for (const tier of ["JS:*", "JS:~", "JS:^", "JS:", "LazyCompile:*"]) {
      expect(generatedName(`${tier}work file:///srv/app.mjs:3:18`)).toEqual({ name: "work", module: "file:///srv/app.mjs:3:18" });
    }
    expect(generatedName("JS:* /srv/app.js:9:2")).toEqual({ name: "(anonymous)", module: "/srv/app.js:9:2" });
    expect(generatedName("Interpreter")).toEqual({ name: "Interpreter", module: "jit" });
  });
});
